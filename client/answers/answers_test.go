package answers_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/answers"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

func TestHear(t *testing.T) {
	q, err := pbft.NewQuorumSystem([]uint64{1, 1, 1, 1})
	require.NoError(t, err)
	truth, lie := crypto.Hash("truth"), crypto.Hash("lie")
	a := answers.New(4)
	require.False(t, a.Hear(q, 0, truth))
	require.False(t, a.Hear(q, 0, truth), "the same replica again")
	require.False(t, a.Hear(q, 9, truth), "no member")
	require.False(t, a.Hear(q, 1, lie))
	require.True(t, a.Hear(q, 2, truth))
	require.Equal(t, 1, a.Others(truth))
	a.Forget()
	require.Zero(t, a.Others(truth))
	require.False(t, a.Hear(q, 1, truth))
}

func TestFitsAndKey(t *testing.T) {
	r := pbft.NewRequest(crypto.PublicKey{1}, 7, 7, 99, [][]byte{{1}, {2}})
	good := statemachine.Reply{
		Client: r.Client, Seq: 7, Request: r.Digest(), Status: statemachine.Executed, Height: 3,
		Results: []statemachine.Result{statemachine.OK(nil), statemachine.OK(nil)},
	}
	fits := func(x *statemachine.Reply) bool {
		encoded, bare := statemachine.AppendResults(nil, x.Results), *x
		bare.Results = nil
		ok := answers.FitsEncoded(r, &bare, encoded)
		require.Equal(t, answers.Fits(r, x), ok)
		require.Equal(t, answers.Key(x), answers.KeyOf(&bare, encoded))
		return ok
	}
	require.True(t, fits(&good))
	for name, edit := range map[string]func(*statemachine.Reply){
		"number":  func(x *statemachine.Reply) { x.Seq++ },
		"client":  func(x *statemachine.Reply) { x.Client[0]++ },
		"request": func(x *statemachine.Reply) { x.Request[0]++ },
		"results": func(x *statemachine.Reply) { x.Results = x.Results[:1] },
		"status":  func(x *statemachine.Reply) { x.Status = statemachine.Quarantined + 1 },
		"refused": func(x *statemachine.Reply) { x.Status = statemachine.Expired },
	} {
		bad := good
		edit(&bad)
		require.False(t, fits(&bad), name)
	}
	later := good
	later.Height++
	require.NotEqual(t, answers.Key(&good), answers.Key(&later))
	again := good
	again.Status = statemachine.Duplicate
	require.Equal(t, answers.Key(&good), answers.Key(&again), "the results of then")
	other := good
	other.Results = []statemachine.Result{statemachine.OK(nil), statemachine.Reject(7, nil)}
	require.NotEqual(t, answers.Key(&good), answers.Key(&other))
	good.Status, later.Status = statemachine.Expired, statemachine.Expired
	good.Results, later.Results = nil, nil
	require.Equal(t, answers.Key(&good), answers.Key(&later), "where it was refused plays no part")
}

func TestOf(t *testing.T) {
	for s, want := range map[statemachine.Status]answers.Verdict{
		statemachine.Executed: answers.Ran, statemachine.Duplicate: answers.Ran, statemachine.Expired: answers.Never,
		statemachine.Window: answers.Again, statemachine.Early: answers.Again, statemachine.Busy: answers.Again,
		statemachine.Forgotten: answers.Unknown, statemachine.Conflict: answers.Unknown, statemachine.Quarantined: answers.Unknown,
	} {
		require.Equal(t, want, answers.Of(s), s)
	}
}
