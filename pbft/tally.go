package pbft

import "github.com/parley-bft/parley/crypto"

// Tally turns votes into certificates (PROTOCOL 9). It is a plain data structure
// of one goroutine; it checks no signatures. The votes may be unverified, as long as
// each is from its signer ([Verifier.CheckVote]): what comes out of them is verified,
// certificates by [Verifier.Aggregate], proofs by [CheckEvidence].
//
// It holds one vote per member, phase, view and height: for the current view and
// for one newer view per member, for the heights that [Tally.Advance] names.
// Everything else is dropped with a reason, and comes again when the sender learns
// what we lack (PROTOCOL R13). That makes at most
//
//	members * 2 phases * 2 views * (2*Window+1) heights
//
// votes, whatever is sent, beside one conflicting pair per member.
type Tally struct {
	quorums *QuorumSystem
	n       int
	view    View
	low     Height
	high    Height
	slots   []voteSlot // a ring: height h is in slot h % len
	newer   []View     // per member: its view above ours; 0 none
	// first holds each member's first vote of the current and of its newer view:
	// votes of one view that name two NewViews are an offence at any distance.
	first    [2][]*Vote
	evidence accusations
	held     int
}

// voteSlot holds the votes for one height.
type voteSlot struct {
	phases [2]votePhase
}

type votePhase struct {
	// votes are per member, of the current view and of its newer one.
	votes [2][]*Vote
	ballot[Statement]
}

// The two views a member's votes are kept for.
const (
	currentView = 0
	newerView   = 1
)

// Pending is a statement with the shares of a quorum: what [Verifier.Aggregate]
// makes a certificate of.
type Pending struct {
	Statement Statement
	Signers   crypto.Bitmap
	Shares    []crypto.Share // ascending by signer
}

// NewTally returns a tally for n members that starts in view 0 with heights
// 0..2*window.
func NewTally(q *QuorumSystem, window Height) *Tally {
	n := q.N()
	t := &Tally{
		quorums:  q,
		n:        n,
		high:     2 * window,
		slots:    make([]voteSlot, 2*window+1),
		newer:    make([]View, n),
		evidence: newAccusations(n),
	}
	for i := range t.slots {
		s := &t.slots[i]
		for p := range s.phases {
			for lane := range s.phases[p].votes {
				s.phases[p].votes[lane] = make([]*Vote, n)
			}
			s.phases[p].reserve(n)
		}
	}
	for lane := range t.first {
		t.first[lane] = make([]*Vote, n)
	}
	return t
}

// Held is the number of votes held.
func (t *Tally) Held() int { return t.held }

// View is the current view.
func (t *Tally) View() View { return t.view }

// Advance tells the tally where the replica is: its view, the height that it has
// committed, and the height above which it holds nothing (executed + 2*Window).
// Votes for the committed height still count, since it may be the base of a view
// and is then voted for again. None of the three goes back; at most 2*Window+1
// heights are held whatever high says.
func (t *Tally) Advance(view View, low, high Height) {
	if low > t.low {
		t.raise(low)
	}
	t.high = max(t.high, high)
	if top := t.low + Height(len(t.slots)) - 1; t.high > top {
		t.high = top
	}
	if view > t.view {
		t.enter(view)
	}
}

// raise empties the slots below low for the heights above.
func (t *Tally) raise(low Height) {
	size := Height(len(t.slots))
	steps := min(low-t.low, size)
	for i := range steps {
		s := &t.slots[(low-1-i)%size] // of the last heights below low: each slot once
		for p := range s.phases {
			ph := &s.phases[p]
			for lane := range ph.votes {
				for id, v := range ph.votes[lane] {
					if v != nil {
						ph.votes[lane][id] = nil
						t.held--
					}
				}
			}
			ph.clear()
		}
	}
	t.low = low
	t.high = max(t.high, low)
}

// enter makes view the current one: votes of lower views go, and those that were
// of a newer one may now be of the current.
func (t *Tally) enter(view View) {
	t.view = view
	for i := range t.slots {
		for p := range t.slots[i].phases {
			t.enterPhase(&t.slots[i].phases[p], view)
		}
	}
	for id := range t.newer {
		t.first[currentView][id] = nil
		if t.newer[id] > view {
			continue
		}
		if t.newer[id] == view {
			t.first[currentView][id] = t.first[newerView][id]
		}
		t.newer[id], t.first[newerView][id] = 0, nil
	}
}

func (t *Tally) enterPhase(ph *votePhase, view View) {
	for id, v := range ph.votes[currentView] {
		if v != nil {
			ph.votes[currentView][id] = nil
			t.held--
		}
	}
	for id, v := range ph.votes[newerView] {
		if v == nil || v.View > view {
			continue
		}
		ph.votes[newerView][id] = nil
		if v.View == view {
			ph.votes[currentView][id] = v
		} else {
			t.held--
		}
	}
	ph.keep(func(s *Statement) bool { return s.View >= view })
}

