package merkle

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-bft/parley/crypto"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func digest(i uint64) crypto.Digest {
	return crypto.Hash("test", binary.BigEndian.AppendUint64(nil, i))
}

func TestHashesAreThoseOfTheGeneralHash(t *testing.T) {
	a, b := digest(1), digest(2)
	require.Equal(t, crypto.Hash(domainLeaf, a[:], b[:]), hashLeaf(&a, &b))
	// Children 0, 4 and 15; the second is an inner node.
	n := &node{digit: 7, present: 0x8011, children: []child{{key: a, digest: b}, {key: a, digest: a, inner: someNode}, {key: b, digest: a}}}
	got, _ := hashNode([]byte("left over"), n)
	require.Equal(t, crypto.Hash(domainNode, []byte{7, 0x80, 0x11, 0x80, 0x01}, a[:], b[:], a[:], b[:], a[:]), got)
}

func TestEmptyAndSingle(t *testing.T) {
	var trie Trie
	require.True(t, trie.Root().IsZero())
	require.False(t, trie.Delete(digest(1)))
	_, ok := trie.View().Prove(digest(1))
	require.False(t, ok)
	trie.Set(digest(1), digest(2))
	k, v := digest(1), digest(2)
	require.Equal(t, hashLeaf(&k, &v), trie.Root())
	require.True(t, trie.Delete(digest(1)))
	require.True(t, trie.Root().IsZero())
	require.Zero(t, trie.Len())
}

// Against a map, with keys that share long prefixes; the root is compared with
// that of a trie built from scratch in another order; views stay what they were.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var trie Trie
		model := map[crypto.Digest]crypto.Digest{}
		key := rapid.Custom(func(t *rapid.T) crypto.Digest {
			var k crypto.Digest
			k[rapid.SampledFrom([]int{0, 1, 15, 31}).Draw(t, "byte")] = rapid.SampledFrom([]byte{0, 1, 2, 16, 128, 255}).Draw(t, "value")
			return k
		})
		type frozen struct {
			view  *View
			root  crypto.Digest
			model map[crypto.Digest]crypto.Digest
		}
		var views []frozen
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for range steps {
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1, 2:
				k, v := key.Draw(t, "key"), digest(rapid.Uint64Range(0, 3).Draw(t, "v"))
				trie.Set(k, v)
				model[k] = v
			case 3:
				k := key.Draw(t, "key")
				_, had := model[k]
				require.Equal(t, had, trie.Delete(k))
				delete(model, k)
			case 4:
				trie.Root()
			case 6:
				many := rapid.MapOf(key, rapid.Uint64Range(0, 3)).Draw(t, "many")
				var entries []Entry
				for k, v := range many {
					entries = append(entries, Entry{Key: k, Value: digest(v)})
					model[k] = digest(v)
				}
				trie.SetAll(entries)
			case 5:
				f := frozen{view: trie.View(), root: trie.Root(), model: map[crypto.Digest]crypto.Digest{}}
				for k, v := range model {
					f.model[k] = v
				}
				views = append(views, f)
			}
		}
		require.Equal(t, fromScratch(model), trie.Root())
		require.Equal(t, len(model), trie.Len())
		for k, v := range model {
			got, ok := trie.Get(k)
			require.True(t, ok)
			require.Equal(t, v, got)
		}
		for _, f := range views {
			require.Equal(t, f.root, f.view.Root())
			require.Equal(t, f.root, rehashed(f.view))
			require.Equal(t, fromScratch(f.model), f.root)
			require.Equal(t, len(f.model), f.view.Len())
			asked := key.Draw(t, "asked")
			p, ok := f.view.Prove(asked)
			require.Equal(t, len(f.model) > 0, ok)
			if !ok {
				continue
			}
			present, valid := p.Verify(f.root, asked)
			require.True(t, valid)
			want, in := f.model[asked]
			require.Equal(t, in, present)
			if in {
				require.Equal(t, want, p.Value)
			}
		}
	})
}

// rehashed is the root of a view of which no digest is taken on trust.
func rehashed(v *View) crypto.Digest {
	if v.Len() == 0 {
		return crypto.Digest{}
	}
	var all func(c child) child
	all = func(c child) child {
		if c.inner != nil {
			n := *c.inner
			n.children = nil
			for _, below := range c.inner.children {
				n.children = append(n.children, all(below))
			}
			c.inner = &n
			c.digest, _ = hashNode(nil, &n)
		}
		return c
	}
	c := all(v.trie.root)
	return c.asRoot()
}

func fromScratch(model map[crypto.Digest]crypto.Digest) crypto.Digest {
	var t Trie
	for k, v := range model { // any order will do
		t.Set(k, v)
	}
	return t.Root()
}

