package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// onDisks are options with states on disks, to which something is done all the time.
func onDisks(seed uint64) Options {
	o := Swarm(seed)
	o.Weights, o.Traitors, o.Strategies, o.BadClients = equalWeights(4), nil, nil, nil
	o.Stored, o.OnDisk, o.Condition, o.HealAll = true, true, "", true
	o.Network = Network{Delay: 2 * time.Millisecond, Jitter: time.Millisecond}
	o.Disk, o.Apply, o.Think, o.Storm = 5*time.Millisecond, time.Millisecond, 20*time.Millisecond, 8*time.Second
	o.CheckpointEvery, o.Retain = 4, []pbft.Height{0, 8, 100}[seed%3]
	const s = time.Second
	o.Faults = Faults{Crash: s, Power: 4 * s, StateLost: 2 * s, StateRot: s, StateFlip: 2 * s, IOError: 3 * s, Full: 3 * s, Snapshots: 4 * s, Wipe: 6 * s}
	return o
}

// What is done to states on disks comes about, and is got over; and a seed stays a run.
func TestStatesOnDisks(t *testing.T) {
	rare, faults := map[string]int{}, map[string]int{}
	for seed := range uint64(8) {
		r := Run(onDisks(seed))
		require.NoError(t, r.Err())
		for k, n := range r.Sometimes {
			rare[k] += n
		}
		for k, n := range r.Faults {
			faults[k] += n
		}
		if seed == 0 {
			require.Equal(t, r.Trace, Run(onDisks(seed)).Trace)
		}
	}
	for _, name := range []string{
		seenStateUnsynced, seenStateWent, seenStateAgain, seenStateDamaged, seenStateMended, seenParts, seenPartsRepaired, seenLapseHealed,
	} {
		require.Positive(t, rare[name], "never: %s", name)
	}
	for _, name := range []string{"lost state", "unreadable state", "flipped state", "disk error", "full disk"} {
		require.Positive(t, faults[name], "never: %s", name)
	}
}

// A replica that forgets a state which it has voted for is found out, at its next start.
func TestForgottenStatesAreFound(t *testing.T) {
	o := onDisks(1)
	o.Faults = Faults{}
	s, err := NewSimulation(o)
	require.NoError(t, err)
	s.after(3*time.Second, func() {
		m := s.replicas[1]
		m.crash()
		m.disk.state.Clear() // and the judge is not told
		m.boot()
	})
	r := s.Run()
	require.Equal(t, Persistence, r.Invariant(), "%v", r.Violations)
}

// The applications with models stand it, too.
func TestApplicationsOnDisks(t *testing.T) {
	for _, a := range Applications() {
		t.Run(a.Name, func(t *testing.T) {
			o := onDisks(3)
			o.Application = a.Name
			o.Faults.StateFlip = 0 // some audit themselves, and panic
			r := Run(o)
			require.NoError(t, r.Err())
			require.Positive(t, r.Sometimes[seenStateWent])
		})
	}
}
