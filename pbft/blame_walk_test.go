package pbft

import (
	"slices"

	"pgregory.net/rapid"
)

// execution is a model of what members sign, for tests of accountability: honest
// members keep to the rules on voting and claims (PROTOCOL R1-R4, RV, 1.5, 1.6),
// members below traitors sign whatever is useful, and the network delivers what the
// test likes, to whom it likes. It knows nothing of time or messages.
type execution struct {
	k        *kit
	traitors int // members 0..traitors-1
	honest   []*modelMember
	steps    int // certificates wanted
	tries    int

	history  *kitHistory
	certs    []*Certificate
	newViews []*NewView // of traitors' and honest primaries
	tips     []*Header  // blocks that somebody may build on
}

// modelMember is what an honest member remembers.
type modelMember struct {
	id        ReplicaID
	camp      int
	view      View
	entered   bool
	newView   *NewView // nil in the first view
	voted     Rank     // view and height of the highest block voted for
	votedAt   Digest
	high      *Certificate
	committed BlockRef
	halted    bool // saw a commit that contradicts its own
}

func drawExecution(t *rapid.T) *execution {
	n := rapid.SampledFrom([]int{4, 4, 5, 7, 10}).Draw(t, "n")
	k := newKit(rapid.Bool().Draw(t, "joined"), equalWeights(n)...)
	k.Limits.Window = Height(rapid.IntRange(1, 4).Draw(t, "window"))
	k.build()
	f, q := int(k.Quorums.MaxFaulty()), int(k.Quorums.QuorumWeight())
	x := &execution{k: k, history: newKitHistory(), steps: rapid.IntRange(4, 40).Draw(t, "steps")}
	x.traitors = rapid.IntRange(f+1, q-1).Draw(t, "traitors")
	x.history.add(&k.startAt.Header)
	x.tips = []*Header{&k.startAt.Header}
	for id := x.traitors; id < n; id++ {
		x.honest = append(x.honest, &modelMember{id: ReplicaID(id), camp: id % 2, entered: true, committed: k.Start})
	}
	return x
}

// step lets one camp, or a random set, do something together with the traitors.
func (x *execution) step(t *rapid.T) {
	x.tries++
	camp := rapid.IntRange(0, 2).Draw(t, "camp")
	var who []*modelMember
	for _, m := range x.honest {
		switch {
		case m.halted:
		case camp < 2 && m.camp == camp, camp == 2 && rapid.Bool().Draw(t, "takes part"):
			who = append(who, m)
		}
	}
	switch rapid.IntRange(0, 29).Draw(t, "action") {
	case 0, 1, 4:
		x.changeView(t, who)
	case 2:
		if len(x.honest) > 0 {
			m := rapid.SampledFrom(x.honest).Draw(t, "member")
			m.camp = 1 - m.camp
		}
	case 3:
		x.showCertificate(t, who)
	default:
		x.vote(t, who)
	}
}

// vote tries to certify a block: the base of the view, or one that extends what
// some of them voted for last, or anything at all.
func (x *execution) vote(t *rapid.T, who []*modelMember) {
	if len(who) == 0 {
		return
	}
	lead := rapid.SampledFrom(who).Draw(t, "lead")
	view, nv := lead.view, lead.newView
	if !lead.entered {
		return
	}
	var block *Header
	base := x.base(nv)
	switch {
	case view > 0 && lead.voted.View < view:
		block = x.history.Header(base.Digest)
	case rapid.IntRange(0, 4).Draw(t, "again") == 0:
		block = rapid.SampledFrom(x.tips).Draw(t, "block")
	default:
		parent := &x.k.startAt.Header
		if lead.voted.Height > 0 && lead.voted.View == view {
			parent = x.history.Header(lead.votedAt)
		}
		if rapid.IntRange(0, 5).Draw(t, "other parent") == 0 {
			parent = rapid.SampledFrom(x.tips).Draw(t, "parent")
		}
		salt := lead.camp
		if int(x.k.primary(view)) >= x.traitors {
			salt = 0 // an honest primary proposes one block for a height
		}
		block = x.k.header(parent, view, salt)
	}
	x.remember(block)
	if prepare := x.collect(who, Prepare, view, nv, block); prepare != nil && rapid.IntRange(0, 3).Draw(t, "commit") > 0 {
		x.collect(who, Commit, view, nv, block)
	}
}

func (x *execution) remember(h *Header) {
	if x.history.Header(h.Digest()) == nil {
		x.history.add(h)
		x.tips = append(x.tips, h)
	}
}

func (x *execution) base(nv *NewView) BlockRef {
	if nv == nil {
		return x.k.Start
	}
	base, _ := Base(nv)
	return base
}

