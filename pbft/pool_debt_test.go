package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// floodedBlocks cuts blocks of what one client that floods and some modest ones want,
// and returns how many bytes of the former are in them. Each modest client has one
// request in every block.
func floodedBlocks(t *testing.T, congested bool, modest, blocks int) (flood int) {
	const flooder, large, small = 1000, 64 << 10, 4 << 10
	p := newPool(32<<20, 64, anything)
	p.shares.congested = congested
	seq := uint64(0)
	for n := range blocks {
		for c := range modest {
			require.Equal(t, NoDrop, p.add(poolRequest(uint64(c), uint64(n+1), small), uint64(n)))
		}
		for p.clients[poolRequest(flooder, 1, 0).Client] == nil || p.heap[0].waiting.n < 20 {
			seq++
			require.Equal(t, NoDrop, p.add(poolRequest(flooder, seq, large), uint64(n)))
		}
		requests, _, emptied := p.cut(1<<20, 4096, 0, p.share())
		require.False(t, emptied)
		served := 0
		for _, r := range requests {
			if len(r.Ops[0]) == small {
				served++
			} else {
				flood += r.Size()
			}
		}
		require.Equal(t, modest, served, "block %d", n)
		p.propose(requests)
		p.remove(requests)
		p.check(t)
	}
	return flood
}

func TestFloodHasItsShareOfBlocks(t *testing.T) {
	const modest, blocks = 15, 400
	flood := floodedBlocks(t, true, modest, blocks)
	share := (4<<10 + requestWork) * 5 / 4 // a quarter more than what the others have
	require.LessOrEqual(t, flood, blocks*share*17/16+64<<10+8*firstUsual, "no more than its share")
	require.GreaterOrEqual(t, flood, blocks*share*3/4, "and no less, on average")
	require.Greater(t, floodedBlocks(t, false, modest, blocks), 10*flood, "which is little of what it has where there is room for it")
}

func TestClientsShareEquallyWhatTheyWant(t *testing.T) {
	p := newPool(32<<20, 1000, anything)
	p.shares.congested = true
	const clients, blocks = 4, 10
	had := [clients]int{}
	for c := range clients {
		for n := range 1000 {
			require.Equal(t, NoDrop, p.add(poolRequest(uint64(c), uint64(n+1), (c+1)*1000), 0))
		}
	}
	for range blocks {
		requests, _, _ := p.cut(1<<20, 4096, 0, p.share())
		for _, r := range requests {
			had[r.Client[0]] += r.Size() + requestWork
		}
		p.propose(requests)
		p.remove(requests)
	}
	for _, n := range had {
		require.InEpsilon(t, had[0], n, 0.05)
	}
}

// Who owes is held back for others only, and never so long that it is held against the
// primary.
func TestDebtsEnd(t *testing.T) {
	p := newPool(32<<20, 1000, anything)
	p.shares.congested, p.shares.patience = true, 50
	require.Equal(t, NoDrop, p.add(poolRequest(1, 1, 200<<10), 1))
	require.Equal(t, NoDrop, p.add(poolRequest(2, 1, 8), 1))
	first, _, _ := p.cut(1<<20, 4096, 0, p.share())
	require.Len(t, first, 2)
	p.propose(first)
	p.remove(first)
	for n := range uint64(20) {
		require.Equal(t, NoDrop, p.add(poolRequest(1, n+2, 100<<10), 2))
	}
	require.Equal(t, NoDrop, p.add(poolRequest(2, 2, 8), 2))
	p.shares.usual = 0
	p.clients[first[0].Client].debt.bytes += 1 << 20
	held, full, emptied := p.cut(1<<20, 4096, 0, p.share())
	require.Len(t, held, 1)
	require.False(t, full)
	require.False(t, emptied)
	p.remove(held)
	none, _, _ := p.cut(1<<20, 4096, 0, p.share())
	require.Empty(t, none)
	one, _, _ := p.cut(1<<20, 4096, 0, p.leastDebt()+1)
	require.Len(t, one, 1, "one, if nobody else asks for anything")
	p.now = 2 + 50
	late, _, _ := p.cut(1<<20, 4096, 0, p.share())
	require.NotEmpty(t, late, "it has waited for long")
	work := 0
	for _, r := range late[:len(late)-1] {
		work += r.Size() + requestWork
	}
	require.Less(t, work, p.share(), "it has a share then, not the block")
	p.now = 2
	for range 2 * recentBlocks { // others' blocks
		p.propose(nil)
	}
	paid, _, _ := p.cut(1<<20, 4096, 0, p.share())
	require.NotEmpty(t, paid)
	p.shares.congested = false
	p.propose(nil)
	require.Zero(t, p.shares.recent.n)
	p.check(t)
}

