package peertcp

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
)

func TestEveryoneReachesEveryone(t *testing.T) {
	const n = 4
	c := newCluster(t, n)
	boxes := make([]*inbox, n)
	all := make([]*Transport, n)
	for i := range n {
		boxes[i] = &inbox{}
		all[i] = c.start(i, boxes[i])
	}
	for i, tr := range all {
		for j := range n {
			if j != i {
				tr.Send(crypto.ReplicaID(j), transport.Control, fmt.Appendf(nil, "%d to %d", i, j))
			}
		}
	}
	for j, b := range boxes {
		eventually(t, "all arrived", func() bool { return b.count() == n-1 })
		for i := range n {
			if j != i {
				require.Equal(t, [][]byte{fmt.Appendf(nil, "%d to %d", i, j)}, b.from(crypto.ReplicaID(i)))
			}
		}
	}
	for i, tr := range all {
		eventually(t, "linked", linked(tr))
		eventually(t, "round trips measured", func() bool {
			for _, p := range tr.Peers() {
				if p.RTT == 0 {
					return false
				}
			}
			return true
		})
		peers := tr.Peers()
		require.Len(t, peers, n-1)
		for _, p := range peers {
			require.NotEqual(t, crypto.ReplicaID(i), p.ID)
			require.Equal(t, fmt.Sprintf("test-%d", p.ID), p.Build)
			require.Equal(t, uint64(1), p.Epoch)
			require.Equal(t, uint64(1), p.Sent[transport.Control].Messages)
			require.Equal(t, uint64(1), p.Received[transport.Control].Messages)
			require.Equal(t, uint64(1), p.Connects)
			require.Zero(t, p.Dropped.Total())
		}
	}
}