// collect asks for votes and returns the certificate if there are enough. Only
// members whose votes are needed or willing sign; what they sign binds them even
// if no certificate comes of it.
func (x *execution) collect(who []*modelMember, p Phase, view View, nv *NewView, block *Header) *Certificate {
	st := x.k.statement(p, view, nv, kitRef(block))
	if checkStatement(x.k.Start, &st) != NoDrop {
		return nil
	}
	var signers []ReplicaID
	for id := range x.traitors {
		signers = append(signers, ReplicaID(id))
	}
	for _, m := range who {
		if p == Prepare && x.mayPrepare(m, view, nv, block) || p == Commit && x.mayCommit(m, st) {
			signers = append(signers, m.id)
			m.voted, m.votedAt = Rank{view, block.Height}, st.Block
		}
	}
	if len(signers) < int(x.k.Quorums.QuorumWeight()) {
		return nil
	}
	c := x.k.certificate(st, signers...)
	x.certs = append(x.certs, c)
	for _, m := range who {
		x.learn(m, c)
	}
	if p == Commit {
		x.history.add(c)
	}
	return c
}

func (x *execution) descends(base, block BlockRef) bool {
	w := &blameWalk{v: x.k.v, store: x.history}
	above, err := w.descends(base, block)
	return err == nil && above
}

func (x *execution) inView(m *modelMember, view View, nv *NewView) bool {
	return !m.halted && m.view == view && m.entered && m.newView == nv
}

// mayPrepare is R1 with RV, the skip rule 1.5, the unmute rule 1.6 and the window.
func (x *execution) mayPrepare(m *modelMember, view View, nv *NewView, block *Header) bool {
	if !x.inView(m, view, nv) || block.View > view {
		return false
	}
	ref, base := kitRef(block), x.base(nv)
	if view > 0 && ref == base {
		return m.voted.View < view
	}
	if ref.Height <= base.Height || !x.descends(base, ref) || !x.descends(m.committed, ref) {
		return false
	}
	open := view == 0
	var skip bool // a certificate of this view for the parent lets us begin above it
	for _, c := range x.certs {
		if c.View != view || !x.descends(c.Ref(), ref) {
			continue
		}
		if c.NewView == x.k.statement(Prepare, view, nv, ref).NewView {
			open = open || c.Phase == Commit
			skip = skip || c.Block == block.Parent
			if c.Phase == Commit && c.Height+x.k.Limits.Window >= ref.Height {
				x.learn(m, c)
			}
		}
	}
	if !open || m.halted || ref.Height > max(m.committed.Height, base.Height)+x.k.Limits.Window {
		return false
	}
	first := BlockRef{m.voted.Height, m.votedAt}
	switch {
	case m.voted.View < view || m.votedAt.IsZero():
		return skip || view == 0 && ref.Height == base.Height+1
	case m.votedAt == block.Parent:
		return true
	case x.descends(first, ref):
		return skip && ref.Height > first.Height
	}
	// Unmute: the other chain committed above what we voted for, we executed it, and
	// the vote is more than a window above ours.
	return skip && m.committed.Height > first.Height && !x.descends(first, m.committed) &&
		ref.Height > first.Height+x.k.Limits.Window
}

// mayCommit: with the PrepareQC, in its view, on the one chain.
func (x *execution) mayCommit(m *modelMember, st Statement) bool {
	if m.halted || m.view != st.View || !m.entered || m.newView != x.newViewOf(st.NewView) || !x.descends(m.committed, st.Ref()) {
		return false
	}
	at := slices.IndexFunc(x.certs, func(c *Certificate) bool {
		return c.Phase == Prepare && c.View == st.View && c.NewView == st.NewView && c.Block == st.Block
	})
	if at < 0 {
		return false
	}
	first := BlockRef{m.voted.Height, m.votedAt}
	if m.voted.View == st.View && !m.votedAt.IsZero() && !x.descends(first, st.Ref()) {
		return false // an ancestor of what it voted for would do, but changes nothing here
	}
	x.learn(m, x.certs[at])
	return true
}

func (x *execution) newViewOf(d Digest) *NewView {
	if d.IsZero() {
		return nil
	}
	return x.history.NewView(d)
}

// learn raises high, follows commits, enters newer views by certificate.
func (x *execution) learn(m *modelMember, c *Certificate) {
	if m.halted {
		return
	}
	if m.high == nil || m.high.Rank().Less(c.Rank()) {
		m.high = c
	}
	if c.View > m.view {
		m.view, m.entered, m.newView = c.View, true, x.newViewOf(c.NewView)
	}
	if c.Phase != Commit || x.descends(c.Ref(), m.committed) {
		return
	}
	if !x.descends(m.committed, c.Ref()) {
		m.halted = true
		return
	}
	m.committed = c.Ref()
}

