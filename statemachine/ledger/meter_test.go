package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// A block of reads is bounded, for each client and for all of them, and does not keep a short operation in it from running.
func TestReadsOfABlockAreBounded(t *testing.T) {
	cfg := Config{Limits: DefaultLimits(), Cluster: thisCluster}
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<11
	e := statemachine.NewExecutor(open(t, cfg), l)
	height, seq := uint64(0), uint64(0)
	request := func(by crypto.PublicKey, ops ...[]byte) statemachine.Request {
		seq++
		return statemachine.Request{Client: by, Seq: seq, Low: seq, Deadline: 20 * second, Ops: ops, Digest: crypto.Hash("test", fmt.Append(nil, seq))}
	}
	block := func(requests ...statemachine.Request) (results []statemachine.Result) {
		height++
		x, err := e.Execute(statemachine.RequestBlock{Height: height, Time: 10 * second, Requests: requests})
		require.NoError(t, err)
		for _, r := range x.Replies {
			results = append(results, r.Results...)
		}
		return results
	}
	account := func(n int) []byte { return Do(NewAccount(fmt.Sprintf("account-%03d", n), 1, alice.public())) }
	var many [][]byte
	for i := range 600 {
		many = append(many, account(i))
	}
	for _, r := range block(request(alice.public(), many...)) {
		require.Zero(t, r.Code)
	}
	all := RangeQuery(AccountsPage())
	// Each takes some 600 of 2048, and nobody more than 1024.
	results := block(request(bob.public(), all, all), request(carol.public(), all), request(dave.public(), all), request(mallory.public(), all), request(alice.public(), all, account(600)))
	var codes []statemachine.ResultCode
	for _, r := range results {
		codes = append(codes, r.Code)
	}
	busy := statemachine.CodeBlockWorked
	require.Equal(t, []statemachine.ResultCode{0, busy, 0, busy, busy, busy, 0}, codes)
	refused, err := DecodeResult(results[1])
	require.NoError(t, err)
	require.ErrorIs(t, refused.Err(), ErrRejected)
	require.ErrorContains(t, refused.Err(), "submit it again")
	require.Zero(t, block(request(alice.public(), all))[0].Code)
}
