package client

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// packed plays callers and a cluster in virtual time against packing. Requests are
// answered with the block after the one that takes them, all of a block together.
type packed struct {
	t        *testing.T
	packing  packing
	patience patience
	now      time.Time
	block    time.Duration // from one block to the next
	least    time.Duration // the time from a request to its outcome, beside the wait for a block
	random   *rand.Rand    // some requests miss a block

	waiting  []time.Time // when each was submitted
	underWay []packedRequest
	submits  []time.Time                         // ahead
	again    func(at time.Time, i int) time.Time // when the caller of the i-th answer comes back; never if zero
	sizes    []int                               // of requests
	took     []time.Duration                     // from submission to answer
}

type packedRequest struct {
	sent, answer time.Time
	submitted    []time.Time
}

// run plays until virtual time has passed.
func (p *packed) run(d time.Duration) {
	for end := p.now.Add(d); ; {
		next := end
		for {
			for len(p.submits) > 0 && !p.submits[0].After(p.now) {
				p.waiting, p.submits = append(p.waiting, p.submits[0]), p.submits[1:]
			}
			if len(p.waiting) == 0 {
				break
			}
			wait, enough := p.packing.hold(p.now, len(p.waiting), len(p.underWay) > 0, p.patience.usual)
			if wait > 0 {
				require.Greater(p.t, enough, len(p.waiting))
				next = p.now.Add(wait)
				break
			}
			answer := p.now.Add(p.least + time.Duration(p.random.Int64N(int64(p.block)/2))).Truncate(p.block).Add(p.block)
			p.underWay = append(p.underWay, packedRequest{p.now, answer, p.waiting})
			p.sizes = append(p.sizes, len(p.waiting))
			p.packing.cut(p.now, len(p.waiting))
			p.waiting = nil
		}
		if len(p.submits) > 0 && p.submits[0].Before(next) {
			next = p.submits[0]
		}
		for _, q := range p.underWay {
			if q.answer.Before(next) {
				next = q.answer
			}
		}
		if p.now = next; !p.now.Before(end) {
			return
		}
		under := 0
		for _, q := range p.underWay {
			under += len(q.submitted)
		}
		p.underWay = slices.DeleteFunc(p.underWay, func(q packedRequest) bool {
			if q.answer.After(p.now) {
				return false
			}
			p.patience.took(p.now.Sub(q.sent))
			under -= len(q.submitted)
			p.packing.outcome(p.now, len(q.submitted), under, p.patience.usual)
			for i, s := range q.submitted {
				p.took = append(p.took, p.now.Sub(s))
				if at := p.again(p.now, i); !at.IsZero() {
					i, _ := slices.BinarySearchFunc(p.submits, at, time.Time.Compare)
					p.submits = slices.Insert(p.submits, i, at)
				}
			}
			return true
		})
	}
}

// longest is how long an operation takes that is not held back.
func (p *packed) longest() time.Duration { return p.least + p.block/2 + p.block }

// newPacked has so many callers, who come one every half millisecond at first.
func newPacked(t *testing.T, callers int) *packed {
	p := &packed{t: t, packing: newPacking(0), now: time.Unix(1000, 0), block: 20 * time.Millisecond, least: 25 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2))}
	p.again = func(at time.Time, i int) time.Time { return at.Add(time.Duration(i) * 10 * time.Microsecond) }
	for i := range callers {
		p.submits = append(p.submits, p.now.Add(time.Duration(i)*500*time.Microsecond))
	}
	return p
}

// Whoever calls alone is not held back, however often.
func TestPackingLeavesALoneCallerAlone(t *testing.T) {
	p := newPacked(t, 1)
	p.run(10 * time.Second)
	require.Greater(t, len(p.sizes), 200)
	for _, d := range p.took {
		require.LessOrEqual(t, d, p.longest())
	}
	p = newPacked(t, 1)
	p.again = func(at time.Time, _ int) time.Time { return at.Add(time.Millisecond) }
	p.run(10 * time.Second)
	for _, d := range p.took {
		require.LessOrEqual(t, d, p.longest())
	}
}

// Callers who come at different times come together, and stay.
func TestPackingCollects(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	for _, callers := range []int{2, 16, 64, 500} {
		p := newPacked(t, callers)
		p.run(2 * time.Second)
		p.sizes, p.took = nil, nil
		p.run(2 * time.Second)
		for _, n := range p.sizes {
			require.Equal(t, callers, n)
		}
		// What is waited for is that the others come back, and no more.
		gather := time.Duration(callers) * 10 * time.Microsecond
		for _, d := range p.took {
			require.LessOrEqual(t, d, p.longest()+gather)
		}
	}
}

