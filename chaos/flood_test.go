package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// Clients that flood the pools do not cost an honest primary its place, however small
// the blocks are and however short the patience: each client has its turn, and what
// waits behind a client's own requests is nobody else's fault.
func TestFloodDeposesNobody(t *testing.T) {
	for _, kinds := range [][]string{{"flooder"}, {"flooder", "flooder", "hoarder"}} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(kinds, seed), func(t *testing.T) {
				o := calm()
				o.Seed, o.Weights, o.BadClients = seed, equalWeights(5), kinds
				// A block takes some ten milliseconds, so of 64 requests of one client that wait
				// the last waits for longer than what the replicas have the patience for.
				o.MaxBlockRequests, o.Timeouts.RequestAge, o.Network.Delay = 1, 30, 10*time.Millisecond
				s, err := NewSimulation(o)
				require.NoError(t, err)
				r := s.Run()
				require.NoError(t, r.Err())
				for _, m := range s.replicas {
					c := m.up.node.Core()
					require.Zero(t, c.View())
					require.Zero(t, c.Counters().Suspicions[pbft.CauseRequestAge])
				}
			})
		}
	}
}
