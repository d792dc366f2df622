package replica

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

func TestBundlesAreCheckedOnce(t *testing.T) {
	var turns bundleTurns
	s := pbft.CheckpointStatement{Height: 64, Block: pbft.Digest{1}}
	var checks, good, under atomic.Int32
	var peers sync.WaitGroup
	for range 31 {
		peers.Go(func() {
			why := turns.check(&s, func() pbft.Drop {
				require.EqualValues(t, 1, under.Add(1), "one at a time")
				checks.Add(1)
				under.Add(-1)
				return pbft.NoDrop
			})
			if why == pbft.NoDrop {
				good.Add(1)
			} else {
				require.Equal(t, pbft.DropDuplicate, why)
			}
		})
	}
	peers.Wait()
	require.EqualValues(t, 1, checks.Load())
	require.EqualValues(t, 1, good.Load())

	check := func(s *pbft.CheckpointStatement, result pbft.Drop) (checked bool) {
		why := turns.check(s, func() pbft.Drop { checked = true; return result })
		require.Equal(t, checked, why == result)
		return checked
	}
	other := s
	other.State[0]++
	require.False(t, check(&s, pbft.NoDrop))
	require.True(t, check(&other, pbft.DropSignature), "another state is another statement")
	require.False(t, check(&s, pbft.NoDrop), "a bad one changes nothing")
	turns.taken()
	require.True(t, check(&s, pbft.DropSignature), "what is of use then, the node says")
	require.True(t, check(&s, pbft.NoDrop), "a bad one keeps no good one back")
	require.False(t, check(&s, pbft.NoDrop))
	require.True(t, turns.make(&other, func() bool { return true }))
	require.False(t, check(&other, pbft.NoDrop), "the own one will do too")
	require.True(t, check(&s, pbft.DropSignature))
	turns.taken()
	require.False(t, turns.make(&s, func() bool { return false }))
	require.True(t, check(&s, pbft.NoDrop))
}
