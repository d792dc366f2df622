package merkle

import (
	"encoding/binary"
	"math/rand/v2"
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
	require.Equal(t, crypto.Hash(domainNode, []byte{1, 2}, a[:], b[:]), hashNode(0x102, &a, &b))
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
			k[rapid.SampledFrom([]int{0, 1, 15, 31}).Draw(t, "byte")] = rapid.SampledFrom([]byte{0, 1, 2, 128, 255}).Draw(t, "value")
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
			require.Equal(t, f.root, rehash(f.view.root))
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

	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		bad := Proof{Key: p.Key, Value: p.Value, Steps: append([]Step(nil), p.Steps...)}
		switch r.IntN(6) {
		case 0:
			bad.Value[r.IntN(32)] ^= 1
		case 1:
			bad.Key[r.IntN(32)] ^= 1
		case 2:
			bad.Steps[r.IntN(len(bad.Steps))].Sibling[r.IntN(32)] ^= 1
		case 3:
			bad.Steps[r.IntN(len(bad.Steps))].Bit ^= 1 << r.IntN(16)
		case 4:
			bad.Steps = bad.Steps[:len(bad.Steps)-1]
		case 5:
			bad.Steps = append(bad.Steps, Step{Bit: 0})
		}
		_, valid := bad.Verify(root, digest(7))
		require.False(t, valid)
	}
	// A bit beyond the key is no reason to panic.
	wild := Proof{Steps: []Step{{Bit: 60000}, {Bit: 256}}}
	_, valid = wild.Verify(root, digest(7))
	require.False(t, valid)
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
