package kv

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// A block of ranges is bounded, in memory and in a store alike, and what others ask for does
// not keep anybody from a short operation.
func TestReadsOfABlockAreBounded(t *testing.T) {
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<11
	all := Range(nil, nil, RangeOptions{Limit: 900})
	ops := [][]byte{
		all, Get([]byte("k1")), all, all, Get([]byte("k1")), Put([]byte("k1"), []byte("new")), Get([]byte("big")), Range(nil, nil, RangeOptions{Limit: 5000}),
		// A little is left, which none of these had a use for: one that writes may begin, and takes it.
		Txn(nil, [][]byte{Put([]byte("k2"), []byte("new")), all}, nil), Txn(nil, [][]byte{Put([]byte("k2"), []byte("newer")), all}, nil), Txn(nil, [][]byte{all, all}, nil),
		Txn(nil, [][]byte{Put([]byte("k3"), []byte("new")), Get([]byte("k3"))}, nil),
		CompareAndSwap([]byte("big"), []byte("other"), []byte("new")),
	}
	var outcomes [][]statemachine.Result
	for _, form := range []string{"memory", "store"} {
		var m statemachine.StateMachine = New(DefaultLimits())
		if form == "store" {
			s, err := store.Open(t.Context(), store.DefaultConfig())
			require.NoError(t, err)
			m, err = NewStored(s, DefaultLimits())
			require.NoError(t, err)
		}
		e := statemachine.NewExecutor(m, l)
		height := uint64(0)
		run := func(ops ...[]byte) []statemachine.Result {
			height++
			b := statemachine.RequestBlock{Height: height, Time: 10}
			for i, op := range ops { // of a client each
				b.Requests = append(b.Requests, statemachine.Request{
					Client: crypto.PublicKey{1, byte(i), byte(i >> 8)}, Seq: height, Low: height, Deadline: 20,
					Digest: crypto.Hash("test", fmt.Append(nil, height, i)), Ops: [][]byte{op},
				})
			}
			x, err := e.Execute(b)
			require.NoError(t, err)
			var results []statemachine.Result
			for _, r := range x.Replies {
				results = append(results, r.Results...)
			}
			return results
		}
		fill := [][]byte{Put([]byte("big"), make([]byte, 100<<10))}
		for i := range 2000 {
			fill = append(fill, Put(fmt.Append(nil, "k", i), []byte("v")))
		}
		run(fill...)
		outcomes = append(outcomes, run(ops...))
		run(Put([]byte("k1"), []byte("more"))) // a block begins anew
	}
	var codes []statemachine.ResultCode
	for i, r := range outcomes[0] {
		require.Equal(t, r, outcomes[1][i], "operation %d", i)
		codes = append(codes, r.Code)
	}
	busy := statemachine.CodeBlockWorked
	require.Equal(t, []statemachine.ResultCode{0, 0, 0, busy, 0, 0, busy, busy, 0, busy, busy, 0, busy}, codes)
}
