package replica

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// gatherModel is a primary as gather sees it, with clients, in time that passes in
// steps of 50 microseconds.
type gatherModel struct {
	g        gather
	now      time.Duration
	arrivals []time.Duration // to come, in order
	waiting  int
	tip      pbft.Height
	done     time.Duration // of the block in flight
	inFlight int           // operations in it, 0 if there is none
	holds    bool
	blocks   []int                     // operations in each
	takes    time.Duration             // a block
	again    func(i int) time.Duration // after an answer to the i-th of a block, 0 for never
}

func (m *gatherModel) arrive(after time.Duration) {
	i, _ := slices.BinarySearch(m.arrivals, m.now+after)
	m.arrivals = slices.Insert(m.arrivals, i, m.now+after)
}

func (m *gatherModel) run(d time.Duration) {
	for end := m.now + d; m.now < end; m.now += 50 * time.Microsecond {
		event := false
		for len(m.arrivals) > 0 && m.arrivals[0] <= m.now {
			m.arrivals = m.arrivals[1:]
			m.waiting++
			event = true
		}
		committed := 0
		if m.inFlight > 0 && m.now >= m.done {
			committed, m.inFlight, event = m.inFlight, 0, true
		}
		if m.cut(); committed > 0 {
			m.g.fresh += committed
			for i := range committed {
				if after := m.again(i); after > 0 {
					m.arrive(after)
				}
			}
		}
		at := gatherView{tip: m.tip, committed: m.tip, waiting: m.waiting}
		if m.inFlight > 0 {
			at.committed--
		}
		if now := time.Unix(0, 0).Add(m.now); event || m.g.pausing() && m.waiting > 0 && !now.Before(m.g.until) {
			if m.holds = m.g.step(now, at); !m.holds {
				m.cut()
			}
		}
	}
}

// cut is the core's: what waits when nothing is in flight, unless it is held.
func (m *gatherModel) cut() {
	if m.inFlight == 0 && m.waiting > 0 && !m.holds {
		m.blocks = append(m.blocks, m.waiting)
		m.tip++
		m.inFlight, m.waiting, m.done = m.waiting, 0, m.now+m.takes
	}
}

// Clients that ask again when they are answered come into one block, wherever they
// began, and stay there.
func TestGatherMerges(t *testing.T) {
	for _, clients := range []int{1, 2, 16, 100} {
		m := &gatherModel{takes: 6 * time.Millisecond}
		m.again = func(i int) time.Duration { return time.Millisecond + time.Duration(i*2000/clients)*time.Microsecond }
		for i := range clients {
			m.arrive(time.Duration(i%2) * 3 * time.Millisecond)
		}
		m.run(time.Second)
		require.Greater(t, len(m.blocks), 100)
		for i, b := range m.blocks[20:] {
			require.GreaterOrEqual(t, b, clients-clients/gatherPart, "block %d of %d clients", i+20, clients)
		}
		require.Zero(t, m.g.counters.vain)
	}
}

// Clients whose answers and next operations are on their way for longer than a block takes
// are waited for too: apart they would make twice as many blocks.
func TestGatherWaitsForTwoBlocks(t *testing.T) {
	m := &gatherModel{takes: 4 * time.Millisecond}
	m.again = func(i int) time.Duration { return 3*time.Millisecond + time.Duration(i)*200*time.Microsecond }
	for i := range 16 {
		m.arrive(time.Duration(i%2) * 3 * time.Millisecond)
	}
	m.run(time.Second)
	for i, b := range m.blocks[20:] {
		require.Equal(t, 16, b, "block %d", i+20)
	}
}

