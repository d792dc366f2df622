package kv

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// newStored is the form on a store in memory.
func newStored(l Limits) machine {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	if err != nil {
		panic(err)
	}
	m, err := NewStored(s, l)
	if err != nil {
		panic(err)
	}
	return m
}

// Whatever is done to them, both forms answer alike, byte for byte: operations and
// queries, across snapshots and with little space.
func TestBothFormsAnswerAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := smallLimits()
		l.MaxStateBytes = rapid.Int64Range(1<<10, 1<<13).Draw(t, "space")
		a, b := &driven{machine: New(l), t: t}, &driven{machine: newStored(l), t: t}
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		for range rapid.IntRange(1, 30).Draw(t, "blocks") {
			ops := make([]statemachine.Op, r.IntN(12))
			for i := range ops {
				ops[i] = statemachine.Op{Data: randomOp(r)}
			}
			require.Equal(t, a.run(ops...), b.run(ops...))
			for range 4 {
				q := randomOp(r)
				if r.IntN(4) == 0 {
					q = RevisionQuery()
				}
				x, xerr := a.Query(context.Background(), q)
				y, yerr := b.Query(context.Background(), q)
				require.Equal(t, x, y)
				require.Equal(t, xerr, yerr)
			}
		}
	})
}

// What a proof shows is what a read returns.
func TestStoredProofs(t *testing.T) {
	m := newStored(DefaultLimits()).(*store.Machine)
	d := &driven{machine: m, t: t}
	d.do(Put(b("colour"), b("green")))
	d.do(Put(b("colour"), b("red")))
	digest := m.Digest()
	for key, want := range map[string]string{"colour": "red", "taste": ""} {
		v, err := m.Store().Last()
		require.NoError(t, err)
		p, err := v.Prove(StoreKey(b(key)))
		require.NoError(t, err)
		require.NoError(t, p.Verify(digest, StoreKey(b(key))))
		require.Equal(t, want != "", p.Present)
		back, ok := KeyOf(StoreKey(b(key)))
		require.True(t, ok)
		require.Equal(t, key, string(back))
		if !p.Present {
			continue
		}
		kv, err := DecodeStored(b(key), p.Value)
		require.NoError(t, err)
		require.Equal(t, KeyValue{Key: b(key), Value: b(want), Create: 1, Mod: 2, Version: 2}, kv)
	}
	_, ok := KeyOf(totalsKey)
	require.False(t, ok)
	_, err := DecodeStored(b("k"), make([]byte, entryHead-1))
	require.Error(t, err)
}

// Earlier heights are answered from, and a digest that nobody took is none.
func TestStoredHistory(t *testing.T) {
	m := newStored(DefaultLimits()).(*store.Machine)
	d := &driven{machine: m, t: t}
	d.do(Put(b("k"), b("1")))
	d.do(Put(b("k"), b("2")))
	ctx := context.Background()
	for height, want := range map[uint64]string{1: "1", 2: "2"} {
		a, err := m.QueryAt(ctx, height, Get(b("k")))
		require.NoError(t, err)
		r, err := DecodeAnswer(a)
		require.NoError(t, err)
		require.Equal(t, want, string(r.KV.Value))
	}
	_, err := m.Query(ctx, DigestQuery())
	require.ErrorIs(t, err, store.ErrNoProof)
	digest := m.Digest()
	a, err := m.Query(ctx, DigestQuery())
	require.NoError(t, err)
	r, err := DecodeAnswer(a)
	require.NoError(t, err)
	require.Equal(t, digest, r.Digest)
	require.EqualValues(t, 2, r.Revision)
}

// A store that was made under other limits is refused, and limits that it has no room
// for are too.
func TestStoredLimits(t *testing.T) {
	ctx := context.Background()
	cfg := store.DefaultConfig()
	cfg.Dir = t.TempDir()
	s, err := store.Open(ctx, cfg)
	require.NoError(t, err)
	m, err := NewStored(s, DefaultLimits())
	require.NoError(t, err)
	(&driven{machine: m, t: t}).do(Put(b("k"), b("v")))
	require.NoError(t, m.Close())
	for _, l := range []Limits{DefaultLimits(), smallLimits()} {
		s, err := store.Open(ctx, cfg)
		require.NoError(t, err)
		_, err = NewStored(s, l)
		if l == DefaultLimits() {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrLimits)
		}
		require.NoError(t, s.Close())
	}
	l := DefaultLimits()
	l.MaxKeyBytes = store.MaxKeyBytes
	_, err = NewHandler(l)
	require.ErrorIs(t, err, ErrLimits)
	l = DefaultLimits()
	l.MaxValueBytes = store.MaxValueBytes
	l.MaxResultBytes = 64 << 20
	_, err = NewHandler(l)
	require.ErrorIs(t, err, ErrLimits)
	_, err = NewHandler(Limits{})
	require.ErrorIs(t, err, ErrLimits)
}

func TestClassify(t *testing.T) {
	for kind, c := range map[string]struct {
		op   []byte
		read bool
	}{
		"get": {Get(b("k")), true}, "put": {Put(b("k"), nil), false}, "delete": {Delete(b("k")), false}, "swap": {Create(b("k"), nil), false},
		"range": {Prefix(nil, RangeOptions{}), true}, "txn": {Txn(nil, nil, nil), false}, "revision": {RevisionQuery(), true},
		"digest": {DigestQuery(), true}, "": {[]byte{99}, false},
	} {
		got, read := Classify(c.op)
		require.Equal(t, kind, got)
		require.Equal(t, c.read, read, kind)
	}
	got, read := Classify(nil)
	require.Empty(t, got)
	require.False(t, read)
	submits, reads := Kinds()
	require.Equal(t, []string{"put", "delete", "swap", "txn"}, submits)
	require.Equal(t, []string{"get", "range", "revision", "digest"}, reads)
}

func FuzzDecodeStored(f *testing.F) {
	f.Add([]byte("k"), (&entry{value: []byte("v"), create: 1, mod: 2, version: 2}).encode())
	f.Add([]byte("k"), []byte("short"))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		kv, err := DecodeStored(key, b)
		if err == nil {
			require.Equal(t, b, (&entry{value: kv.Value, create: kv.Create, mod: kv.Mod, version: kv.Version}).encode())
		}
	})
}
