package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// idleWorld is a cluster with no timer due for long, which has committed a block.
func idleWorld() *world {
	w := newWorld(equalWeights(4), 1, func(c *Config) {
		c.Timeouts = Timeouts{Progress: 1 << 30, RequestAge: 1 << 30, Heartbeat: 1 << 29, Idle: 1 << 30, Status: 1 << 30, Retry: 1 << 20, ReceiptDelay: 1}
	})
	w.tick()
	w.nodes[0].submit(w.request(1, 1, "op"))
	w.run(3, nil)
	return w
}

// A tick with nothing to do allocates nothing: hosts tick a hundred times a second
// whether there is work or not.
func TestIdleTickDoesNotAllocate(t *testing.T) {
	w := idleWorld()
	for _, n := range w.nodes {
		require.Equal(t, Height(1), n.core.Stable())
		var out Output
		now := w.now
		allocs := testing.AllocsPerRun(200, func() {
			now += 10_000_000
			out.Reset()
			n.core.Tick(now, &out)
		})
		require.True(t, out.Empty())
		require.Zero(t, allocs, "replica %d", n.id)
	}
}

// A certificate that is known already, which every peer may send, costs nothing but
// the look.
func TestDuplicateCertificateDoesNotAllocate(t *testing.T) {
	w := idleWorld()
	n := w.nodes[1]
	q := n.verifier.Own(n.core.viewCommit)
	var out Output
	allocs := testing.AllocsPerRun(200, func() {
		out.Reset()
		n.core.Step(q, &out)
	})
	require.True(t, out.Empty())
	require.Zero(t, allocs)
	require.NotZero(t, n.core.counters.Dropped[KindCertificate][DropDuplicate])
}

// BenchmarkRound is one request through four replicas, from Submit to its execution at
// all of them, with symbolic signatures: the cost of the protocol itself, encodings
// included. Divide by four for the share of one replica.
func BenchmarkRound(b *testing.B) {
	w := newWorld(equalWeights(4), 1, func(c *Config) {
		c.CheckpointEvery, c.LogMax, c.Retain = 128, 512, 128
	})
	w.tick()
	w.settle(nil)
	requests := make([]*Request, b.N)
	for i := range requests {
		requests[i] = w.request(1, uint64(i)+1, "op")
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range requests {
		w.nodes[0].submit(requests[i])
		w.settle(nil)
	}
	b.StopTimer()
	if got := w.nodes[3].core.ExecutedHeight(); got != Height(b.N) || len(w.broken) > 0 {
		b.Fatalf("executed %d of %d: %v", got, b.N, w.broken)
	}
}
