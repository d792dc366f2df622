package pbft

// chain is the committed chain from the oldest block kept to the committed tip,
// headers only. Invariant: at least one link; each extends the one before.
type chain struct {
	links []link
}

type link struct {
	Header
	digest Digest
	// checkpoint is the time of the nearest checkpoint block at or below.
	checkpoint Time
	// lastCheckpoint is the height of that block.
	lastCheckpoint Height
}

func (l *link) ref() BlockRef { return BlockRef{l.Height, l.digest} }

func (ch *chain) tip() *link { return &ch.links[len(ch.links)-1] }

func (ch *chain) tipRef() BlockRef { return ch.tip().ref() }

func (ch *chain) low() Height { return ch.links[0].Height }

// at returns the link at height h, or nil.
func (ch *chain) at(h Height) *link {
	low := ch.low()
	if h < low || h >= low+Height(len(ch.links)) {
		return nil
	}
	return &ch.links[h-low]
}

// has tells whether ref is on the chain; known is false when the height is below
// what is kept.
func (ch *chain) has(ref BlockRef) (on, known bool) {
	l := ch.at(ref.Height)
	if l == nil {
		return false, false
	}
	return l.digest == ref.Digest, true
}

func (ch *chain) push(h Header, digest Digest, isCheckpoint bool) {
	l := link{Header: h, digest: digest}
	if len(ch.links) > 0 {
		t := ch.tip()
		must(h.Height == t.Height+1 && h.Parent == t.digest, "block %d:%v does not extend the committed %v", h.Height, digest, t.ref())
		l.checkpoint, l.lastCheckpoint = t.checkpoint, t.lastCheckpoint
	}
	if isCheckpoint || len(ch.links) == 0 {
		l.checkpoint, l.lastCheckpoint = h.Time, h.Height
	}
	ch.links = append(ch.links, l)
}

// drop forgets all links below h, but not the tip.
func (ch *chain) drop(h Height) {
	n := 0
	for n < len(ch.links)-1 && ch.links[n].Height < h {
		n++
	}
	if n > 0 {
		ch.links = append(ch.links[:0], ch.links[n:]...)
	}
}

// extendsCommitted tells whether ref is on the committed chain, or is a block
// held here whose ancestors are all held down to the committed tip.
func (c *Core) extendsCommitted(ref BlockRef) bool {
	committed := c.chain.tip()
	if ref.Height <= committed.Height {
		on, _ := c.chain.has(ref)
		return on
	}
	for {
		e := c.blocks[ref.Digest]
		if e == nil || e.proposal.Height != ref.Height {
			return false
		}
		if ref.Height == committed.Height+1 {
			return e.proposal.Parent == committed.digest
		}
		ref = BlockRef{ref.Height - 1, e.proposal.Parent}
	}
}

// missingBelow returns the highest block at or below ref that is not held, when
// some block between ref and the committed tip is missing. ok is false when
// nothing is missing, or when the branch ends in conflict with the committed chain.
func (c *Core) missingBelow(ref BlockRef) (missing BlockRef, ok bool) {
	committed := c.Committed()
	for ref.Height > committed {
		e := c.blocks[ref.Digest]
		if e == nil {
			return ref, true
		}
		if e.proposal.Height != ref.Height {
			return BlockRef{}, false
		}
		ref = BlockRef{ref.Height - 1, e.proposal.Parent}
	}
	return BlockRef{}, false
}

// onOneChain tells whether a and b are known to lie on one chain. Both must be on
// the committed chain or held.
func (c *Core) onOneChain(a, b BlockRef) bool {
	if a.Height > b.Height {
		a, b = b, a
	}
	committed := c.chain.tip()
	for b.Height > a.Height && b.Height > committed.Height {
		e := c.blocks[b.Digest]
		if e == nil || e.proposal.Height != b.Height {
			return false
		}
		b = BlockRef{b.Height - 1, e.proposal.Parent}
	}
	if b.Height == a.Height {
		return a == b
	}
	// Both are at or below committed.
	onA, _ := c.chain.has(a)
	onB, _ := c.chain.has(b)
	return onA && onB
}

// parentInfo returns time and checkpoint time of a block that the next proposal
// extends.
func (c *Core) parentInfo(ref BlockRef) (t, checkpoint Time, ok bool) {
	if ref.Height <= c.Committed() {
		l := c.chain.at(ref.Height)
		if l == nil || l.digest != ref.Digest {
			return 0, 0, false
		}
		return l.Time, l.checkpoint, true
	}
	e := c.blocks[ref.Digest]
	if e == nil {
		return 0, 0, false
	}
	return e.proposal.Time, e.checkpoint, true
}

// hold adds a block above committed to what is held, and to the log.
func (c *Core) hold(p *PrePrepare, out *Output) *entry {
	d := p.Digest()
	if e := c.blocks[d]; e != nil {
		e.lastView = max(e.lastView, c.durable.View)
		return e
	}
	e := &entry{proposal: p, digest: d, lastView: max(c.durable.View, p.View)}
	c.blocks[d] = e
	c.order = append(c.order, e)
	c.setCheckpointTimes()
	out.put(RecordKey{Kind: RecordBlock, Height: uint64(p.Height), Digest: d}, p.record())
	return e
}

// setCheckpointTimes fills in the checkpoint time of entries whose parent is known.
// Blocks may arrive children first, so it goes over all of them; there are few.
func (c *Core) setCheckpointTimes() {
	for again := true; again; {
		again = false
		for _, e := range c.order {
			if e.checkpoint != 0 {
				continue
			}
			if c.IsCheckpoint(&e.proposal.Header) {
				e.checkpoint = max(e.proposal.Time, 1)
				again = true
				continue
			}
			_, cp, ok := c.parentInfo(BlockRef{e.proposal.Height - 1, e.proposal.Parent})
			if ok && cp != 0 {
				e.checkpoint = cp
				again = true
			}
		}
	}
}

// dropBlocks removes held blocks for which gone returns true, also from the log.
// Blocks that were committed are removed from memory only.
func (c *Core) dropBlocks(out *Output, gone func(*entry) (drop, erase bool)) {
	kept := c.order[:0]
	for _, e := range c.order {
		drop, erase := gone(e)
		if !drop {
			kept = append(kept, e)
			continue
		}
		delete(c.blocks, e.digest)
		if erase {
			out.remove(RecordKey{Kind: RecordBlock, Height: uint64(e.proposal.Height), Digest: e.digest})
		}
	}
	clear(c.order[len(kept):])
	c.order = kept
}
