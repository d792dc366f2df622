package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// countedSigner counts how often it signed each message.
type countedSigner struct {
	crypto.Signer
	times map[string]int
}

func (s countedSigner) Sign(c crypto.Context, msg []byte) []byte {
	s.times[string(msg)]++
	return s.Signer.Sign(c, msg)
}

// A checkpoint vote is signed once, however often it is sent: also where what it says is
// lost again and again, and where signing takes long.
func TestSimCheckpointVotesAreSignedOnce(t *testing.T) {
	c := newSimCluster(t, 4, 25)
	times := make([]map[string]int, c.n)
	for i := range c.n {
		cfg := c.simConfig(i)
		times[i] = map[string]int{}
		cfg.Keys.Checkpoints = countedSigner{cfg.Keys.Checkpoints, times[i]}
		s, err := NewSim(cfg)
		require.NoError(t, err)
		c.sims[i] = s
		s.Start(pbft.TimeOf(c.now))
	}
	votes, lost := 0, true
	c.tamper = func(m simMail) []byte {
		if pbft.KindOf(m.raw) == pbft.KindCheckpointVote {
			if votes++; lost {
				return nil
			}
		}
		return m.raw
	}
	slow := 0 // what replica 2 has to sign and to aggregate waits for so many rounds
	c.stuck = func(i int, w Work) bool { return i == 2 && w == WorkAggregate && slow > 0 }
	for i := range 10 {
		slow = 20
		c.offer(fmt.Sprint(i))
		for range 40 {
			c.round()
			slow--
		}
	}
	statements := 0
	for i := range c.n {
		statements += len(times[i])
		for _, k := range times[i] {
			require.Equal(t, 1, k, "replica %d", i)
		}
	}
	require.Greater(t, statements, 4*3)
	require.Greater(t, votes, 5*statements, "votes are sent again")
	lost = false
	c.until("everything is certified", 200, func() bool {
		for i := range c.n {
			if core := c.sims[i].Node().Core(); core.Stable() < core.ExecutedHeight() {
				return false
			}
		}
		return true
	})
}
