package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// model is a state that is copied wherever the store is clever.
type model map[string]string

func (m model) seq(from, to []byte, reverse bool) []string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= string(from) && (to == nil || k < string(to)) {
			all = append(all, k+"="+m[k])
		}
	}
	if reverse {
		slices.Reverse(all)
	}
	return all
}

func entries(seq iter.Seq2[[]byte, []byte]) (all []string) {
	for k, v := range seq {
		all = append(all, string(k)+"="+string(v))
	}
	return all
}

// keys are few, and some are prefixes of others.
var drawKey = rapid.Custom(func(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 'a', 'b', 0xff}), 1, 3, 5).Draw(t, "key")
})

var drawBound = rapid.Custom(func(t *rapid.T) []byte {
	if rapid.Bool().Draw(t, "open") {
		return nil
	}
	return []byte(drawKey.Draw(t, "bound"))
})

func checkReads(t *rapid.T, r Reader, m model) {
	for range 3 {
		k := drawKey.Draw(t, "key")
		v, ok := r.Get([]byte(k))
		want, there := m[k]
		require.Equal(t, there, ok, "%q", k)
		require.Equal(t, want, string(v))
		from, to := drawBound.Draw(t, "from"), drawBound.Draw(t, "to")
		require.Equal(t, m.seq(from, to, false), entries(r.Range(from, to)), "from %q to %q", from, to)
		require.Equal(t, m.seq(from, to, true), entries(r.Backward(from, to)), "from %q to %q", from, to)
	}
}

// TestModel plays transactions within transactions, blocks, digests and reads at kept
// heights against a model that copies whole maps.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { runModel(t, func() *Store { return open(t, memory(4)) }, 4) })
}

// The same with a database that gets everything soon.
func TestModelFlushed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := memory(4)
		c.FlushBytes = 1 << 10
		runModel(t, func() *Store { return open(t, c) }, 4)
	})
}

func memory(keep uint64) Config {
	c := DefaultConfig()
	c.Keep = keep
	return c
}

func open(t require.TestingT, c Config) *Store {
	s, err := Open(context.Background(), c)
	require.NoError(t, err)
	return s
}

func runModel(t *rapid.T, open func() *Store, keep uint64) {
	s := open()
	defer func() { require.NoError(t, s.Close()) }()
	type level struct {
		t Txn
		m model
	}
	levels := []level{{s.Block(), model{}}}
	committed := map[uint64]model{0: {}}
	digests := map[uint64]crypto.Digest{}
	height := uint64(0)
	require.NoError(t, s.Commit(0))
	top := func() *level { return &levels[len(levels)-1] }
	t.Repeat(map[string]func(*rapid.T){
		"set": func(t *rapid.T) {
			k, v := drawKey.Draw(t, "key"), rapid.StringN(0, 4, 8).Draw(t, "value")
			b, w := []byte(k), []byte(v)
			top().t.Set(b, w)
			clear(b)
			clear(w)
			top().m[k] = v
		},
		"delete": func(t *rapid.T) {
			k := drawKey.Draw(t, "key")
			top().t.Delete([]byte(k))
			delete(top().m, k)
		},
		"begin": func(t *rapid.T) { levels = append(levels, level{top().t.Begin(), maps.Clone(top().m)}) },
		"commit": func(t *rapid.T) {
			if len(levels) > 1 {
				top().t.Commit()
				levels[len(levels)-2].m = top().m
				levels = levels[:len(levels)-1]
			}
		},
		"discard": func(t *rapid.T) {
			i := rapid.IntRange(0, len(levels)-1).Draw(t, "level")
			gone := levels[i]
			if gone.t.Discard(); i == 0 {
				levels = []level{{s.Block(), maps.Clone(committed[height])}}
				return
			}
			levels = levels[:i]
			require.Panics(t, func() { gone.t.Get([]byte("a")) })
			gone.t.Discard() // does nothing
		},
		"block": func(t *rapid.T) {
			height++
			m := levels[0].m // what is open above it is discarded
			require.NoError(t, s.Commit(height))
			committed[height] = maps.Clone(m)
			levels = []level{{s.Block(), maps.Clone(m)}}
		},
		"flush": func(t *rapid.T) {
			require.NoError(t, s.Flush())
			require.Equal(t, height, s.Durable())
		},
		"digest": func(t *rapid.T) {
			d, err := s.Digest()
			require.NoError(t, err)
			require.Equal(t, digestOf(t, committed[height]), d)
			digests[height] = d
		},
		"read the transaction": func(t *rapid.T) { checkReads(t, top().t, top().m) },
		"read a height": func(t *rapid.T) {
			h := rapid.Uint64Range(0, height+1).Draw(t, "height")
			v, err := s.At(h)
			switch {
			case h > height:
				require.ErrorIs(t, err, ErrFuture)
				return
			case h+keep < height:
				require.ErrorIs(t, err, ErrPruned)
				return
			}
			require.NoError(t, err)
			require.Equal(t, h, v.Height())
			checkReads(t, v, committed[h])
			p, err := v.Prove([]byte("a"))
			d, taken := digests[h]
			if !taken {
				if d = digestOf(t, committed[h]); err != nil { // a flush takes one, too
					require.ErrorIs(t, err, ErrNoProof)
					return
				}
			}
			require.NoError(t, err)
			require.NoError(t, p.Verify(d, []byte("a")))
			want, there := committed[h]["a"]
			require.Equal(t, there, p.Present)
			require.Equal(t, want, string(p.Value))
		},
	})
}

