package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// Clients keep four fifths of what they get from an honest primary if the first one
// delays each proposal to just under the timeout.
func TestSameThroughputUnderASlowPrimary(t *testing.T) {
	run := func(traitor bool) *Report {
		o := Options{
			Seed: 1, Weights: []uint64{1, 1, 1, 1},
			Clients: 8, Keys: 64, Think: time.Nanosecond, Retry: 10 * time.Second, Life: time.Minute,
			Storm: 8 * time.Second, HealAll: true, Network: Network{Delay: time.Millisecond},
			Window: 32, CheckpointEvery: 256, Retain: 256, MaxBlockRequests: 1024,
			Timeouts: pbft.DefaultTimeouts(), Tick: 10 * time.Millisecond,
			Disk: 400 * time.Microsecond, Apply: 20 * time.Microsecond,
		}
		if traitor {
			o.Traitors, o.Strategies = []pbft.ReplicaID{0}, []string{"slow", "", "", ""}
		}
		r := Run(o)
		require.NoError(t, r.Err())
		return r
	}
	honest, slow := run(false), run(true)
	require.Zero(t, honest.ViewChanges)
	require.EqualValues(t, 1, slow.ViewChanges)
	require.Greater(t, float64(slow.Operations), 0.8*float64(honest.Operations))
}
