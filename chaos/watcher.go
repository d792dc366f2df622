package chaos

import "github.com/parley-bft/parley/pbft"

// watcher holds against each other all messages that an honest replica signs,
// across its restarts: it tells when one contradicts itself, in the sense of
// PROTOCOL 5.2, or votes in a view that it left.
type watcher struct {
	s       *Simulation
	headers map[pbft.Digest]pbft.Header
	seen    map[signed]pbft.Digest
	votes   map[signed][]pbft.Statement // by signer, view and height
	commits map[signed]pbft.Statement   // the highest Commit, by signer and view
	points  map[signed]pbft.CheckpointStatement
	left    map[pbft.ReplicaID]pbft.View
	claims  map[pbft.ReplicaID][]pbft.Claim
}

// signed names what a replica may sign only one of.
type signed struct {
	kind   pbft.MessageKind
	who    pbft.ReplicaID
	view   pbft.View
	height pbft.Height
}

func newWatcher(s *Simulation) *watcher {
	return &watcher{
		s: s, headers: map[pbft.Digest]pbft.Header{s.start.Digest(): s.start.Header}, seen: map[signed]pbft.Digest{},
		votes: map[signed][]pbft.Statement{}, commits: map[signed]pbft.Statement{}, points: map[signed]pbft.CheckpointStatement{},
		left: map[pbft.ReplicaID]pbft.View{}, claims: map[pbft.ReplicaID][]pbft.Claim{},
	}
}

// learn takes headers from anybody's messages.
func (w *watcher) learn(m pbft.Message) {
	switch m := m.(type) {
	case *pbft.PrePrepare:
		w.headers[m.Digest()] = m.Header
	case *pbft.Blocks:
		for _, p := range m.Blocks {
			w.headers[p.Digest()] = p.Header
		}
	}
}

// sent takes a message of an honest replica.
func (w *watcher) sent(from pbft.ReplicaID, m pbft.Message) {
	switch m := m.(type) {
	case *pbft.PrePrepare:
		if m.Proposer == from {
			w.once(signed{m.Kind(), from, m.View, m.Height}, m.Digest())
		}
	case *pbft.NewView:
		// Whoever entered by one NewView never passes on another.
		w.once(signed{m.Kind(), from, m.View, 0}, m.Digest())
	case *pbft.CheckpointVote:
		k := signed{m.Kind(), from, 0, m.Height}
		if old, ok := w.points[k]; ok && old != m.CheckpointStatement {
			w.s.violate(Equivocation, "replica %d signs %v and %v", from, old, m.CheckpointStatement)
		}
		w.points[k] = m.CheckpointStatement
	case *pbft.ViewChange:
		if m.Signer != from {
			return
		}
		w.left[from] = max(w.left[from], m.View)
		if n := len(w.claims[from]); n > 0 && w.claims[from][n-1] == m.Claim {
			return
		}
		w.claims[from] = append(w.claims[from], m.Claim)
		for v := pbft.View(0); v < m.View; v++ {
			if r, ok := w.commits[signed{pbft.KindVote, from, v, 0}]; ok {
				w.hidden(from, &r, &m.Claim)
			}
		}
	case *pbft.Vote:
		if m.Signer == from {
			w.vote(from, m.Statement)
		}
	}
}

// knows tells whether a replica has sent this proposal of its own before.
func (w *watcher) knows(from pbft.ReplicaID, m *pbft.PrePrepare) bool {
	return w.seen[signed{m.Kind(), from, m.View, m.Height}] == m.Digest()
}

func (w *watcher) once(k signed, d pbft.Digest) {
	if old, ok := w.seen[k]; ok && old != d {
		w.s.violate(Equivocation, "replica %d sends two %v for view %d height %d: %v and %v", k.who, k.kind, k.view, k.height, old, d)
	}
	w.seen[k] = d
}

func (w *watcher) hidden(from pbft.ReplicaID, s *pbft.Statement, c *pbft.Claim) {
	if s.Phase == pbft.Commit && s.View < c.View && c.High.Less(s.Rank()) {
		w.s.violate(Equivocation, "replica %d sends %v and claims only %v for view %d", from, *s, c.High, c.View)
	}
}

func (w *watcher) vote(from pbft.ReplicaID, s pbft.Statement) {
	at := signed{pbft.KindVote, from, s.View, s.Height}
	for _, old := range w.votes[at] {
		if old == s {
			return // the same again, perhaps from a view that it left since
		}
	}
	view := signed{pbft.KindVote, from, s.View, 0}
	if bound, ok := w.seen[view]; ok && bound != s.NewView {
		w.s.violate(Equivocation, "replica %d votes in view %d under two NewViews", from, s.View)
	}
	w.seen[view] = s.NewView
	window := w.s.opts.Window
	for h := max(s.Height, window) - window; h <= s.Height+window; h++ {
		for _, old := range w.votes[signed{pbft.KindVote, from, s.View, h}] {
			if w.conflict(old.Ref(), s.Ref()) {
				w.s.violate(Equivocation, "replica %d votes %v and %v", from, old, s)
			}
		}
	}
	if s.View < w.left[from] {
		w.s.violate(Watermarks, "replica %d votes %v after it left for view %d", from, s, w.left[from])
	}
	for i := range w.claims[from] {
		w.hidden(from, &s, &w.claims[from][i])
	}
	w.votes[at] = append(w.votes[at], s)
	if top, ok := w.commits[view]; s.Phase == pbft.Commit && (!ok || top.Height < s.Height) {
		w.commits[view] = s
	}
}

// conflict tells whether two blocks at most a window apart are known to lie on two
// chains.
func (w *watcher) conflict(a, b pbft.BlockRef) bool {
	if a.Height > b.Height {
		a, b = b, a
	}
	if b.Height-a.Height > w.s.opts.Window {
		return false
	}
	for b.Height > a.Height {
		h, ok := w.headers[b.Digest]
		if !ok {
			return false
		}
		b = pbft.BlockRef{Height: b.Height - 1, Digest: h.Parent}
	}
	return a != b
}
