package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// afterTheStorm runs a calm simulation in which something is done right after the
// storm.
func afterTheStorm(t *testing.T, do func(s *Simulation)) *Report {
	o := calm()
	s, err := NewSimulation(o)
	require.NoError(t, err)
	s.after(o.Storm+time.Millisecond, func() { do(s) })
	return s.Run()
}

func TestAReplicaThatLostItsDiskIsReliedOn(t *testing.T) {
	r := afterTheStorm(t, func(s *Simulation) {
		m := s.replicas[1]
		m.crash()
		m.wipe()
		m.boot()
	})
	require.NoError(t, r.Err())
	require.Positive(t, r.Rejoining)
}

// Nobody misses its votes until the others are one less.
func TestJudgeFindsAVoteThatDoesNotCount(t *testing.T) {
	r := afterTheStorm(t, func(s *Simulation) {
		s.replicas[1].disk.replaced = true
		for k := range s.replicas {
			s.network.links[1][k].cut = 1
		}
	})
	require.ErrorContains(t, r.Err(), "liveness: with the votes of replicas [1]")
}
