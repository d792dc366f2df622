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

// maxStoredNewViews bounds the NewViews taken over from peers between two prunings.
const maxStoredNewViews = 1024

// noteStoredNewView notes a NewView that this replica made and wrote down; the digest
// follows when its own copy comes back, signed.
func (c *Core) noteStoredNewView(v View) { c.noteStored(storedNewView{view: v}) }

// putNewView writes down the NewView that this replica enters a view by.
func (c *Core) putNewView(n *NewView, out *Output) {
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
		if c.storeNewView(n, named, out) && n.Certificate != nil {
			named = append(named, n.Certificate)
		}
	}
}

// storeNewView keeps a NewView of a view that this replica has left, or entered by
// another one, if a certificate names it: one of those given or of its own. An
// equivocating primary signs several NewViews for one view, and any of its accomplices can
// send one of those along; but votes name the NewView that they were cast under, so
// while the traitors weigh at most F a quorum names only one of them. That one is kept
// also beside another that this replica entered the view by. It tells whether n is named.
func (c *Core) storeNewView(n *NewView, named []*Certificate, out *Output) bool {
	d := n.Digest()
	if n.View > c.durable.View || n.View == c.durable.View && !c.durable.Entered || !c.names(n.View, d, named) {
		return false
	}
	first := true
	for _, s := range c.storedNVs {
		if s.view == n.View {
			if s.digest == d || s.second {
				return true
			}
			first = false
		}
	}
	if first && n.View == c.durable.View || len(c.storedNVs) >= maxStoredNewViews {
		return true
	}
	s := storedNewView{n.View, d, !first}
	out.put(s.key(), n.append(nil))
	c.noteStored(s)
	return true
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
