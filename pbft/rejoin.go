package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Rejoining with the old key after the disk was lost (PROTOCOL 14).
//
// A follower signs nothing. It asks everybody for their view, by its own Status, and
// waits for answers of a quorum, itself left out. An answer x counts once it is
// shown: this replica holds a NewView or certificate of a view >= x-1 (an honest
// replica has left for x only after x-1 was reached). M is the largest answer that
// counts. The follower stays silent until it holds a CommitQC of a view w > M, and
// takes part from view w on.
//
// Only answers that echo this process's incarnation count: one that waited on a
// link since before the disk was lost may name a view below the last vote.
//
// Why this is safe: before it lost its disk it can have voted in a view v only
// after NewView(v), so a quorum had made view >= v durable; an honest one of them
// is among the answers; so M >= v. From w on its claims rank above everything that
// it may have signed a Commit for, and what of that was committed lies below the
// block that w committed.
//
// So does everything that it executed, and may have signed a checkpoint statement for. If
// its state was wrong then, a statement of now would be proof against it together with that
// one. Its statements up to that block are therefore never sent (R23): q's height is on
// disk before the vote is back.

type rejoin struct {
	answers []View // by replica; the view it said to be in
	has     crypto.Bitmap
	shown   View // highest view proven by a NewView or certificate
	settled bool
	max     View // M, once settled
}

// silent tells whether a statement for the height is never sent, since this replica may have
// sent another one before it lost its disk.
func (c *Core) silent(h Height) bool { return c.follower || h <= c.rejoined }

func decodeRecordRejoined(value []byte) (Height, error) {
	r := canon.NewReader(value)
	h := Height(r.Uint64())
	if err := r.Close(); err != nil {
		return 0, fmt.Errorf("stored height of rejoining: %w", err)
	}
	return h, nil
}

func (c *Core) noteRejoinAnswer(from ReplicaID, m *Status) {
	if !c.follower || c.rejoin.settled || m.Follower || m.Echo == 0 || m.Echo != c.cfg.Incarnation {
		return
	}
	c.rejoin.has.Set(from)
	c.rejoin.answers[from] = max(c.rejoin.answers[from], m.View)
}

// tryRejoin settles M and then waits for the commit that gives the vote back.
func (c *Core) tryRejoin(out *Output) {
	if !c.follower {
		return
	}
	r := &c.rejoin
	// Whatever view this replica is in by a NewView or certificate is shown.
	if c.durable.Entered || !c.wantNewView.IsZero() {
		r.shown = max(r.shown, c.durable.View)
	}
	r.shown = max(r.shown, c.High().View)
	if !r.settled {
		counted := crypto.NewBitmap(c.quorums.N())
		top := View(0)
		r.has.Each(func(id ReplicaID) {
			if r.answers[id] <= r.shown+1 {
				counted.Set(id)
				top = max(top, r.answers[id])
			}
		})
		if !c.quorums.IsQuorum(counted) {
			return
		}
		r.settled, r.max = true, top
	}
	q := c.viewCommit
	if q == nil || q.View <= r.max || !c.durable.Entered || c.high == nil || c.high.View < q.View || c.Committed() < q.Height {
		return
	}
	c.follower = false
	c.durable.VotedView, c.durable.Voted, c.durable.Floor = 0, BlockRef{}, 0
	c.dirty = true
	c.tip, c.tipSet = q.Ref(), true
	c.baseDone = true
	c.rejoined = q.Height
	out.put(RecordKey{Kind: RecordRejoined}, canon.AppendUint64(nil, uint64(q.Height)))
	out.remove(RecordKey{Kind: RecordRejoin})
	c.timers.statusDue = true
}

// patience is what is left of the others' readiness to change views for a replica
// that says that it waits to rejoin. It needs one view to open while it waits, a few if
// their primaries fail; a traitor may say so for ever, or whenever it suits it. So each
// view that opened while it waited, or because it had, doubles the time until it is
// listened to again, which leaves the wait of an honest replica finite. One doubling is
// forgiven for each of the longest waits.
type patience struct {
	used     bool   // its waiting ends the present view, whatever it says by now
	deaf     uint64 // tick before which its waiting changes no view
	doubled  uint
	lastView uint64 // tick of the last view that opened while it waited
}

// rejoinRotation is the shortest reign, in progress timeouts, while a replica waits
// to rejoin; maxDoubled bounds how often that is doubled.
const (
	rejoinRotation = 20
	maxDoubled     = 10
)

func (c *Core) shortestReign() uint64 { return rejoinRotation * uint64(c.cfg.Timeouts.Progress) }

// listened tells whether a peer says that it waits to rejoin and is listened to.
func (c *Core) listened(p *peer) bool {
	return p.known && p.status.Follower && c.ticks >= p.patience.deaf
}

// rejoinRotationDue tells whether a replica waits for a new view to get its vote
// back (PROTOCOL 14) and this view has lasted long enough.
func (c *Core) rejoinRotationDue() bool {
	if !c.open || c.follower || c.suspicion.has(CauseRotation) || c.ticks < c.timers.openSince+c.shortestReign() {
		return false
	}
	for i := range c.peers {
		if c.listened(&c.peers[i]) {
			return true
		}
	}
	return false
}

// rotateToRejoin ends the reign for those who wait to rejoin. It notes who they are:
// the suspicion stands for the rest of the view, so they pay for it even if they say
// that they wait no more.
func (c *Core) rotateToRejoin(out *Output) {
	for i := range c.peers {
		if p := &c.peers[i]; c.listened(p) {
			p.patience.used = true
		}
	}
	c.suspect(CauseRotation, out)
}

// chargeFollowers notes that a view opened: what those who wait to rejoin wait for.
func (c *Core) chargeFollowers() {
	longest := c.shortestReign() << maxDoubled
	for i := range c.peers {
		p := &c.peers[i]
		k := &p.patience
		if !k.used && !(p.known && p.status.Follower) {
			continue
		}
		k.used = false
		k.doubled -= uint(min(uint64(k.doubled), (c.ticks-k.lastView)/longest))
		k.deaf, k.lastView = c.ticks+c.shortestReign()<<k.doubled, c.ticks
		k.doubled = min(k.doubled+1, maxDoubled)
	}
}
