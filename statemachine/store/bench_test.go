package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// putter puts: a key of 8 bytes, then the value.
type putter struct{}

func (putter) Apply(t Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	t.Set(op.Data[:8], op.Data[8:])
	return statemachine.OK(nil)
}

func (putter) Query(context.Context, Reader, []byte) ([]byte, error) { return nil, nil }

// As the one of package kv: one operation is one of a block of 500, with its share of a
// digest for each block, on 100 000 keys in memory.
func BenchmarkPut(b *testing.B) {
	const keys = 100_000
	m, err := NewMachine(open(b, memory(0)), putter{})
	require.NoError(b, err)
	op := func(i int) []byte {
		return append(binary.BigEndian.AppendUint64(nil, uint64(i%keys)*0x9e3779b97f4a7c15), make([]byte, 100)...)
	}
	height := uint64(0)
	block := func(from, n int, salt byte) {
		height++
		blk := statemachine.Block{Height: height}
		for i := range n {
			data := op((from + i) * 7)
			data[20] = salt
			blk.Ops = append(blk.Ops, statemachine.Op{Data: data})
		}
		m.Apply(blk)
	}
	for i := 0; i < keys; i += 10_000 {
		block(i, 10_000, 0)
	}
	m.Digest()
	for _, every := range []int{1 << 30, 16, 1} {
		name := map[int]string{1 << 30: "apply", 16: "digest after 16 blocks", 1: "digest after each block"}[every]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i += 500 {
				if block(i, 500, byte(i/500)); i/500%every == every-1 {
					m.Digest()
				}
			}
		})
	}
}

// Transactions within transactions, as calls between contracts open them.
func BenchmarkNested(b *testing.B) {
	s := open(b, memory(0))
	t := s.Block()
	var open []Txn
	for range 1000 {
		t = t.Begin()
		open = append(open, t)
		t.Set([]byte("deep"), []byte("value"))
	}
	b.Run("begin, set, discard, 1000 deep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in := t.Begin()
			in.Set([]byte("key"), []byte("value"))
			in.Discard()
		}
	})
	b.Run("get, 1000 deep", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.Get([]byte("deep"))
		}
	})
	open[0].Discard()
}

// One iteration is a scrub of 200 000 keys on a disk.
func BenchmarkScrub(b *testing.B) {
	c := memory(3)
	c.Dir = filepath.Join(b.TempDir(), "state")
	s := open(b, c)
	const keys = 200_000
	for i := range keys {
		s.Block().Set(fmt.Appendf(nil, "key number %9d", i*7919%keys), make([]byte, 100))
	}
	require.NoError(b, s.Commit(1))
	require.NoError(b, s.Flush())
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Scrub(b.Context(), 10)
		require.NoError(b, err)
		require.Equal(b, keys, r.Values)
	}
	b.StopTimer()
	require.NoError(b, s.Close())
}
