package pbft

import (
	"cmp"
	"slices"

	"github.com/parley-bft/parley/crypto"
)

// CheckpointTally turns checkpoint votes into certificates, as [Tally] does with
// votes. It compares what members say with each other, not with what this replica
// would say: it may not have executed that far.
//
// It holds one vote per member and height: for heights in (floor, high], where the
// floor is the stable checkpoint with a snapshot (checkpoints between it and the
// stable one still want their certificates, for receipts and because snapshots take
// their time), and beyond high the two highest heights of each member, so that a replica that is
// far behind still learns where the others are. Memory is bounded by
// members * (high-floor + 2) votes.
type CheckpointTally struct {
	quorums  *QuorumSystem
	n        int
	floor    Height
	high     Height
	slots    []*checkpointSlot // ascending by height
	spare    []*checkpointSlot
	beyond   [][2]Height // per member: the heights above high, 0 for none
	evidence accusations
	split    *Split // found since it was last asked for
	held     int
}

type checkpointSlot struct {
	height Height
	votes  []*CheckpointVote // per member
	count  int               // of votes
	split  bool              // no statement can get a quorum, which was noted
	ballot[CheckpointStatement]
}

// CheckpointPending is a checkpoint statement with the shares of a quorum: what
// [Verifier.AggregateCheckpoint] makes a certificate of.
type CheckpointPending struct {
	Statement CheckpointStatement
	Signers   crypto.Bitmap
	Shares    []crypto.Share // ascending by signer
}

// NewCheckpointTally returns an empty tally; [CheckpointTally.Advance] tells it
// where the replica is.
func NewCheckpointTally(q *QuorumSystem) *CheckpointTally {
	return &CheckpointTally{quorums: q, n: q.N(), beyond: make([][2]Height, q.N()), evidence: newAccusations(q.N())}
}

// Held is the number of votes held.
func (t *CheckpointTally) Held() int { return t.held }

// Advance tells the tally the height at and below which no votes are wanted, and the height up
// to which every height is held (executed + 2*Window). Neither goes back.
func (t *CheckpointTally) Advance(floor, high Height) {
	t.floor = max(t.floor, floor)
	t.high = max(t.high, high, t.floor)
	done := 0
	for done < len(t.slots) && t.slots[done].height <= t.floor {
		t.recycle(t.slots[done])
		done++
	}
	t.slots = slices.Delete(t.slots, 0, done)
	for id := range t.beyond {
		for i, h := range t.beyond[id] {
			if h <= t.high {
				t.beyond[id][i] = 0
			}
		}
	}
}

// maxSpareSlots bounds the emptied slots kept for reuse.
const maxSpareSlots = 16

func (t *CheckpointTally) recycle(s *checkpointSlot) {
	t.held -= s.count
	if len(t.spare) >= maxSpareSlots {
		return
	}
	clear(s.votes)
	s.clear()
	s.count, s.split = 0, false
	t.spare = append(t.spare, s)
}

func (t *CheckpointTally) search(h Height) (int, bool) {
	return slices.BinarySearchFunc(t.slots, h, func(s *checkpointSlot, h Height) int { return cmp.Compare(s.height, h) })
}

func (t *CheckpointTally) slot(h Height) *checkpointSlot {
	i, found := t.search(h)
	if found {
		return t.slots[i]
	}
	var s *checkpointSlot
	if k := len(t.spare); k > 0 {
		s, t.spare = t.spare[k-1], t.spare[:k-1]
	} else {
		s = &checkpointSlot{votes: make([]*CheckpointVote, t.n)}
	}
	s.height = h
	t.slots = slices.Insert(t.slots, i, s)
	return s
}