func TestForgedProofs(t *testing.T) {
	var trie Trie
	for i := range uint64(100) {
		trie.Set(digest(i), digest(i+1000))
	}
	v := trie.View()
	root := v.Root()
	p, _ := v.Prove(digest(7))
	other, _ := v.Prove(digest(8))

	// Another key's leaf does not show that a present key is absent.
	_, valid := other.Verify(root, digest(7))
	require.False(t, valid)
	_, valid = p.Verify(digest(1), digest(7))
	require.False(t, valid)

	absent, _ := v.Prove(digest(5000))
	for asked, p := range map[crypto.Digest]Proof{digest(7): p, digest(5000): absent} {
		present, valid := p.Verify(root, asked)
		require.True(t, valid)
		require.Equal(t, asked == digest(7), present)
		r := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			bad := p
			bad.Steps = slices.Clone(p.Steps)
			s := &bad.Steps[r.IntN(len(bad.Steps))]
			s.Siblings = slices.Clone(s.Siblings)
			sibling := &s.Siblings[r.IntN(len(s.Siblings))]
			switch r.IntN(11) {
			case 0:
				bad.Value[r.IntN(32)] ^= 1
			case 1:
				bad.Key[r.IntN(32)] ^= 1
			case 2:
				bad.Nothing = !bad.Nothing
			case 3:
				sibling.Digest[r.IntN(32)] ^= 1
			case 4:
				sibling.Key[r.IntN(32)] ^= 1
			case 5:
				sibling.Leaf = !sibling.Leaf
			case 6:
				s.Siblings = s.Siblings[1:]
			case 7:
				s.Digit ^= 1 << r.IntN(8)
			case 8:
				s.Present ^= 1 << r.IntN(16)
			case 9:
				bad.Steps = bad.Steps[:len(bad.Steps)-1]
			case 10:
				bad.Steps = append(bad.Steps, Step{})
			}
			_, valid := bad.Verify(root, asked)
			require.False(t, valid, "%+v", bad)
		}
	}
	// Digits beyond the key are no reason to panic, nor is a proof of nothing.
	for _, wild := range []Proof{{Steps: []Step{{Digit: 255}, {Digit: 64}}}, {Nothing: true}, {}} {
		_, valid = wild.Verify(root, digest(7))
		require.False(t, valid)
	}
}

// A present key does not pass for absent by being left out of its node.
func TestPresentIsNotAbsent(t *testing.T) {
	var trie Trie
	for i := range uint64(50) {
		trie.Set(digest(i), digest(i+1000))
	}
	v := trie.View()
	p, _ := v.Prove(digest(3))
	p.Key, p.Value, p.Nothing = crypto.Digest{}, crypto.Digest{}, true
	_, valid := p.Verify(v.Root(), digest(3))
	require.False(t, valid)
	p.Steps = p.Steps[1:]
	_, valid = p.Verify(v.Root(), digest(3))
	require.False(t, valid)
}

// The order of a sort is that of the keys, however many there are and however they agree.
func TestSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		alike := rapid.IntRange(0, 32).Draw(t, "alike")
		entries := make([]Entry, n)
		for i := range entries {
			d := digest(rapid.Uint64().Draw(t, "seed"))
			copy(entries[i].Key[alike:], d[alike:])
		}
		var s sorter
		for range 2 { // also in used memory
			got := s.sort(entries)
			require.Equal(t, n, got.len())
			for i := 1; i < n; i++ {
				require.LessOrEqual(t, bytes.Compare(got.key(i - 1)[:], got.key(i)[:]), 0)
			}
			for i := range n {
				for at := range digits {
					require.Equal(t, digit(got.key(i), at), got.digit(i, at))
				}
			}
			entries = append(entries, entries[0])[1:]
		}
	})
}

func BenchmarkSet(b *testing.B) {
	for name, set := range map[string]func(*Trie, []Entry){
		"one by one": func(t *Trie, entries []Entry) {
			for i := range entries {
				t.Set(entries[i].Key, entries[i].Value)
			}
		},
		"together": (*Trie).SetAll,
	} {
		b.Run(name, func(b *testing.B) { benchmarkSet(b, set) })
	}
}

func benchmarkSet(b *testing.B, set func(*Trie, []Entry)) {
	var t Trie
	for i := range uint64(100_000) {
		t.Set(digest(i), digest(i))
	}
	t.Root()
	keys := make([]crypto.Digest, 1000)
	for i := range keys {
		keys[i] = digest(uint64(i) * 97 % 100_000)
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(keys) {
		value := digest(uint64(i))
		entries := make([]Entry, len(keys))
		for j := range keys {
			entries[j] = Entry{Key: keys[j], Value: value}
		}
		set(&t, entries)
		t.Root()
	}
}

// A proof has one form: what plays no part in a proof of absence is zero.
func TestProofOfNothingNamesNoLeaf(t *testing.T) {
	var trie Trie
	trie.Set(crypto.Digest{0x10}, digest(1))
	trie.Set(crypto.Digest{0x20}, digest(2))
	v, asked := trie.View(), crypto.Digest{0x30}
	p, ok := v.Prove(asked)
	require.True(t, ok)
	require.True(t, p.Nothing)
	present, valid := p.Verify(v.Root(), asked)
	require.True(t, valid)
	require.False(t, present)
	for _, edit := range []func(*Proof){
		func(p *Proof) { p.Key = asked },
		func(p *Proof) { p.Value = digest(1) },
	} {
		bad := p
		edit(&bad)
		_, valid := bad.Verify(v.Root(), asked)
		require.False(t, valid)
	}
}