// A flood that is held back does not keep others' requests from being pipelined, and
// nothing is cut for it again and again.
func TestDebtorsDoNotStopThePipeline(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) {
		c.MaxBlockBytes, c.MaxBlockRequests, c.MaxOperationBytes, c.MaxPoolBytes = 1<<20, 4096, 64<<10, 8<<20
	})
	w.tick()
	n := w.nodes[0]
	require.True(t, n.core.isPrimary())
	n.core.SetCongested(true)
	n.submit(w.request(1, 1, "op")) // in flight
	n.submit(w.request(2, 1, "op"))
	const flooder = 200
	large := string(make([]byte, 60<<10))
	for seq := range uint64(40) {
		n.submit(w.request(flooder, seq+1, large))
		n.core.pool.clients[w.request(flooder, 1, "").Client].debt.bytes = 1 << 40
	}
	require.EqualValues(t, 1, n.core.Counters().Proposed)
	require.Greater(t, n.core.pool.bytes, n.core.cfg.MaxBlockBytes)
	var out Output
	require.Zero(t, testing.AllocsPerRun(10, func() { n.core.finish(&out) }))
	small := string(make([]byte, 8<<10))
	others := 0
	for ; others < 100 && n.core.Counters().Proposed == 1; others++ {
		n.submit(w.request(uint64(3+others), 1, small))
	}
	require.EqualValues(t, 2, n.core.Counters().Proposed)
	require.Greater(t, others, congestedBlock/2/(10<<10))
	require.Less(t, others, congestedBlock/2/(8<<10))
	require.Equal(t, 40, n.core.pool.waiting, "all that is left is the flood")
}

// A primary goes on with a client that owes, if nobody else asks for anything.
func TestPrimaryServesDebtors(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	w.tick()
	n := w.nodes[0]
	require.True(t, n.core.isPrimary())
	n.core.SetCongested(true)
	n.submit(w.request(1, 1, "op"))
	n.submit(w.request(2, 1, "op"))
	w.run(1, nil)
	require.Equal(t, 2, n.core.pool.shares.recent.n)
	debtor := n.core.pool.clients[w.request(1, 1, "op").Client]
	debtor.debt.bytes = 1 << 40
	committed := n.core.Committed()
	n.core.timers.lastCommit, n.core.timers.spoke = n.core.ticks, n.core.ticks-2
	n.submit(w.request(1, 2, "op"))
	w.settle(nil)
	require.Equal(t, committed, n.core.Committed(), "the other may ask for more")
	w.run(1, nil)
	require.Equal(t, 1, n.core.PoolLen(), "as long as the last block took")
	w.run(6, nil)
	require.Zero(t, n.core.PoolLen())

	// A block for receipts that comes meanwhile is a checkpoint: it is not needed again.
	w = newWorld(equalWeights(4), 1, func(c *Config) { c.Timeouts.Heartbeat, c.Timeouts.Idle = 1000, 2000 })
	w.run(10, nil)
	n = w.nodes[0]
	n.core.SetCongested(true)
	n.submit(w.request(1, 1, "op"))
	n.submit(w.request(2, 1, "op"))
	w.settle(nil)
	require.EqualValues(t, 2, n.core.Committed())
	require.EqualValues(t, 1, n.core.chain.tip().lastCheckpoint)
	n.core.pool.clients[w.request(1, 1, "op").Client].debt.bytes = 1 << 40
	n.core.timers.lastCommit, n.core.timers.spoke = n.core.ticks, n.core.ticks-10
	n.submit(w.request(1, 2, "op"))
	w.run(n.cfg.Timeouts.ReceiptDelay, nil)
	require.EqualValues(t, 3, n.core.Committed())
	require.Equal(t, 1, n.core.PoolLen())
	require.EqualValues(t, 3, n.core.chain.tip().lastCheckpoint)
}
