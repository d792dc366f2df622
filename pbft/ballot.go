package pbft

import "github.com/parley-bft/parley/crypto"

// ballot counts the votes of members for statements of one kind, at one place (a
// height, perhaps a phase of it): what [Tally] and [CheckpointTally] have in common.
// Who may vote there, and how often, is their business, and they keep the votes. A
// ballot has no more groups than there are votes there and statements that are
// certified or bar somebody; it gives no memory back, and so counts without
// allocations once it is warm.
type ballot[S comparable] struct {
	// groups has one entry for each statement that somebody voted for.
	groups []voteGroup[S]
}

// voteGroup is the members that voted for one statement. Pointers to groups hold
// until the next group is added or discarded.
type voteGroup[S comparable] struct {
	statement S
	weight    uint64
	signers   crypto.Bitmap
	barred    crypto.Bitmap // whose share of this statement was bad
	state     groupState
}

type groupState uint8

const (
	groupCollecting groupState = iota
	groupPending               // handed out, being aggregated
	groupCertified
)

// quorate is a statement with the shares of a quorum. [Pending] and
// [CheckpointPending] are its public forms.
type quorate[S comparable] struct {
	Statement S
	Signers   crypto.Bitmap
	Shares    []crypto.Share
}

func newVoteGroup[S comparable](n int) voteGroup[S] {
	return voteGroup[S]{signers: crypto.NewBitmap(n), barred: crypto.NewBitmap(n)}
}

// reserve makes room for the one statement that there is unless somebody lies.
func (b *ballot[S]) reserve(n int) {
	b.groups = append(b.groups, newVoteGroup[S](n))[:0]
}

// clear forgets everything but the memory.
func (b *ballot[S]) clear() { b.groups = b.groups[:0] }

// find returns the group of a statement, or nil.
func (b *ballot[S]) find(s *S) *voteGroup[S] {
	for i := range b.groups {
		if b.groups[i].statement == *s {
			return &b.groups[i]
		}
	}
	return nil
}

// group finds the group of a statement or makes one for n members, in memory left
// from an earlier one if there is some.
func (b *ballot[S]) group(n int, s *S) *voteGroup[S] {
	if g := b.find(s); g != nil {
		return g
	}
	if k := len(b.groups); k < cap(b.groups) {
		b.groups = b.groups[:k+1]
	} else {
		b.groups = append(b.groups, voteGroup[S]{})
	}
	g := &b.groups[len(b.groups)-1]
	if g.signers == nil {
		*g = newVoteGroup[S](n)
	}
	g.statement, g.weight, g.state = *s, 0, groupCollecting
	clear(g.signers)
	clear(g.barred)
	return g
}

// keep drops the groups of which wanted is false.
func (b *ballot[S]) keep(wanted func(*S) bool) {
	kept := 0
	for i := range b.groups {
		if wanted(&b.groups[i].statement) {
			b.groups[kept], b.groups[i] = b.groups[i], b.groups[kept]
			kept++
		}
	}
	b.groups = b.groups[:kept]
}

// withdraw takes a member's vote out of the count, and drops a group that nobody
// stands for. One that bars somebody or is certified stays.
func (b *ballot[S]) withdraw(s *S, id ReplicaID, weight uint64) {
	g := b.find(s)
	if g == nil {
		return
	}
	g.remove(id, weight)
	if g.weight > 0 || g.state != groupCollecting || g.barred.Count() > 0 {
		return
	}
	last := &b.groups[len(b.groups)-1]
	*g, *last = *last, *g
	b.groups = b.groups[:len(b.groups)-1]
}

// add counts a member's vote. full is true when it makes the quorum that is to be
// handed out now.
func (g *voteGroup[S]) add(id ReplicaID, q *QuorumSystem) (full bool, why Drop) {
	g.signers.Set(id)
	g.weight += q.Weight(id)
	if g.state == groupCertified {
		return false, DropDuplicate
	}
	return g.full(q), NoDrop
}

func (g *voteGroup[S]) full(q *QuorumSystem) bool {
	return g.state == groupCollecting && g.weight >= q.QuorumWeight()
}

func (g *voteGroup[S]) remove(id ReplicaID, weight uint64) {
	if g.signers.Has(id) {
		g.signers[id/8] &^= 1 << (id % 8)
		g.weight -= weight
	}
}

// handOut collects the shares of a quorum, ascending by signer.
func (g *voteGroup[S]) handOut(signature func(ReplicaID) []byte) *quorate[S] {
	g.state = groupPending
	p := &quorate[S]{Statement: g.statement, Signers: g.signers.Clone(), Shares: make([]crypto.Share, 0, g.signers.Count())}
	g.signers.Each(func(id ReplicaID) {
		p.Shares = append(p.Shares, crypto.Share{Signer: id, Signature: signature(id)})
	})
	return p
}

// accusations keeps the first conflicting pair of each of n members.
type accusations struct {
	found   []*Evidence
	accused crypto.Bitmap // members with a pair in found
}

func newAccusations(n int) accusations { return accusations{accused: crypto.NewBitmap(n)} }

func (a *accusations) has(id ReplicaID) bool { return a.accused.Has(id) }

// add takes a proof; nil is none.
func (a *accusations) add(e *Evidence) {
	if e != nil {
		a.accused.Set(e.Culprit)
		a.found = append(a.found, e)
	}
}

// take returns what was found since the last call.
func (a *accusations) take() []*Evidence {
	found := a.found
	a.found = nil
	clear(a.accused)
	return found
}