// digestOf builds a store of a content in one block.
func digestOf(t require.TestingT, m model) crypto.Digest {
	s := open(t, memory(0))
	for k, v := range m {
		s.Block().Set([]byte(k), []byte(v))
	}
	require.NoError(t, s.Commit(1))
	d, err := s.Digest()
	require.NoError(t, err)
	return d
}

func TestProofs(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	rapid.Check(t, func(t *rapid.T) {
		s := open(t, memory(0))
		n := rapid.SampledFrom([]int{0, 1, 2, 3, 17, 300}).Draw(t, "keys")
		for i := range n {
			s.Block().Set(fmt.Append(nil, "key", i), fmt.Append(nil, "value", i))
		}
		require.NoError(t, s.Commit(7))
		d, err := s.Digest()
		require.NoError(t, err)
		v, err := s.Last()
		require.NoError(t, err)
		key := fmt.Append(nil, "key", rapid.IntRange(0, 400).Draw(t, "key"))
		p, err := v.Prove(key)
		require.NoError(t, err)
		require.NoError(t, p.Verify(d, key))
		require.Equal(t, n > 0, !p.Empty)

		b := p.Encode()
		again, err := proof.Decode(b)
		require.NoError(t, err)
		require.NoError(t, again.Verify(d, key))
		require.Equal(t, b, again.Encode())

		// Not for another key or digest, and not with any bit changed.
		require.ErrorIs(t, p.Verify(crypto.Digest{1}, key), proof.ErrInvalid)
		other := append(key, 'x')
		if err := p.Verify(d, other); !p.Empty {
			require.True(t, err != nil || !p.Present)
		}
		// Every bit of a short one; of a long one every eleventh, another each time.
		step, first := 1, 0
		if len(b) > 1500 {
			step, first = 11, rapid.IntRange(0, 10).Draw(t, "first")
		}
		for bit := first; bit < 8*len(b); bit += step {
			bad := slices.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			q, err := proof.Decode(bad)
			if err != nil {
				require.ErrorIs(t, err, proof.ErrMalformed)
				continue
			}
			require.ErrorIs(t, q.Verify(d, key), proof.ErrInvalid, "bit %d", bit)
		}
		for n := range b {
			_, err := proof.Decode(b[:n])
			require.ErrorIs(t, err, proof.ErrMalformed)
		}
		_, err = proof.Decode(append(b, 0))
		require.ErrorIs(t, err, proof.ErrMalformed)
	})
}

