package pbft

import (
	"cmp"
	"slices"
)

// The NewViews of the views that the chain went through are kept with it: the blame
// walk goes from a certificate to the NewView that it names, and on from that one's
// certificate (R19).

// storedNewView is a NewView on disk. The record of the first of a view has no
// digest in its key, that of a second one has.
type storedNewView struct {
	view   View
	digest Digest
	second bool
}

func (s storedNewView) key() RecordKey {
	k := RecordKey{Kind: RecordNewView, Height: uint64(s.view)}
	if s.second {
		k.Digest = s.digest
	}
	return k
}

// maxStoredNewViews bounds the NewViews kept between two prunings, but for those that
// a certificate names which this replica holds: what it enters a view by it must write
// down, also while one view after another fails and nothing is pruned.
const maxStoredNewViews = 1024

// noteStoredNewView notes a NewView that this replica made and wrote down; the digest
// follows when its own copy comes back, signed.
func (c *Core) noteStoredNewView(v View) { c.noteStored(storedNewView{view: v}) }

// putNewView writes down the NewView that this replica enters a view by.
func (c *Core) putNewView(n *NewView, out *Output) {
	c.evictNewViews(out)
	s := storedNewView{view: n.View, digest: n.Digest()}
	out.put(s.key(), n.append(nil))
	c.noteStored(s)
}

// storeNewViews keeps the NewViews of views that this replica passed through without
// them.
func (c *Core) storeNewViews(m *Blocks, out *Output) {
	// From the highest view down: each may be named by the certificate of one above.
	byView := slices.Clone(m.NewViews)
	slices.SortFunc(byView, func(a, b *NewView) int { return cmp.Compare(b.View, a.View) })
	named := []*Certificate{m.Certificate}
	for _, n := range byView {
		isNamed, why := c.storeNewView(n, named, out)
		c.countNewView(why)
		if isNamed && n.Certificate != nil {
			named = append(named, n.Certificate)
		}
	}
}

// evictNewViews makes room for one NewView. What goes first is the newest that no
// certificate names, of a view that was left: in a row of views that failed nothing
// rests on those. One that is named later all the same comes with the blocks.
func (c *Core) evictNewViews(out *Output) {
	for i := len(c.storedNVs) - 1; i >= 0 && len(c.storedNVs) >= maxStoredNewViews; i-- {
		s := c.storedNVs[i]
		if s.view >= c.durable.View || c.names(s.view, s.digest, nil) {
			continue
		}
		out.remove(s.key())
		c.storedNVs = slices.Delete(c.storedNVs, i, i+1)
		c.countNewView(DropBound)
	}
}

// storeNewView keeps a NewView of a view that this replica has left, or entered by
// another one, if a certificate names it: one of those given or of its own. An
// equivocating primary signs several NewViews for one view, and any of its accomplices can
// send one of those along; but votes name the NewView that they were cast under, so
// while the traitors weigh at most F a quorum names only one of them. That one is kept
// also beside another that this replica entered the view by. It tells whether n is named,
// and why it was not kept, NoDrop if it was.
func (c *Core) storeNewView(n *NewView, named []*Certificate, out *Output) (isNamed bool, why Drop) {
	d := n.Digest()
	switch {
	case n.View > c.durable.View || n.View == c.durable.View && !c.durable.Entered:
		return false, DropFutureView
	case !c.names(n.View, d, named):
		return false, DropUnwanted
	}
	first, full := true, false
	for _, s := range c.storedNVs {
		if s.view == n.View {
			if s.digest == d {
				return true, DropDuplicate
			}
			first, full = false, full || s.second
		}
	}
	if full {
		return true, DropBound // two of a view are kept
	}
	if first && n.View == c.durable.View {
		return true, DropDuplicate // the view was entered by one, which is being written
	}
	if len(c.storedNVs) >= maxStoredNewViews {
		return true, DropBound
	}
	s := storedNewView{n.View, d, !first}
	out.put(s.key(), n.append(nil))
	c.noteStored(s)
	return true, NoDrop
}

// countNewView counts a NewView that is not kept, or no longer.
func (c *Core) countNewView(why Drop) {
	if why != NoDrop {
		c.counters.DroppedNewView[why]++
	}
}

// names tells whether a certificate of the view, one of more or one that this replica
// holds, names the NewView.
func (c *Core) names(v View, d Digest, more []*Certificate) bool {
	by := func(q *Certificate) bool { return q != nil && q.View == v && q.NewView == d }
	return slices.ContainsFunc(more, by) || slices.ContainsFunc(c.kept, by) || by(c.high) || by(c.target) || by(c.commitQC) ||
		by(c.prepared) || by(c.viewCommit) || c.newView != nil && by(c.newView.Certificate)
}

// noteStored keeps the list in ascending order of views.
func (c *Core) noteStored(s storedNewView) {
	at := len(c.storedNVs)
	for at > 0 && c.storedNVs[at-1].view >= s.view {
		if c.storedNVs[at-1].key() == s.key() {
			c.storedNVs[at-1] = s
			return
		}
		at--
	}
	c.storedNVs = slices.Insert(c.storedNVs, at, s)
}

// pruneNewViews removes NewViews of views below that of the oldest block kept.
func (c *Core) pruneNewViews(out *Output) {
	oldest := c.chain.links[0].View
	gone := 0
	for _, s := range c.storedNVs {
		if s.view >= oldest || s.view >= c.durable.View {
			break
		}
		out.remove(s.key())
		gone++
	}
	c.storedNVs = slices.Delete(c.storedNVs, 0, gone)
}
