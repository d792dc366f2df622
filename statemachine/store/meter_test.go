package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// reader reads what an operation says: "+key" writes one, "-key" deletes one, and anything else
// is the prefix of a range that it counts, and whose length it writes.
type reader struct{ visited int }

func (h *reader) Apply(t Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	what, key := op.Data[0], op.Data[1:]
	switch what {
	case '+':
		t.Set(key, []byte("v"))
	case '-':
		t.Delete(key)
	default:
		n := 0
		for range t.Range(op.Data, PrefixEnd(op.Data)) {
			h.visited++
			n++
		}
		t.Set([]byte("last"), fmt.Append(nil, n))
		return statemachine.OK(fmt.Append(nil, n))
	}
	return statemachine.OK(nil)
}

func (h *reader) Query(context.Context, Reader, []byte) ([]byte, error) { return nil, nil }

// metered is a machine of a reader whose state has 5000 entries, under an executor.
func metered(t testing.TB, l statemachine.Limits) (*Machine, *reader, func(ops ...string) []statemachine.Result) {
	s := open(t, memory(3))
	for i := range 5000 {
		s.Block().Set(fmt.Append(nil, "k", i), []byte("value"))
	}
	require.NoError(t, s.Commit(0))
	h := new(reader)
	m := &Machine{store: s, handler: h}
	e := statemachine.NewExecutor(m, l)
	height := uint64(0)
	return m, h, func(ops ...string) (results []statemachine.Result) {
		height++
		b := statemachine.RequestBlock{Height: height, Time: 10}
		for i, op := range ops { // of a client each
			b.Requests = append(b.Requests, statemachine.Request{
				Client: crypto.PublicKey{1, byte(i), byte(i >> 8)}, Seq: height, Low: height, Deadline: 20,
				Digest: crypto.Hash("test", fmt.Append(nil, height, i)), Ops: [][]byte{[]byte(op)},
			})
		}
		x, err := e.Execute(b)
		require.NoError(t, err)
		for _, r := range x.Replies {
			require.Equal(t, statemachine.Executed, r.Status)
			results = append(results, r.Results...)
		}
		return results
	}
}

func codes(results []statemachine.Result) (all []statemachine.ResultCode) {
	for _, r := range results {
		all = append(all, r.Code)
	}
	return all
}

// An operation that reads more than one may, or more than its block has left, is rejected
// with nothing changed; the others of the block are not touched by that. It is the same
// where the state is in the transaction, in memory and on the disk.
func TestReadsAreBounded(t *testing.T) {
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1200, 4000
	m, _, run := metered(t, l)
	busy, costly := statemachine.CodeBlockWorked, statemachine.CodeTooMuchWork
	for range 2 {
		require.Equal(t, []statemachine.ResultCode{0, 0, costly, 0, busy, 0}, codes(run("k1", "k2", "k", "+x", "k3", "k4999")))
		v, err := m.Store().Last()
		require.NoError(t, err)
		last, _ := v.Get([]byte("last"))
		require.Equal(t, "1", string(last))
		require.NoError(t, m.Store().Flush())
	}
	require.Empty(t, run("k")[0].Data)

	// What the block itself has deleted costs whoever walks over it.
	var ops []string
	for i := range 1000 {
		ops = append(ops, fmt.Sprint("-k4", i))
	}
	got := codes(run(append(ops, "k4", "k4", "k4", "k4")...))
	require.Equal(t, []statemachine.ResultCode{0, 0, 0, busy}, got[1000:])
}

// The worst block of a megabyte: so many ranges of everything. It costs what a block may,
// and without a bound thousands of times as much.
func TestWorstBlockOfReads(t *testing.T) {
	ops := make([]string, 300)
	for i := range ops {
		ops[i] = "k"
	}
	visited := func(l statemachine.Limits) int {
		_, h, run := metered(t, l)
		run(ops...)
		return h.visited
	}
	l := statemachine.DefaultLimits()
	bound := visited(l)
	l.MaxBlockWork = 1 << 40
	require.Equal(t, 300*5000, visited(l))
	require.LessOrEqual(t, bound, 1<<18+300*(16+1))
	require.Greater(t, bound, 1<<18-5000)
}

// BenchmarkWorstBlock is a block of 2000 ranges over 5000 entries, with the default bound and
// without one.
func BenchmarkWorstBlock(b *testing.B) {
	ops := make([]string, 2000)
	for i := range ops {
		ops[i] = "k"
	}
	for name, most := range map[string]int64{"bounded": statemachine.DefaultLimits().MaxBlockWork, "unbounded": 1 << 40} {
		b.Run(name, func(b *testing.B) {
			l := statemachine.DefaultLimits()
			l.MaxBlockWork = most
			_, h, run := metered(b, l)
			for b.Loop() {
				run(ops...)
			}
			b.ReportMetric(float64(h.visited)/float64(b.N), "entries/op")
		})
	}
}
