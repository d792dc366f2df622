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
	newViewName
	second bool
	// rests is the NewView that its certificate names, zero if that is of the first view
	// or there is none.
	rests newViewName
	// named: a certificate that this replica used names it, be it one that another NewView
	// rests on. It stays until it is pruned.
	named bool
}

// newViewName is how certificates name a NewView. One of the first view has no NewView:
// its name is zero.
type newViewName struct {
	view   View
	digest Digest
}

func newViewOf(q *Certificate) newViewName { return newViewName{q.View, q.NewView} }

func newStoredNewView(n *NewView, d Digest) storedNewView {
	s := storedNewView{newViewName: newViewName{n.View, d}}
	if q := n.Certificate; q != nil {
		s.rests = newViewOf(q)
	}
	return s
}

func (s *storedNewView) key() RecordKey {
	k := RecordKey{Kind: RecordNewView, Height: uint64(s.view)}
	if s.second {
		k.Digest = s.digest
	}
	return k
}

// DefaultMaxNewViews is the bound if [Config] has none.
const DefaultMaxNewViews = 1024

// noteStoredNewView notes a NewView that this replica made and wrote down; the digest
// follows when its own copy comes back, signed.
func (c *Core) noteStoredNewView(v View) {
	c.noteStored(storedNewView{newViewName: newViewName{view: v}})
}

// putNewView writes down the NewView that this replica enters a view by.
func (c *Core) putNewView(n *NewView, out *Output) {
	c.evictNewViews(out)
	s := newStoredNewView(n, n.Digest())
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

// evictNewViews makes room for one NewView among those that nothing leads to: what this
// replica enters a view by it must write down, also while one view after another fails
// and nothing is pruned. The oldest go first, since a certificate that was made in a view
// that failed, and that others have, may still come. It is called once for each view.
func (c *Core) evictNewViews(out *Output) {
	if len(c.storedNVs) < c.cfg.MaxNewViews {
		return
	}
	c.markNamed()
	over := 1 - c.cfg.MaxNewViews
	for i := range c.storedNVs {
		if !c.storedNVs[i].named {
			over++
		}
	}
	c.storedNVs = slices.DeleteFunc(c.storedNVs, func(s storedNewView) bool {
		if over <= 0 || s.named || s.view >= c.durable.View {
			return false
		}
		over--
		out.remove(s.key())
		c.countNewView(DropBound)
		return true
	})
}

// markNamed marks what the blame walk may come to: the NewViews that the certificates
// held here name, and those that the certificates of NewViews kept here name. Of a view in which
// a block of the log was proposed all count: should a NewView in between be missing, the
// walk still finds those that committed something.
func (c *Core) markNamed() {
	names, proposed := map[newViewName]bool{}, map[View]bool{}
	for _, q := range c.kept {
		names[newViewOf(q)] = true
	}
	for _, q := range c.used() {
		if q != nil {
			names[newViewOf(q)] = true
		}
	}
	for i := range c.chain.links {
		proposed[c.chain.links[i].View] = true
	}
	// From the highest view down: certificates are of lower views than the NewViews
	// that they are in.
	for i := len(c.storedNVs) - 1; i >= 0; i-- {
		s := &c.storedNVs[i]
		s.named = s.named || names[s.newViewName] || proposed[s.view]
		names[s.rests] = true // also if s is not named: it may be yet
	}
}

// leaveNewView marks the NewView of the view that is left, if anything was certified
// under it: later certificates take the place of that one in memory, and the NewView
// that links them may never come here.
func (c *Core) leaveNewView() {
	if c.prepared == nil {
		return
	}
	for i := len(c.storedNVs) - 1; i >= 0 && c.storedNVs[i].view >= c.prepared.View; i-- {
		if c.storedNVs[i].newViewName == newViewOf(c.prepared) {
			c.storedNVs[i].named = true
		}
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
	s := newStoredNewView(n, n.Digest())
	switch {
	case n.View > c.durable.View || n.View == c.durable.View && !c.durable.Entered:
		return false, DropFutureView
	case n.View < c.chain.links[0].View:
		return false, DropOldView // pruned
	case !c.names(s.newViewName, named):
		return false, DropUnwanted
	}
	held := 0
	for i := range c.storedNVs {
		o := &c.storedNVs[i]
		if o.view != n.View {
			continue
		}
		if o.digest == s.digest {
			o.named = true
			return true, DropDuplicate
		}
		held++
		s.second = s.second || !o.second
	}
	if held >= 2 {
		return true, DropBound
	}
	if held == 0 && n.View == c.durable.View {
		return true, DropDuplicate // the view was entered by one, which is being written
	}
	s.named = true
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

// names tells whether the certificate of a NewView stored here, one of more or one that
// this replica holds, names the NewView.
func (c *Core) names(n newViewName, more []*Certificate) bool {
	by := func(q *Certificate) bool { return q != nil && newViewOf(q) == n }
	used := c.used()
	return slices.ContainsFunc(more, by) || slices.ContainsFunc(used[:], by) || slices.ContainsFunc(c.kept, by) ||
		slices.ContainsFunc(c.storedNVs, func(s storedNewView) bool { return s.rests == n })
}

// used are the certificates held here beside those kept with the chain; some may be nil.
func (c *Core) used() [8]*Certificate {
	used := [...]*Certificate{c.high, c.target, c.commitQC, c.prepared, c.viewCommit, 7: nil}
	if c.newView != nil {
		used[5] = c.newView.Certificate
	}
	for i, b := range [...]*Bundle{c.stable, c.snapshot} {
		if b != nil {
			used[6+i] = b.Commit
		}
	}
	return used
}

// noteStored keeps the list in ascending order of views.
func (c *Core) noteStored(s storedNewView) {
	at := len(c.storedNVs)
	for at > 0 && c.storedNVs[at-1].view >= s.view {
		if o := &c.storedNVs[at-1]; o.key() == s.key() {
			s.named = s.named || o.named && o.digest == s.digest
			*o = s
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
