package pbft

import "github.com/parley-bft/parley/crypto"

// Blocks that are missing are pulled from one peer at a time, in turn, with a
// retry: by height when this replica is far behind, by digest otherwise. Hash
// links to a certificate, or to a digest that was asked for, prove what comes.

type fetch struct {
	want  GetBlocks // what was last asked for
	asked bool
	at    uint64 // tick of that
	turn  int    // next peer
}

// tryFetch asks for what is missing most: the blocks under a CommitQC, then those
// under the base and under the highest PrepareQC of the view.
func (c *Core) tryFetch(out *Output) {
	if c.transfer != nil {
		return
	}
	want, from, ok := c.missing()
	if !ok {
		c.fetch.asked = false
		return
	}
	if c.fetch.asked && c.fetch.want == want && c.ticks < c.fetch.at+uint64(c.cfg.Timeouts.Retry) {
		return
	}
	to, ok := c.nextPeer(from)
	if !ok {
		return
	}
	c.fetch.want, c.fetch.asked, c.fetch.at = want, true, c.ticks
	out.send(to, &GetBlocks{From: want.From, Height: want.Height, Digest: want.Digest})
}

// missing returns what to ask for, and the replicas that should have it.
func (c *Core) missing() (want GetBlocks, from crypto.Bitmap, ok bool) {
	committed := c.Committed()
	if q := c.target; q != nil && q.Height > committed {
		if committed > c.executed+c.cfg.Window {
			return GetBlocks{}, nil, false // execution first: it bounds what is queued there
		}
		if q.Height > committed+c.cfg.Window {
			if have := c.ahead(); have.Count() > 0 {
				return GetBlocks{From: committed + 1}, have, true
			}
		}
		if ref, missing := c.missingBelow(q.Ref()); missing {
			return GetBlocks{From: committed + 1, Height: ref.Height, Digest: ref.Digest}, q.Signers, true
		}
	}
	if c.newView != nil && !c.baseDone && c.newView.Certificate != nil {
		if ref, missing := c.missingBelow(c.base); missing {
			return GetBlocks{From: committed + 1, Height: ref.Height, Digest: ref.Digest}, c.newView.Certificate.Signers, true
		}
	}
	if q := c.prepared; q != nil {
		if ref, missing := c.missingBelow(q.Ref()); missing && ref.Height <= c.executed+2*c.cfg.Window {
			return GetBlocks{From: committed + 1, Height: ref.Height, Digest: ref.Digest}, q.Signers, true
		}
	}
	return GetBlocks{}, nil, false
}

// ahead is the set of peers that said lately to have committed more than this replica
// and to have the next block still. Who has fallen silent may have discarded it since,
// and cannot be asked: what it said long ago must not keep this replica from the state
// that others offer.
func (c *Core) ahead() crypto.Bitmap {
	const lately = 4 // status intervals
	set := crypto.NewBitmap(c.quorums.N())
	for i := range c.peers {
		p := &c.peers[i]
		if p.known && c.ticks < p.heard+lately*uint64(c.cfg.Timeouts.Status) && p.status.Committed > c.Committed() && p.status.Oldest <= c.Committed()+1 {
			set.Set(ReplicaID(i))
		}
	}
	return set
}

// nextPeer takes turns among the candidates.
func (c *Core) nextPeer(from crypto.Bitmap) (ReplicaID, bool) {
	n := c.quorums.N()
	for range n {
		c.fetch.turn = (c.fetch.turn + 1) % n
		id := ReplicaID(c.fetch.turn)
		if id != c.cfg.Self && from.Has(id) {
			return id, true
		}
	}
	return 0, false
}

// onBlocks takes an answer. The Verifier has checked that the blocks link to each
// other, and the certificate if there is one.
func (c *Core) onBlocks(m *Blocks, out *Output) Drop {
	if len(m.Blocks) == 0 {
		return DropMalformed
	}
	first, last := m.Blocks[0], m.Blocks[len(m.Blocks)-1]
	if !c.fetch.asked {
		return DropUnwanted
	}
	c.storeNewViews(m, out)
	if c.fetch.want.Digest.IsZero() {
		q := m.Certificate
		if q == nil || q.Phase != Commit || q.Block != last.Digest() {
			return DropUnwanted
		}
		if last.Height <= c.Committed() {
			return DropDuplicate
		}
		if skip := c.Committed() + 1; first.Height < skip {
			m.Blocks = m.Blocks[skip-first.Height:]
			first = m.Blocks[0]
		}
		if first.Height != c.Committed()+1 {
			return DropUnwanted
		}
		if first.Parent != c.CommittedRef().Digest {
			c.committedFork(q, out)
			return DropCommittedFork
		}
		for _, p := range m.Blocks {
			c.hold(p, out)
		}
		c.onCertificate(q, out)
		c.commit(q, out) // the target may be further up
		c.fetch.asked = false
		return NoDrop
	}
	if last.Digest() != c.fetch.want.Digest {
		return DropUnwanted
	}
	if Height(len(c.order)+len(m.Blocks)) > c.maxHeld() {
		return DropBound
	}
	for _, p := range m.Blocks {
		if p.Height > c.Committed() {
			c.hold(p, out)
		}
	}
	c.fetch.asked = false
	return NoDrop
}

// maxHeld bounds the blocks above committed: two windows that this replica can
// have voted for in the view before and in this one, and as many that it fetched.
func (c *Core) maxHeld() Height { return 6 * c.cfg.Window }
