package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// Votes are verified when a certificate is to be made of them. Whoever sends bad ones
// is found out by that once, for each that was under way, and costs nothing more than
// one check for each vote from then on.
func TestGarbageVotesCostLittle(t *testing.T) {
	c := newSimCluster(t, 4, 11)
	dropped := make([]int, c.n)
	c.tamper = func(m simMail) []byte {
		if _, msg, err := pbft.Decode(m.raw); err != nil || msg.Kind() != pbft.KindVote || m.from != 2 {
			return m.raw
		}
		bad := append([]byte(nil), m.raw...)
		bad[len(bad)-1] ^= 1
		return bad
	}
	for i := range c.n {
		cfg := c.simConfig(i)
		cfg.Hooks.Dropped = func(from pbft.ReplicaID, m pbft.Message, why pbft.Drop) {
			if from == 2 && m != nil && m.Kind() == pbft.KindVote && why == pbft.DropSignature {
				dropped[i]++
			}
		}
		s, err := NewSim(cfg)
		require.NoError(t, err)
		c.sims[i] = s
		s.Start(pbft.TimeOf(c.now))
	}
	for i := range 40 {
		c.put(fmt.Sprint(i))
	}
	for i, s := range c.sims {
		if i == 2 {
			continue
		}
		found := s.Node().Counters().Votes[pbft.DropSignature]
		require.LessOrEqual(t, found, uint64(2*2*c.core.Window), "replica %d found bad votes in quorums again and again", i)
		require.NotZero(t, found+uint64(dropped[i]), "replica %d saw no bad vote", i)
		require.True(t, found == 0 || dropped[i] > 40, "replica %d found %d bad votes in quorums and dropped %d on arrival", i, found, dropped[i])
		for id := range c.n {
			require.Equal(t, found > 0 && id == 2, s.stage.votesChecked(pbft.ReplicaID(id)) && id != i, "replica %d distrusts %d", i, id)
		}
	}
}

func TestWhoseVotesAreVerifiedOnArrival(t *testing.T) {
	c := newSimCluster(t, 4, 12)
	c.startAll()
	c.put("one")
	s := c.sims[0]
	require.False(t, s.stage.votesChecked(1))
	require.True(t, s.stage.votesChecked(0), "somebody else's votes under the own name")
	s.node.host.Distrust(1)
	require.True(t, s.stage.votesChecked(1))
	s.stage.lazy = true
	require.False(t, s.stage.votesChecked(1), "finding bad shares in an aggregate is as cheap")
}

// Votes need no goroutine of the inbox and one event for as many as come before the
// protocol goroutine takes them. They stay bounded, and those of a peer that is
// distrusted take the long way.
func TestVotesPassTheInbox(t *testing.T) {
	c := newSimCluster(t, 4, 13)
	c.startAll()
	sim := c.sims[0]
	stage := sim.stage
	stage.limit = 1 << 20
	events := newQueue[func(*Node)]()
	stage.post = events.put
	in := newInbox(1, stage)
	defer stage.wg.Wait()
	defer in.close()
	vote := func(h pbft.Height) []byte {
		v := &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, Height: h, Block: pbft.Digest{1}}, Signer: 1, Signature: make([]byte, 32)}
		return pbft.Encode(1, v)
	}
	in.put(vote(1))
	in.put(vote(2))
	in.put(vote(1000)) // too high
	require.Equal(t, 1, events.len())
	require.Zero(t, sim.node.tally.Held())
	got, _ := events.tryAll(nil)
	got[0](sim.node)
	require.Equal(t, 2, sim.node.tally.Held())
	require.Empty(t, in.items)

	in.put(vote(3))
	require.Equal(t, 1, events.len(), "another event once the last one ran")
	for range maxVerifyBatch - 1 {
		require.True(t, in.putVote(vote(3)))
	}
	require.False(t, in.putVote(vote(4)))
	require.Equal(t, 1, events.len())

	got, _ = events.tryAll(got)
	got[0](sim.node)
	stage.distrust(1)
	in.put(vote(4))
	in.put(pbft.Encode(1, &pbft.Status{})) // behind it
	got, _ = events.takeAll(got)
	got[0](sim.node)
	require.Equal(t, 3, sim.node.tally.Held(), "its signature is bad")
}

// Two votes of one member that contradict each other accuse it only if both are good. If
// not, it is distrusted from then on, as if the bad one had been found in a quorum.
func TestContradictingVotesThatAreBadAccuseNobody(t *testing.T) {
	for name, bad := range map[string]bool{"good": false, "bad": true} {
		t.Run(name, func(t *testing.T) {
			c := newSimCluster(t, 4, 14)
			var found []*pbft.Evidence
			c.startAll()
			c.put("one")
			s := c.sims[0]
			s.cfg.Evidence = func(e *pbft.Evidence) { found = append(found, e) }
			view, low, _ := s.Node().Core().TallyRange()
			keys := pbft.Keys{Self: 1, Votes: c.world.Signer(1)}
			for i := range byte(2) {
				v := &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, View: view, Height: low + 3, Block: pbft.Digest{i + 1}}, Signer: 1}
				v = pbft.Sign(c.cluster, s.stage.epoch, v, keys).(*pbft.Vote)
				if bad && i == 1 {
					v.Signature = append([]byte(nil), v.Signature...)
					v.Signature[0] ^= 1
				}
				s.Receive(1, pbft.Encode(s.stage.epoch, v))
			}
			require.Equal(t, bad, s.stage.votesChecked(1))
			require.Equal(t, bad, len(found) == 0)
		})
	}
}
