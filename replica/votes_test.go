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
