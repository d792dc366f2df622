package pbft

import "fmt"

// watcher looks at every message that an honest node sends, across its restarts,
// and tells when it signs what no honest replica may: the offences of PROTOCOL 5.2
// as far as they lie in what one replica sends, and votes of views that it left.
type watcher struct {
	window  Height
	headers map[Digest]Header
	start   BlockRef

	proposals map[watchKey]Digest
	newViews  map[watchKey]Digest
	votes     map[watchKey][]Statement // by signer and view
	points    map[watchKey]CheckpointStatement
	left      map[ReplicaID]View // highest view that a ViewChange was sent for
	claims    map[ReplicaID][]Claim
	fail      func(format string, args ...any)
}

type watchKey struct {
	who    ReplicaID
	view   View
	height Height
}

func newWatcher(window Height, start *Block, fail func(string, ...any)) *watcher {
	return &watcher{
		window: window, start: start.Ref(), headers: map[Digest]Header{start.Digest(): start.Header},
		proposals: map[watchKey]Digest{}, newViews: map[watchKey]Digest{}, votes: map[watchKey][]Statement{},
		points: map[watchKey]CheckpointStatement{}, left: map[ReplicaID]View{}, claims: map[ReplicaID][]Claim{}, fail: fail,
	}
}

// learn takes the headers from any message, a traitor's too.
func (w *watcher) learn(m Message) {
	switch m := m.(type) {
	case *PrePrepare:
		w.headers[m.Digest()] = m.Header
	case *Blocks:
		for _, p := range m.Blocks {
			w.headers[p.Digest()] = p.Header
		}
	}
}

// sent takes a message that an honest node sends.
func (w *watcher) sent(from ReplicaID, m Message) {
	switch m := m.(type) {
	case *PrePrepare:
		if m.Proposer == from {
			once(w, w.proposals, watchKey{from, m.View, m.Height}, m.Digest(), "proposes")
		}
	case *NewView:
		// Others pass a NewView on; only its maker's count. Everybody may check that
		// the digest stays: whoever entered by one never sends another.
		once(w, w.newViews, watchKey{from, m.View, 0}, m.Digest(), "sends NewView")
	case *CheckpointVote:
		if old, ok := w.points[watchKey{from, 0, m.Height}]; ok && old != m.CheckpointStatement {
			w.fail("replica %d signs two checkpoints at %d", from, m.Height)
		}
		w.points[watchKey{from, 0, m.Height}] = m.CheckpointStatement
	case *ViewChange:
		w.left[from] = max(w.left[from], m.View)
		w.claims[from] = append(w.claims[from], m.Claim)
		for v := View(0); v < m.View; v++ {
			for _, s := range w.votes[watchKey{from, v, 0}] {
				w.hidden(from, &s, &m.Claim)
			}
		}
	case *Vote:
		w.vote(from, m.Statement)
	}
}

func once(w *watcher, seen map[watchKey]Digest, k watchKey, d Digest, what string) {
	if old, ok := seen[k]; ok && old != d {
		w.fail("replica %d %s twice in view %d at height %d: %v and %v", k.who, what, k.view, k.height, old, d)
	}
	seen[k] = d
}

func (w *watcher) hidden(from ReplicaID, s *Statement, c *Claim) {
	if s.Phase == Commit && s.View < c.View && c.High.Less(s.Rank()) {
		w.fail("replica %d sends %v and claims only %v for view %d", from, *s, c.High, c.View)
	}
}

func (w *watcher) vote(from ReplicaID, s Statement) {
	if s.View < w.left[from] {
		w.fail("replica %d votes %v after it left for view %d", from, s, w.left[from])
	}
	for i := range w.claims[from] {
		w.hidden(from, &s, &w.claims[from][i])
	}
	k := watchKey{from, s.View, 0}
	for _, old := range w.votes[k] {
		if old == s {
			return
		}
		if old.NewView != s.NewView {
			w.fail("replica %d votes in view %d under two NewViews", from, s.View)
		}
		if w.conflict(old.Ref(), s.Ref()) {
			w.fail("replica %d votes %v and %v", from, old, s)
		}
	}
	w.votes[k] = append(w.votes[k], s)
}

// conflict tells whether two blocks at most a window apart are known to lie on two
// chains.
func (w *watcher) conflict(a, b BlockRef) bool {
	if a.Height > b.Height {
		a, b = b, a
	}
	if b.Height-a.Height > w.window {
		return false
	}
	for b.Height > a.Height {
		h, ok := w.headers[b.Digest]
		if !ok {
			return false
		}
		b = BlockRef{b.Height - 1, h.Parent}
	}
	return a != b
}

// watch puts a watcher on a world.
func (w *world) watch() {
	wt := newWatcher(w.base.Window, w.base.Start, w.fail)
	before := w.onSend
	w.onSend = func(from ReplicaID, m Message) {
		if before != nil {
			before(from, m)
		}
		wt.learn(m)
		if w.honest(from) {
			wt.sent(from, m)
		}
	}
}

// aliases gives blocks, NewViews and requests short names in the order in which they
// turn up, so that scripts do not depend on digests.
type aliases struct {
	of    map[Digest]string
	count map[string]int
}

func newAliases(start Digest) *aliases {
	return &aliases{of: map[Digest]string{start: "0"}, count: map[string]int{}}
}

// give names d: the prefix and a letter.
func (n *aliases) give(d Digest, prefix string) string {
	if s, ok := n.of[d]; ok {
		return s
	}
	k := n.count[prefix]
	n.count[prefix]++
	n.of[d] = prefix + string(rune('a'+k))
	return n.of[d]
}

func (n *aliases) set(d Digest, name string) { n.of[d] = name }

func (n *aliases) name(d Digest) string {
	if s, ok := n.of[d]; ok {
		return s
	}
	if d.IsZero() {
		return "-"
	}
	return d.String()
}

func (n *aliases) ref(r BlockRef) string {
	if s, ok := n.of[r.Digest]; ok {
		return s
	}
	return fmt.Sprintf("%d:%v", r.Height, r.Digest)
}