// What comes at its own pace is not held, but for a trial now and then.
func TestGatherOpenLoop(t *testing.T) {
	for _, every := range []time.Duration{50 * time.Millisecond, 4 * time.Millisecond, time.Millisecond, 100 * time.Microsecond} {
		m := &gatherModel{takes: 6 * time.Millisecond, again: func(int) time.Duration { return 0 }}
		for i := range int(40 * time.Second / every) {
			// Now early, now late, by up to half of the time between two.
			m.arrive(time.Duration(i)*every + time.Duration(i*i%7)*every/14)
		}
		m.run(40 * time.Second)
		require.Greater(t, len(m.blocks), 300)
		pauses := m.g.counters.filled + m.g.counters.vain
		require.Less(t, pauses, uint64(len(m.blocks)/20), "every %v: of %d blocks", every, len(m.blocks))
	}
}

// When clients leave, the others wait for them a few times and no more.
func TestGatherClientsLeave(t *testing.T) {
	m := &gatherModel{takes: 6 * time.Millisecond}
	left := false
	m.again = func(i int) time.Duration {
		if left && i >= 4 {
			return 0
		}
		return 2 * time.Millisecond
	}
	for range 16 {
		m.arrive(0)
	}
	m.run(500 * time.Millisecond)
	require.Equal(t, 16, m.blocks[len(m.blocks)-1])
	require.Zero(t, m.g.counters.vain)
	left = true
	m.run(time.Second)
	require.Equal(t, 4, m.blocks[len(m.blocks)-1])
	require.Greater(t, m.g.counters.vain, uint64(0))
	require.LessOrEqual(t, m.g.counters.vain, uint64(gatherTotals))
}

// Those that come back later than a block takes are not waited for.
func TestGatherSlowClients(t *testing.T) {
	m := &gatherModel{takes: 6 * time.Millisecond, again: func(int) time.Duration { return 20 * time.Millisecond }}
	for i := range 16 {
		m.arrive(time.Duration(i) * time.Millisecond)
	}
	m.run(20 * time.Second)
	require.Less(t, m.g.counters.vain, uint64(len(m.blocks)/20), "of %d blocks", len(m.blocks))
}

// Nothing is held when nothing was answered just now, and a full block ends a pause.
func TestGatherHoldsOnlyInPauses(t *testing.T) {
	var g gather
	now := time.Unix(1, 0)
	at := func(tip, committed pbft.Height, waiting int) gatherView { return gatherView{tip, committed, waiting} }
	require.False(t, g.step(now, at(0, 0, 5)))
	commit := func(h pbft.Height, ops, waiting int) bool {
		g.step(now, at(h, h-1, waiting))
		now = now.Add(4 * time.Millisecond)
		g.fresh = ops
		return g.step(now, at(h, h, waiting))
	}
	require.False(t, commit(1, 8, 8), "the first commit begins a trial")
	for h := pbft.Height(2); h < 7; h++ {
		commit(h, 8, 8)
		g.step(now, at(h, h, 16))
	}
	require.True(t, commit(7, 8, 8))
	require.True(t, g.step(now, at(7, 7, 15)))
	require.False(t, g.step(now, at(7, 7, 16)), "they are there")
	require.True(t, g.step(now, at(8, 7, 0)), "in flight")
	require.True(t, commit(8, 8, 8))
	pauses := g.pauses
	require.True(t, g.step(now, at(9, 8, 0)), "a full block was cut")
	require.False(t, g.pausing())
	require.Equal(t, pauses, g.pauses, "that is no judgement")
	require.True(t, commit(9, 8, 8))
	require.False(t, g.step(g.until, at(9, 9, 15)), "the pause is over")
	require.False(t, g.step(now, at(9, 9, 0)))
}

// However long blocks take, a pause has its limits.
func TestGatherLimits(t *testing.T) {
	for takes, pause := range map[time.Duration]time.Duration{
		0: gatherMin, 4 * time.Millisecond: gatherBlocks * 4 * time.Millisecond, time.Second: gatherMax,
	} {
		g := gather{on: true, took: takes, fresh: 8, totals: [gatherTotals]int{16, 16, 16, 16, 16, 16, 16, 16}}
		now := time.Unix(1, 0)
		require.True(t, g.step(now, gatherView{3, 3, 8}))
		require.Equal(t, pause, g.until.Sub(now))
	}
}