// Add takes a vote, which must not change afterwards. See [Tally.Add].
func (t *CheckpointTally) Add(v *CheckpointVote) (*CheckpointPending, Drop) {
	if int(v.Signer) >= t.n {
		return nil, DropNotMember
	}
	if v.Height <= t.floor {
		return nil, DropHeight
	}
	if i, found := t.search(v.Height); found {
		s := t.slots[i]
		if old := s.votes[v.Signer]; old != nil {
			if old.CheckpointStatement == v.CheckpointStatement {
				return nil, DropDuplicate
			}
			t.accuse(old, v)
			return nil, DropConflict
		}
		if g := s.find(&v.CheckpointStatement); g != nil && g.barred.Has(v.Signer) {
			return nil, DropSignature
		}
	}
	if v.Height > t.high && !t.makeRoom(v.Signer, v.Height) {
		return nil, DropBound
	}
	s := t.slot(v.Height)
	g := s.group(t.n, &v.CheckpointStatement)
	s.votes[v.Signer] = v
	s.count++
	t.held++
	full, why := g.add(v.Signer, t.quorums)
	if full {
		return s.handOut(g), NoDrop
	}
	t.noteSplit(s)
	return nil, why
}

// Vote returns the vote of a member for a statement, nil if none is held.
func (t *CheckpointTally) Vote(id ReplicaID, st CheckpointStatement) *CheckpointVote {
	if i, found := t.search(st.Height); found && int(id) < t.n {
		if v := t.slots[i].votes[id]; v != nil && v.CheckpointStatement == st {
			return v
		}
	}
	return nil
}

// makeRoom enters h among the two highest heights of a member, in place of the
// lower of the two if that is lower than h.
func (t *CheckpointTally) makeRoom(id ReplicaID, h Height) bool {
	b := &t.beyond[id]
	if h == b[0] || h == b[1] { // its vote there was rejected
		return true
	}
	lower := 0
	if b[1] < b[0] {
		lower = 1
	}
	if h < b[lower] {
		return false
	}
	if b[lower] != 0 {
		t.withdraw(id, b[lower])
	}
	b[lower] = h
	return true
}

// withdraw drops the vote of a member at a height.
func (t *CheckpointTally) withdraw(id ReplicaID, h Height) {
	i, found := t.search(h)
	if !found || t.slots[i].votes[id] == nil {
		return
	}
	s := t.slots[i]
	st := &s.votes[id].CheckpointStatement
	s.votes[id] = nil
	s.count--
	t.held--
	s.withdraw(st, id, t.quorums.Weight(id))
	if s.count == 0 {
		t.slots = slices.Delete(t.slots, i, i+1)
		t.recycle(s)
	}
}

func (s *checkpointSlot) handOut(g *voteGroup[CheckpointStatement]) *CheckpointPending {
	return (*CheckpointPending)(g.handOut(func(id ReplicaID) []byte { return s.votes[id].Signature }))
}

// Certified tells that a certificate for the statement exists: its votes are no
// longer wanted.
func (t *CheckpointTally) Certified(st CheckpointStatement) {
	if i, found := t.search(st.Height); found {
		if g := t.slots[i].find(&st); g != nil {
			g.state = groupCertified
		}
	}
}

// Reject tells that the shares of these members on the statement are bad. See
// [Tally.Reject].
func (t *CheckpointTally) Reject(st CheckpointStatement, culprits []ReplicaID) *CheckpointPending {
	i, found := t.search(st.Height)
	if !found {
		return nil
	}
	s := t.slots[i]
	g := s.find(&st)
	if g == nil || g.state == groupCertified {
		return nil
	}
	for _, id := range culprits {
		if int(id) >= t.n {
			continue
		}
		g.barred.Set(id)
		if v := s.votes[id]; v != nil && v.CheckpointStatement == st {
			s.votes[id] = nil
			s.count--
			t.held--
			g.remove(id, t.quorums.Weight(id))
		}
	}
	g.state = groupCollecting
	if g.full(t.quorums) {
		return s.handOut(g)
	}
	return nil
}

func (t *CheckpointTally) accuse(a, b *CheckpointVote) {
	if !t.evidence.has(a.Signer) {
		t.evidence.add(ProveTwoCheckpoints(a, b))
	}
}

// Evidence returns the pairs of different statements of one member at one height
// found since the last call, at most one per member. See [Tally.Evidence].
func (t *CheckpointTally) Evidence() []*Evidence { return t.evidence.take() }
