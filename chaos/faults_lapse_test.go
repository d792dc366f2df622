package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// young is a run in which no snapshot is certified, and one replica's application is wrong
// once, shortly before the end of the storm.
func young(t *testing.T, seed uint64, beside func(m *member)) *Report {
	o := calm()
	o.Seed, o.CheckpointEvery, o.Retain, o.Faults.Lapse = seed, 1000, 1000, time.Hour
	s, err := NewSimulation(o)
	require.NoError(t, err)
	s.after(o.Storm-500*time.Millisecond, func() {
		require.True(t, s.faultLapse("application is wrong once"))
		for _, m := range s.replicas {
			if m.lapses > 0 && beside != nil {
				beside(m)
			}
		}
	})
	r := s.Run()
	for _, m := range s.replicas {
		require.Zero(t, m.up.node.Core().SnapshotHeight())
	}
	return r
}

// Before the first certified snapshot a state that is wrong is healed, too: from the
// beginning (R24).
func TestLapsesAreHealedBeforeTheFirstSnapshot(t *testing.T) {
	healed := 0
	for seed := range uint64(4) {
		r := young(t, seed, nil)
		require.NoError(t, r.Err(), "seed %d", seed)
		healed += r.Sometimes[seenLapseHealed]
	}
	require.Positive(t, healed)
}

// That is demanded: one that cannot begin with the first block, though it kept what it
// takes, is found.
func TestLapsesThatAreNotHealedAreFound(t *testing.T) {
	r := young(t, 1, func(m *member) {
		require.True(t, m.disk.snapshots.Damage(0)) // and the judge is not told
	})
	require.Equal(t, Liveness, r.Invariant(), "%v", r.Violations)
	require.ErrorContains(t, r.Err(), "was wrong once, and its state is not healed")
}
