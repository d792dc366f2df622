package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// A block of reads is bounded, and does not keep a short operation in it from running.
func TestReadsOfABlockAreBounded(t *testing.T) {
	cfg := Config{Limits: DefaultLimits(), Cluster: thisCluster}
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<11
	e := statemachine.NewExecutor(open(t, cfg), l)
	height := uint64(0)
	run := func(ops ...[]byte) []statemachine.Result {
		height++
		r := statemachine.Request{Client: alice.public(), Seq: height, Low: height, Deadline: 20 * second, Ops: ops, Digest: crypto.Hash("test", fmt.Append(nil, height))}
		x, err := e.Execute(statemachine.RequestBlock{Height: height, Time: 10 * second, Requests: []statemachine.Request{r}})
		require.NoError(t, err)
		return x.Replies[0].Results
	}
	account := func(n int) []byte { return Do(NewAccount(fmt.Sprintf("account-%03d", n), 1, alice.public())) }
	var many [][]byte
	for i := range 600 {
		many = append(many, account(i))
	}
	for _, r := range run(many...) {
		require.Zero(t, r.Code)
	}
	all := RangeQuery(AccountsPage())
	results := run(all, all, all, all, all, account(600))
	var codes []statemachine.ResultCode
	for _, r := range results {
		codes = append(codes, r.Code)
	}
	busy := statemachine.CodeBlockWorked
	require.Equal(t, []statemachine.ResultCode{0, 0, 0, busy, busy, 0}, codes)
	refused, err := DecodeResult(results[3])
	require.NoError(t, err)
	require.ErrorIs(t, refused.Err(), ErrRejected)
	require.ErrorContains(t, refused.Err(), "submit it again")
	require.Zero(t, run(all)[0].Code)
}