func TestTransactionsAreUsedInOrder(t *testing.T) {
	s := open(t, memory(0))
	block := s.Block()
	require.Panics(t, block.Commit)
	a := block.Begin()
	require.Panics(t, func() { block.Set([]byte("k"), nil) })
	require.Panics(t, func() { block.Get([]byte("k")) })
	b := a.Begin()
	require.Panics(t, a.Commit)
	b.Set([]byte("k"), nil)
	b.Commit()
	require.Panics(t, b.Commit)
	b.Discard()
	v, ok := a.Get([]byte("k"))
	require.True(t, ok)
	require.Empty(t, v)
	a.Commit()
	c := block.Begin()
	require.Panics(t, func() { a.Get([]byte("k")) }, "an earlier one at the same depth")
	c.Discard()
	for _, k := range [][]byte{nil, {}, make([]byte, MaxKeyBytes+1)} {
		require.Panics(t, func() { block.Set(k, nil) })
		require.Panics(t, func() { block.Delete(k) })
	}
	require.Panics(t, func() { block.Set([]byte("k"), make([]byte, MaxValueBytes+1)) })
	require.NoError(t, s.Commit(1))
	require.Error(t, s.Commit(1))
}

// What is written during an iteration is not seen by it.
func TestWritesDuringIteration(t *testing.T) {
	s := open(t, memory(0))
	b := s.Block()
	for _, k := range "abc" {
		b.Set([]byte(string(k)), []byte("old"))
	}
	require.NoError(t, s.Commit(1))
	b = s.Block()
	b.Set([]byte("d"), []byte("old"))
	n := 0
	for k, v := range b.Range(nil, nil) {
		require.Equal(t, "old", string(v))
		b.Delete(k)
		b.Set(append(k, 'x'), []byte("new"))
		n++
	}
	require.Equal(t, 4, n)
	require.Equal(t, []string{"ax=new", "bx=new", "cx=new", "dx=new"}, entries(b.Range(nil, nil)))
}

func TestPrefix(t *testing.T) {
	s := open(t, memory(0))
	b := s.Block()
	one, two := Prefix(b, "a\xff"), Prefix(b, "b/")
	one.Set([]byte("k"), []byte("1"))
	two.Set([]byte("k"), []byte("2"))
	two.Set([]byte("l"), []byte("3"))
	b.Set([]byte("a\xff"), []byte("not in it"))
	b.Set([]byte("b0"), []byte("behind it"))
	require.Equal(t, []string{"k=1"}, entries(one.Range(nil, nil)))
	require.Equal(t, []string{"l=3", "k=2"}, entries(two.Backward(nil, nil)))
	require.Equal(t, []string{"l=3"}, entries(two.Range([]byte("l"), nil)))
	require.Equal(t, []string{"k=2"}, entries(two.Range([]byte("k"), []byte("l"))))
	in := two.Begin()
	in.Delete([]byte("k"))
	_, ok := in.Get([]byte("k"))
	require.False(t, ok)
	in.Discard()
	v, ok := b.Get([]byte("b/k"))
	require.True(t, ok)
	require.Equal(t, "2", string(v))
	require.Panics(t, func() { one.Set(nil, nil) })
	require.NoError(t, s.Commit(1))
	view, err := s.Last()
	require.NoError(t, err)
	require.Equal(t, []string{"k=2", "l=3"}, entries(PrefixReader(view, "b/").Range(nil, nil)))
	require.Nil(t, PrefixEnd([]byte{0xff, 0xff}))
}

func TestCatch(t *testing.T) {
	require.NoError(t, Catch(func() {}))
	require.ErrorIs(t, Catch(func() { panic(&Failure{Op: "read", Err: errors.New("gone")}) }), ErrFailed)
	require.Panics(t, func() { _ = Catch(func() { panic("a bug") }) })
}
