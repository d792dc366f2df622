package chaos

import (
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// watcher holds against each other all messages that an honest replica signs,
// across its restarts: it tells when one contradicts itself, in the sense of
// PROTOCOL 5.2, or votes in a view that it left.
type watcher struct {
	s *Simulation
	// parents are of all blocks that anybody has sent.
	parents map[pbft.Digest]pbft.Digest
	seen    map[signed]pbft.Digest
	points  map[signed]pbft.CheckpointStatement
	members []watched
}

// watched is what one replica has signed.
type watched struct {
	left   pbft.View
	claims []pbft.Claim
	views  map[pbft.View]*votesOfView
	last   *votesOfView // that was looked for
	// commits are the views in which it has voted to commit.
	commits []*votesOfView
}

// votesOfView are a replica's votes of one view.
type votesOfView struct {
	view pbft.View
	// newView is what they are bound to, if bound.
	newView pbft.Digest
	bound   bool
	// byHeight has the votes for first and the heights above it, all different.
	first    pbft.Height
	byHeight [][]pbft.Statement
	// commit is the highest Commit, of no phase if there is none.
	commit pbft.Statement
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
		s: s, parents: map[pbft.Digest]pbft.Digest{}, seen: map[signed]pbft.Digest{},
		points: map[signed]pbft.CheckpointStatement{}, members: make([]watched, len(s.opts.Weights)),
	}
}

// of returns a replica's votes of a view, nil if it has none.
func (m *watched) of(v pbft.View) *votesOfView {
	if m.last == nil || m.last.view != v {
		if m.views[v] == nil {
			return nil
		}
		m.last = m.views[v]
	}
	return m.last
}

// at returns the votes for a height.
func (o *votesOfView) at(h pbft.Height) []pbft.Statement {
	if h < o.first || h-o.first >= pbft.Height(len(o.byHeight)) {
		return nil
	}
	return o.byHeight[h-o.first]
}

func (o *votesOfView) add(s pbft.Statement) {
	if len(o.byHeight) == 0 {
		o.first = s.Height
	}
	if s.Height < o.first {
		o.byHeight = append(make([][]pbft.Statement, o.first-s.Height), o.byHeight...)
		o.first = s.Height
	}
	for s.Height-o.first >= pbft.Height(len(o.byHeight)) {
		o.byHeight = append(o.byHeight, nil)
	}
	at := &o.byHeight[s.Height-o.first]
	if *at == nil {
		*at = make([]pbft.Statement, 0, 2) // a Prepare and a Commit
	}
	*at = append(*at, s)
	if s.Phase == pbft.Commit && (o.commit.Phase == 0 || o.commit.Height < s.Height) {
		o.commit = s
	}
}

// highestCommit is for the highest block that a replica has voted to commit in a
// view.
func (w *watcher) highestCommit(who pbft.ReplicaID, v pbft.View) (pbft.Statement, bool) {
	if o := w.members[who].of(v); o != nil && o.commit.Phase == pbft.Commit {
		return o.commit, true
	}
	return pbft.Statement{}, false
}

// learn takes blocks from anybody's messages.
func (w *watcher) learn(m pbft.Message) {
	switch m := m.(type) {
	case *pbft.PrePrepare:
		w.parents[m.Digest()] = m.Parent
	case *pbft.Blocks:
		for _, p := range m.Blocks {
			w.parents[p.Digest()] = p.Parent
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
		x := &w.members[from]
		x.left = max(x.left, m.View)
		if n := len(x.claims); n > 0 && x.claims[n-1] == m.Claim {
			return
		}
		x.claims = append(x.claims, m.Claim)
		for _, o := range x.commits { // not of all views: a traitor names any
			w.hidden(from, &o.commit, &m.Claim)
		}
	case *pbft.Vote:
		if m.Signer == from {
			w.vote(from, &m.Statement)
		}
	}
}

// knows tells whether a replica has sent this proposal of its own before.
func (w *watcher) knows(from pbft.ReplicaID, m *pbft.PrePrepare) bool {
	return w.seen[signed{m.Kind(), from, m.View, m.Height}] == m.Digest()
}

// has tells whether a replica has sent this vote before.
func (w *watcher) has(who pbft.ReplicaID, v *pbft.Statement) bool {
	o := w.members[who].of(v.View)
	return o != nil && slices.Contains(o.at(v.Height), *v)
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

func (w *watcher) vote(from pbft.ReplicaID, s *pbft.Statement) {
	x := &w.members[from]
	o := x.of(s.View)
	if o == nil {
		if x.views == nil {
			x.views = map[pbft.View]*votesOfView{}
		}
		o = &votesOfView{view: s.View}
		x.views[s.View], x.last = o, o
	}
	for _, old := range o.at(s.Height) {
		if old == *s {
			return // the same again, perhaps from a view that it left since
		}
	}
	if o.bound && o.newView != s.NewView {
		w.s.violate(Equivocation, "replica %d votes in view %d under two NewViews", from, s.View)
	}
	o.newView, o.bound = s.NewView, true
	w.compare(from, o, s)
	if s.View < x.left {
		w.s.violate(Watermarks, "replica %d votes %v after it left for view %d", from, *s, x.left)
	}
	if s.Phase == pbft.Commit {
		for i := range x.claims {
			w.hidden(from, s, &x.claims[i])
		}
		if o.commit.Phase == 0 {
			x.commits = append(x.commits, o)
		}
	}
	o.add(*s)
}

// compare holds a vote against those for heights around it, as far as the blocks
// between them are known.
func (w *watcher) compare(from pbft.ReplicaID, o *votesOfView, s *pbft.Statement) {
	window := w.s.opts.Window
	known, block := true, s.Block // the vote's block, or its ancestor at height h
	for h := s.Height; known && h+window >= s.Height; h-- {
		for _, old := range o.at(h) {
			if old.Block != block {
				w.s.violate(Equivocation, "replica %d votes %v and %v", from, old, *s)
			}
		}
		if h <= o.first {
			break
		}
		block, known = w.parents[block]
	}
	for h := s.Height + 1; h <= s.Height+window; h++ {
		for _, old := range o.at(h) {
			if w.conflict(old.Ref(), s.Ref()) {
				w.s.violate(Equivocation, "replica %d votes %v and %v", from, old, *s)
			}
		}
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
		parent, ok := w.parents[b.Digest]
		if !ok {
			return false
		}
		b = pbft.BlockRef{Height: b.Height - 1, Digest: parent}
	}
	return a != b
}
