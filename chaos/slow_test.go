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

// On long links what is merely under way is not sent again and again.
func TestSameMessagesOnLongLinks(t *testing.T) {
	o := Options{
		Seed: 1, Weights: []uint64{1, 1, 1, 1},
		Clients: 4, Keys: 64, Think: time.Nanosecond, Retry: 10 * time.Second, Life: time.Minute,
		Storm: 10 * time.Second, HealAll: true, Network: Network{Delay: 50 * time.Millisecond},
		Window: 32, CheckpointEvery: 256, Retain: 256, MaxBlockRequests: 1024,
		Timeouts: pbft.DefaultTimeouts(), Tick: 10 * time.Millisecond,
		Disk: 400 * time.Microsecond, Apply: 20 * time.Microsecond,
	}
	r := Run(o)
	require.NoError(t, r.Err())
	require.Zero(t, r.ViewChanges)
	perBlock := float64(r.Messages) / float64(r.Blocks) / 4
	t.Logf("%.1f messages for each block and replica", perBlock)
	require.Less(t, perBlock, 32.0)
}
