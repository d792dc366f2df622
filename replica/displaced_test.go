package replica

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// A client whose request made room for another's hears of it: also where the other
// came from a peer.
func TestDisplacedRequestsAreReported(t *testing.T) {
	for _, from := range []string{"client", "peer"} {
		t.Run(from, func(t *testing.T) {
			c := newSimCluster(t, 4, 1)
			refused := map[pbft.Digest]pbft.Drop{}
			c.refused = func(r *pbft.Request, why pbft.Drop) { refused[r.Digest()] = why }
			c.core.MaxPoolPerClient = 1 << 10
			c.start(3) // alone: nothing is ordered
			var mine []*pbft.Request
			for bytes := 0; bytes < c.core.MaxPoolBytes-1000; bytes += mine[len(mine)-1].Size() {
				mine = append(mine, c.request(strings.Repeat("x", 500)))
			}
			for _, r := range mine {
				c.sims[3].Offer([]*pbft.Request{r})
			}
			require.Empty(t, refused)
			greedy := c.client
			c.client, c.seq = c.world.Client(2), 0
			other := c.request(strings.Repeat("y", 1000))
			if c.client, c.seq = greedy, 0; from == "client" {
				c.sims[3].Offer([]*pbft.Request{other})
			} else {
				c.sims[3].Receive(2, pbft.Encode(1, &pbft.Forward{Requests: []*pbft.Request{other}}))
			}
			require.NotEmpty(t, refused)
			for k := range mine {
				why, gone := refused[mine[k].Digest()]
				require.Equal(t, k >= len(mine)-len(refused), gone, "the newest go")
				require.True(t, !gone || why == pbft.DropDisplaced)
			}
			require.Equal(t, uint64(len(refused)), c.sims[3].Node().Core().Counters().DroppedRequest[pbft.DropDisplaced])
			n := len(refused)
			c.tick()
			require.Len(t, refused, n, "told once")
		})
	}
}
