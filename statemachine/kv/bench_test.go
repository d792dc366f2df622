package kv

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/parley-bft/parley/statemachine"
)

// filled returns a store of n keys and a function that names the i-th.
func filled(n int) (*Machine, func(i int) []byte) {
	m := New(DefaultLimits())
	key := func(i int) []byte {
		// Spread over the key space, as keys are.
		return binary.BigEndian.AppendUint64(nil, uint64(i%n)*0x9e3779b97f4a7c15)
	}
	value := make([]byte, 100)
	for i := range n {
		m.put(key(i), value, uint64(i)+1)
	}
	m.Digest()
	return m, key
}

// One operation is one of a block of 500, with its share of a digest for each block.
func BenchmarkPut(b *testing.B) {
	m, key := filled(100_000)
	value := make([]byte, 100)
	var blk statemachine.Block
	for i := range 500 {
		blk.Ops = append(blk.Ops, statemachine.Op{Data: Put(key(i*7), value)})
	}
	b.Run("apply", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += len(blk.Ops) {
			m.Apply(blk)
		}
	})
	b.Run("apply and digest", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += len(blk.Ops) {
			m.Apply(blk)
			m.Digest()
		}
	})
	b.Run("apply with a view for each block", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += len(blk.Ops) {
			m.current()
			m.Apply(blk)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	m, key := filled(100_000)
	var blk statemachine.Block
	for i := range 500 {
		blk.Ops = append(blk.Ops, statemachine.Op{Data: Get(key(i * 7))})
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(blk.Ops) {
		m.Apply(blk)
	}
}

func BenchmarkQueryGet(b *testing.B) {
	m, key := filled(100_000)
	q := Get(key(17))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Query(context.Background(), q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshotCall(b *testing.B) {
	m, _ := filled(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}