func (x *execution) showCertificate(t *rapid.T, who []*modelMember) {
	if len(x.certs) == 0 {
		return
	}
	c := rapid.SampledFrom(x.certs).Draw(t, "certificate")
	for _, m := range who {
		x.learn(m, c)
	}
}

// changeView makes the members leave for a newer view and gives them a NewView if
// their claims and those of the traitors, who claim what suits them, make one.
func (x *execution) changeView(t *rapid.T, who []*modelMember) {
	if len(who) == 0 {
		return
	}
	view := View(0)
	for _, m := range who {
		view = max(view, m.view)
	}
	// Sometimes the very view in which others are already, with another NewView.
	if rapid.IntRange(0, 2).Draw(t, "same") > 0 || view == 0 {
		view += View(rapid.IntRange(1, 3).Draw(t, "ahead"))
	}
	var claims []SignedClaim
	var highs []*Certificate
	for id := range x.traitors {
		var lower []*Certificate
		for _, c := range x.certs {
			if c.View < view {
				lower = append(lower, c)
			}
		}
		var pick *Certificate
		if len(lower) > 0 && rapid.Bool().Draw(t, "claims something") {
			pick = rapid.SampledFrom(lower).Draw(t, "claimed")
		}
		claims, highs = append(claims, x.k.claimOf(ReplicaID(id), view, pick)), append(highs, pick)
	}
	for _, m := range who {
		if m.view < view {
			m.view, m.entered, m.newView = view, false, nil
		}
		if m.view == view && !m.entered && (m.high == nil || m.high.View < view) {
			claims, highs = append(claims, x.k.claimOf(m.id, view, m.high)), append(highs, m.high)
		}
	}
	top, ok := ChooseBase(claims)
	if !ok {
		return
	}
	var best *Certificate
	for _, c := range highs {
		if c != nil && c.Rank() == top.High && c.Block == top.Block {
			best = c
		}
	}
	if primary := x.k.primary(view); int(primary) >= x.traitors {
		for _, nv := range x.newViews {
			if nv.View == view {
				return // an honest primary makes one
			}
		}
	}
	nv := x.k.newView(view, best, claims...)
	if CheckNewView(x.k.Quorums, x.k.Start, nv) != NoDrop {
		return
	}
	if known := x.history.NewView(nv.Digest()); known != nil {
		nv = known
	} else {
		x.newViews = append(x.newViews, nv)
		x.history.add(nv)
	}
	for _, m := range who {
		if m.view == view && !m.entered && !m.halted {
			m.entered, m.newView = true, nv
			if nv.Certificate != nil {
				x.learn(m, nv.Certificate)
			}
		}
	}
}

// conflicting returns the pairs of CommitQCs for blocks on two chains.
func (x *execution) conflicting() (pairs [][2]*Certificate) {
	for i, a := range x.history.commits {
		for _, b := range x.history.commits[:i] {
			if !x.descends(a.Ref(), b.Ref()) && !x.descends(b.Ref(), a.Ref()) {
				pairs = append(pairs, [2]*Certificate{a, b})
			}
		}
	}
	return pairs
}

// forgetCommits drops CommitQCs as members may: those between two that are kept, at
// most a window apart on one chain.
func (x *execution) forgetCommits(t *rapid.T) {
	kept := append([]*Certificate{}, x.history.commits...)
	for _, c := range x.history.commits {
		if rapid.IntRange(0, 3).Draw(t, "keep") == 0 {
			continue
		}
		rest := slices.DeleteFunc(append([]*Certificate{}, kept...), func(o *Certificate) bool { return o == c })
		if x.covered(c, rest) {
			kept = rest
		}
	}
	x.history.commits = kept
}

// covered tells whether without c, on every chain that goes on from it, what is
// kept below c and what is kept above are at most a window apart.
func (x *execution) covered(c *Certificate, rest []*Certificate) bool {
	below := x.k.Start.Height
	for _, o := range rest {
		if o.Block == c.Block {
			return true
		}
		if x.descends(o.Ref(), c.Ref()) {
			below = max(below, o.Height)
		}
	}
	next := false
	for _, o := range rest {
		if !x.descends(c.Ref(), o.Ref()) {
			continue
		}
		next = true
		near := slices.ContainsFunc(rest, func(p *Certificate) bool {
			return x.descends(c.Ref(), p.Ref()) && x.descends(p.Ref(), o.Ref()) && p.Height <= below+x.k.Limits.Window
		})
		if !near {
			return false
		}
	}
	return next
}
