package statemachine

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// The block that the application was given is made again from the requests of the block:
// those that did not run are left out, as long as it is known.
func TestAgain(t *testing.T) {
	var r ran
	first := uint64(5)
	for h := first; h < first+3*keptRan; h++ {
		all := []started{{request: 0}, {request: 1}, {request: 70}}
		n := 71
		if h%2 == 0 {
			all, n = all[:2], 2
		}
		r.add(h, n, all)
		require.Less(t, len(r.blocks), 2*keptRan)
	}
	last := first + 3*keptRan - 1
	require.Nil(t, r.at(last+1))
	require.Nil(t, r.at(first))
	for h := last - keptRan + 1; h <= last; h++ {
		b := r.at(h)
		require.NotNil(t, b)
		require.Equal(t, h, b.height)
		require.True(t, b.has(0) && b.has(1))
		if h%2 == 1 {
			require.True(t, b.has(70))
			require.False(t, b.has(2) || b.has(69))
		}
	}
	r.clear()
	require.Nil(t, r.at(last))
}

// recorder keeps the blocks that it was given.
type recorder struct {
	StateMachine
	blocks []Block
}

func (r *recorder) Apply(b Block) []Result {
	kept := b
	kept.Ops = append([]Op(nil), b.Ops...)
	r.blocks = append(r.blocks, kept)
	return r.StateMachine.Apply(b)
}

// What Again makes is what the application was given, without what did not run.
func TestAgainIsTheBlock(t *testing.T) {
	app := &recorder{StateMachine: new(ledger)}
	e := NewExecutor(app, testLimits())
	c := &chain{Executor: e, t: t}
	var blocks []RequestBlock
	for i, requests := range [][]Request{
		{request(1, 1, 1, 90, "a", "b"), request(2, 1, 1, 90, "c")},
		{request(1, 1, 1, 90, "a", "b"), request(2, 2, 1, 90, "d"), request(3, 1, 1, 1, "too late")},
		nil,
		{request(1, 1, 1, 90, "a", "b")},
	} {
		b := c.block(2+i, requests...)
		blocks = append(blocks, b)
		c.run(2+i, requests...)
	}
	for i, b := range blocks {
		again, of, ok := e.Again(b)
		require.True(t, ok)
		require.Equal(t, app.blocks[i].Height, again.Height)
		require.Equal(t, app.blocks[i].Time, again.Time)
		require.Equal(t, app.blocks[i].Digest, again.Digest)
		require.ElementsMatch(t, app.blocks[i].Ops, again.Ops)
		require.Len(t, of, len(again.Ops))
		for k, r := range of {
			require.Equal(t, b.Requests[r].Client, again.Ops[k].Client)
			require.Equal(t, b.Requests[r].Ops[again.Ops[k].Index], again.Ops[k].Data)
		}
	}
	require.Len(t, app.blocks[1].Ops, 1, "one had run, one was too late")
	b := c.block(9)
	_, _, ok := e.Again(b)
	require.False(t, ok, "not executed yet")
	require.NoError(t, e.Restore(bytes.NewReader(snapshotBytes(t, mustSnapshot(t, e)))))
	_, _, ok = e.Again(blocks[0])
	require.False(t, ok, "forgotten with a restored state")
}

// RestorePart takes the executor's part from a snapshot, of which no more need be there,
// and has the application's state come from elsewhere.
func TestRestorePart(t *testing.T) {
	c := busy(t)
	whole := snapshotBytes(t, mustSnapshot(t, c.Executor))
	h, err := ReadHeader(bytes.NewReader(whole))
	require.NoError(t, err)
	require.Equal(t, c.app.encode(), whole[h.AppAt:])
	other := newChain(t, testLimits())
	sync := func(got *Header) error {
		require.Equal(t, h, *got)
		return other.app.Restore(bytes.NewReader(c.app.encode()))
	}
	require.NoError(t, other.RestorePart(bytes.NewReader(whole[:h.AppAt]), sync))
	require.Equal(t, whole, snapshotBytes(t, mustSnapshot(t, other.Executor)))

	require.ErrorIs(t, other.RestorePart(bytes.NewReader(whole[:h.AppAt-1]), sync), ErrSnapshotFormat)
	require.ErrorIs(t, other.RestorePart(bytes.NewReader(whole[:h.AppAt]), func(*Header) error { other.app.ran = nil; return nil }), ErrStateMismatch)
	_, err = other.Execute(other.block(99))
	require.ErrorIs(t, err, ErrBroken, "until a state is there")
	failed := errors.New("no peer has it")
	require.ErrorIs(t, other.RestorePart(bytes.NewReader(whole), func(*Header) error { return failed }), failed)
	require.NoError(t, other.RestorePart(bytes.NewReader(whole), sync))
	// A header that lies about where the application's state begins.
	bad := bytes.Clone(whole)
	bad[headerBytes-1]++
	require.ErrorIs(t, other.Restore(bytes.NewReader(bad)), ErrSnapshotFormat)
}
