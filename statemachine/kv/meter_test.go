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
		Txn(nil, [][]byte{Put([]byte("k2"), []byte("new")), all}, nil), Txn(nil, [][]byte{all, all}, nil),
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
			r := statemachine.Request{Client: crypto.PublicKey{1}, Seq: height, Low: height, Deadline: 20, Ops: ops, Digest: crypto.Hash("test", fmt.Append(nil, height))}
			x, err := e.Execute(statemachine.RequestBlock{Height: height, Time: 10, Requests: []statemachine.Request{r}})
			require.NoError(t, err)
			return x.Replies[0].Results
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
	require.Equal(t, []statemachine.ResultCode{0, 0, 0, busy, 0, 0, busy, busy, busy, busy, 0, busy}, codes)
}
