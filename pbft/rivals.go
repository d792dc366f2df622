package pbft

// An equivocating primary signs several NewViews for one view, and which of them a
// quorum votes under may show later than the NewView itself does: the certificate that
// names it is still under way. So a NewView that this replica did not enter by waits
// here for its certificate, or a blame walk from that one would lack it (R19).

// rival is a verified NewView that no certificate names yet, as far as is known here.
type rival struct {
	*NewView
	digest Digest
}

// rivals are what one peer sent, at most one for the present view and one for the view
// before: by view, even and odd. Honest replicas send none but that which they entered
// a view by, so each has its place, whatever traitors send.
type rivals [2]rival

// noteRival takes a NewView that this replica does not enter by: a certificate may name
// it, now or later.
func (c *Core) noteRival(from ReplicaID, n *NewView, out *Output) {
	named, why := c.storeNewView(n, nil, out)
	switch {
	case named:
		c.countNewView(why)
		c.storeRivals(n.Certificate, out)
	case n.View+1 >= c.durable.View:
		place := &c.peers[from].rivals[n.View%2]
		was := *place
		*place = rival{n, n.Digest()}
		switch {
		case was.NewView == nil:
		case was.View < n.View:
			c.countNewView(DropOldView)
		case was.digest == place.digest:
			c.countNewView(DropDuplicate)
		default:
			c.countNewView(DropBound) // one of a view from each peer
		}
	default:
		c.countNewView(DropOldView)
	}
}

// storeRivals stores the NewView that a certificate names, if it came before it; and
// that which this one's certificate names in its turn.
func (c *Core) storeRivals(q *Certificate, out *Output) {
	for q != nil {
		var named *NewView
		for i := range c.peers {
			r := &c.peers[i].rivals[q.View%2]
			if r.NewView == nil || r.View != q.View || r.digest != q.NewView {
				continue
			}
			if isNamed, why := c.storeNewView(r.NewView, []*Certificate{q}, out); isNamed {
				c.countNewView(why)
				named = r.NewView
				*r = rival{}
			}
		}
		if named == nil {
			return
		}
		q = named.Certificate // of a lower view
	}
}