// Add takes a vote, which must not change afterwards. It returns a [Pending] when
// the vote completes a quorum for its statement: once, until the statement is
// rejected. A reason other than [NoDrop] means that the vote does not count. An
// ordinary vote costs no allocation.
func (t *Tally) Add(v *Vote) (*Pending, Drop) {
	lane, why := t.admit(v)
	if why != NoDrop {
		return nil, why
	}
	slot := &t.slots[v.Height%Height(len(t.slots))]
	ph := &slot.phases[v.Phase-1]
	if old := ph.votes[lane][v.Signer]; old != nil {
		if old.Statement == v.Statement {
			return nil, DropDuplicate
		}
		t.accuse(old, v)
		return nil, DropConflict
	}
	// A vote of the other phase at the same height must be for the same block, and
	// one of any phase and height in the same view be bound to the same NewView.
	if other := slot.phases[2-v.Phase].votes[lane][v.Signer]; other != nil && other.Block != v.Block {
		t.accuse(other, v)
		return nil, DropConflict
	}
	if first := t.first[lane][v.Signer]; first == nil {
		t.first[lane][v.Signer] = v
	} else if first.NewView != v.NewView {
		t.accuse(first, v)
		return nil, DropConflict
	}
	g := ph.group(t.n, &v.Statement)
	if g.barred.Has(v.Signer) {
		return nil, DropSignature
	}
	ph.votes[lane][v.Signer] = v
	t.held++
	full, why := g.add(v.Signer, t.quorums)
	if full {
		return ph.handOut(g, lane), NoDrop
	}
	return nil, why
}

// admit checks whether the vote is among those that are held, and makes room for
// a newer view of its signer.
func (t *Tally) admit(v *Vote) (lane int, why Drop) {
	switch {
	case int(v.Signer) >= t.n:
		return 0, DropNotMember
	case v.Phase != Prepare && v.Phase != Commit:
		return 0, DropMalformed
	case v.Height < t.low || v.Height > t.high:
		return 0, DropHeight
	case v.View == t.view:
		return currentView, NoDrop
	case v.View < t.view || v.View < t.newer[v.Signer]:
		return 0, DropOldView
	}
	if v.View > t.newer[v.Signer] {
		t.forget(v.Signer)
		t.newer[v.Signer] = v.View
	}
	return newerView, NoDrop
}

// forget drops the votes of a member's newer view: it has gone to a newer one still.
func (t *Tally) forget(id ReplicaID) {
	if t.newer[id] == 0 {
		return
	}
	t.first[newerView][id] = nil
	for i := range t.slots {
		for p := range t.slots[i].phases {
			ph := &t.slots[i].phases[p]
			v := ph.votes[newerView][id]
			if v == nil {
				continue
			}
			ph.votes[newerView][id] = nil
			t.held--
			ph.withdraw(&v.Statement, id, t.quorums.Weight(id))
		}
	}
}

func (ph *votePhase) handOut(g *voteGroup[Statement], lane int) *Pending {
	return (*Pending)(g.handOut(func(id ReplicaID) []byte { return ph.votes[lane][id].Signature }))
}

// Certified tells that a certificate for the statement exists, made here or
// received: its votes are no longer wanted.
func (t *Tally) Certified(st Statement) {
	if g := t.lookup(&st); g != nil {
		g.state = groupCertified
	}
}

// lookup finds the group of a statement that is still held. For one of the current
// view it makes one, so that votes yet to come are known to be late.
func (t *Tally) lookup(st *Statement) *voteGroup[Statement] {
	if st.Phase != Prepare && st.Phase != Commit || st.View < t.view || st.Height < t.low || st.Height > t.high {
		return nil
	}
	ph := &t.slots[st.Height%Height(len(t.slots))].phases[st.Phase-1]
	if g := ph.find(st); g != nil || st.View > t.view || len(ph.groups) > 2*t.n {
		return g
	}
	return ph.group(t.n, st)
}

// Reject tells that the shares of these members on the statement are bad. They
// are dropped, and so is whatever else these members send for it. If the others
// still are a quorum, a new [Pending] comes back at once, otherwise when enough
// votes have come.
func (t *Tally) Reject(st Statement, culprits []ReplicaID) *Pending {
	g := t.lookup(&st)
	if g == nil || g.state == groupCertified {
		return nil
	}
	lane := currentView
	if st.View > t.view {
		lane = newerView
	}
	ph := &t.slots[st.Height%Height(len(t.slots))].phases[st.Phase-1]
	for _, id := range culprits {
		if int(id) >= t.n {
			continue
		}
		g.barred.Set(id)
		if v := ph.votes[lane][id]; v != nil && v.Statement == st {
			ph.votes[lane][id] = nil
			t.held--
			g.remove(id, t.quorums.Weight(id))
			if t.first[lane][id] == v {
				t.first[lane][id] = nil
			}
		}
	}
	g.state = groupCollecting
	if g.full(t.quorums) {
		return ph.handOut(g, lane)
	}
	return nil
}

// accuse keeps the first conflicting pair of a member until [Tally.Evidence].
func (t *Tally) accuse(a, b *Vote) {
	if !t.evidence.has(a.Signer) {
		t.evidence.add(ProveConflictingVotes(a, b, nil))
	}
}

// Evidence returns the conflicting pairs found since the last call, at most one
// per member: votes at one height for two blocks, or of one view bound to two
// NewViews. (Conflicts at different heights need headers; whoever has them looks
// for those.) The votes may be unverified: use [CheckEvidence] before anybody is
// accused.
func (t *Tally) Evidence() []*Evidence { return t.evidence.take() }
