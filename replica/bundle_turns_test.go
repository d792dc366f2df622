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
			why := turns.check(0, &s, func() pbft.Drop {
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

	traitors := pbft.ReplicaID(0)
	check := func(s *pbft.CheckpointStatement, result pbft.Drop) (checked bool) {
		from := pbft.ReplicaID(0)
		if result != pbft.NoDrop {
			traitors++
			from = traitors
		}
		why := turns.check(from, s, func() pbft.Drop { checked = true; return result })
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

// Nobody waits twice for a bad certificate of the same peer.
func TestOneBadBundleIsAllThatOthersWaitFor(t *testing.T) {
	const honest, traitor = 0, 1
	var turns bundleTurns
	s := pbft.CheckpointStatement{Height: 64}
	waits := func(from pbft.ReplicaID, result pbft.Drop) (others bool) {
		require.Equal(t, result, turns.check(from, &s, func() pbft.Drop {
			if others = !turns.turn.TryLock(); !others {
				turns.turn.Unlock()
			}
			return result
		}))
		return others
	}
	require.True(t, waits(traitor, pbft.DropDuplicate))
	require.True(t, waits(traitor, pbft.DropSignature), "a duplicate is nobody's fault")
	for range 3 {
		require.False(t, waits(traitor, pbft.DropSignature))
	}
	require.False(t, waits(traitor, pbft.NoDrop))
	require.True(t, waits(honest, pbft.NoDrop), "what came beside the turns keeps nothing back")
	require.Equal(t, pbft.DropDuplicate, turns.check(2, &s, nil))
}

// The own certificate of a checkpoint that is ahead has no commit beside it: bundles are
// still of use.
func TestOwnCertificateAheadKeepsNoBundleBack(t *testing.T) {
	var turns bundleTurns
	var stage verifyStage
	s := pbft.CheckpointStatement{Height: 64}
	own := func() bool { return turns.make(&s, func() bool { return stage.committed(s.Height) }) }
	require.False(t, own(), "nothing is known yet")
	stage.bound(tallyBounds{low: 63, high: 100})
	require.False(t, own())
	looked := false
	turns.check(0, &s, func() pbft.Drop { looked = true; return pbft.DropDuplicate })
	require.True(t, looked)
	stage.bound(tallyBounds{low: 64, high: 100})
	require.True(t, own())
	require.Equal(t, pbft.DropDuplicate, turns.check(0, &s, nil))
}

// A peer could send a good bundle and with it much that takes long to verify: others of the
// same checkpoint would be dropped all the while.
func TestBundleIsDeliveredBeforeWhatFollowsIt(t *testing.T) {
	k := newKnownKit(t)
	k.stage.limit = 1 << 20
	in := &inbox{from: 0, stage: k.stage}
	in.room.L, in.filled.L = &in.mu, &in.mu
	block, bundle := pbft.Encode(0, k.block(k.request(1, true))), []byte{byte(pbft.KindBundle)}
	for _, raw := range [][]byte{block, block, bundle, block} {
		in.put(raw)
	}
	posts := 0
	k.stage.post = func(event func(*Node)) bool {
		posts++
		event(&Node{failed: true})
		in.close()
		return true
	}
	k.stage.wg.Add(1)
	in.run()
	require.Equal(t, 2, posts, "one for what came before it, one for what came after")
	require.Equal(t, 1, untilBundle([][]byte{bundle, block}), "alone")
	require.Equal(t, 1, untilBundle([][]byte{bundle, bundle}))
	require.Equal(t, 2, untilBundle([][]byte{block, block, bundle}))
}