// Callers of whom half leave cost the others a moment, once.
func TestPackingForgetsThoseWhoLeave(t *testing.T) {
	p := newPacked(t, 64)
	p.run(2 * time.Second)
	left := 32
	p.again = func(at time.Time, i int) time.Time {
		if left > 0 {
			left--
			return time.Time{}
		}
		return at
	}
	p.sizes, p.took = nil, nil
	p.run(time.Second)
	late := 0
	for i, d := range p.took[64:] {
		if d > p.longest() {
			require.Less(t, i, 64)
			late++
		}
	}
	require.LessOrEqual(t, late, 32)
	require.Equal(t, 32, p.sizes[len(p.sizes)-1])
}

// Arrivals that are nobody's answer's consequence are not taken for returning
// callers: between them nothing is waited for, whatever was answered together.
func TestPackingLeavesAnOpenLoopAlone(t *testing.T) {
	p := newPacked(t, 0)
	p.again = func(time.Time, int) time.Time { return time.Time{} }
	for i := range 1000 { // three close together, and then nothing for a while
		at := p.now.Add(time.Duration(i) * 100 * time.Millisecond)
		p.submits = append(p.submits, at, at.Add(time.Millisecond), at.Add(2*time.Millisecond))
	}
	p.run(100 * time.Second)
	require.Len(t, p.took, 3000)
	first := 0
	for _, d := range p.took[300:] {
		require.LessOrEqual(t, d, p.longest()+p.patience.usual/packingPart+p.block)
		if d <= p.longest() {
			first++
		}
	}
	require.GreaterOrEqual(t, first, 900, "the first of each three goes at once")
}

// Under a flood requests keep their distance, and no more of them are under way than
// that permits.
func TestPackingKeepsADistance(t *testing.T) {
	p := newPacked(t, 0)
	p.again = func(time.Time, int) time.Time { return time.Time{} }
	for i := range 20_000 {
		p.submits = append(p.submits, p.now.Add(time.Duration(i)*100*time.Microsecond))
	}
	p.run(500 * time.Millisecond)
	for range 15 {
		p.sizes = nil
		p.run(100 * time.Millisecond)
		require.LessOrEqual(t, len(p.underWay), packingPart+2)
		require.LessOrEqual(t, len(p.sizes), 100/8)
	}
}

func TestPackingMoment(t *testing.T) {
	k := newPacking(0)
	require.Equal(t, lingerAtFirst, k.moment(0))
	require.Equal(t, 5*time.Millisecond, k.moment(20*time.Millisecond))
	require.Equal(t, lingerAtMost, k.moment(time.Hour))
	k = newPacking(time.Second)
	require.Equal(t, time.Second, k.moment(0))
	require.Equal(t, time.Second, k.moment(20*time.Millisecond), "said is said")

	// A clock that is set back holds nothing up.
	now := time.Unix(1000, 0)
	k.cut(now, 1)
	wait, _ := k.hold(now.Add(100*time.Millisecond), 1, true, 0)
	require.Equal(t, 900*time.Millisecond, wait)
	wait, _ = k.hold(now.Add(-time.Minute), 1, true, 0)
	require.Zero(t, wait)
	k.outcome(now, 5, 0, time.Second)
	wait, _ = k.hold(now.Add(-time.Minute), 1, false, time.Second)
	require.Zero(t, wait)
	wait, enough := k.hold(now, 1, false, time.Second)
	require.Equal(t, 250*time.Millisecond, wait)
	require.Equal(t, 5, enough)
	wait, _ = k.hold(now, 5, false, time.Second)
	require.Zero(t, wait)
}

// What callers have given up brings nobody back: it holds up no operation, however many
// others are under way.
func TestPackingIgnoresAnOutcomeForNobody(t *testing.T) {
	const usual = 20 * time.Millisecond
	now := time.Unix(1000, 0)
	k := newPacking(0)
	k.cut(now, 100)
	now = now.Add(usual)
	k.outcome(now, 0, 100, usual)
	wait, _ := k.hold(now, 1, true, usual)
	require.Zero(t, wait)

	// And it does not end what others wait for.
	k.outcome(now, 10, 100, usual)
	k.outcome(now, 0, 90, usual)
	wait, _ = k.hold(now, 1, true, usual)
	require.Equal(t, uniteMoments*usual/packingPart, wait)
}
