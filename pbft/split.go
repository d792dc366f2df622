package pbft

import (
	"fmt"
	"strings"

	"github.com/parley-bft/parley/crypto"
)

// Split says that no certificate can exist for a checkpoint: whatever the members say that
// have said nothing yet, no statement gets a quorum's weight. Then the members whose state
// is wrong, or who lie, weigh more than F together; mostly because the application is not
// deterministic, and every replica has a state of its own. Nobody knows which is right, so
// no replica repairs itself.
//
// What a vote says is taken from the link that its signer sent it on, and its signature need
// not have been verified: a Split is for people, and proves nothing.
type Split struct {
	Height Height
	// Groups are the statements, those of most weight first, then as they came.
	Groups []SplitGroup
}

// SplitGroup is who makes a statement.
type SplitGroup struct {
	Statement CheckpointStatement
	Signers   crypto.Bitmap
	Weight    uint64
}

func (s *Split) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no certificate can exist for checkpoint %d: the replicas came to different states, and none of these can get a quorum:", s.Height)
	for i, g := range s.Groups {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " replicas %v say state %v, results %v", g.Signers.IDs(), g.Statement.State, g.Statement.Results)
		if g.Statement.Block != s.Groups[0].Statement.Block {
			fmt.Fprintf(&b, ", and another block %v", g.Statement.Block)
		}
	}
	b.WriteString("; the application is not deterministic, or the replicas run different versions of it")
	return b.String()
}

// Of returns the group of a member, nil if it has not said anything.
func (s *Split) Of(id ReplicaID) *SplitGroup {
	for i := range s.Groups {
		if s.Groups[i].Signers.Has(id) {
			return &s.Groups[i]
		}
	}
	return nil
}

// noteSplit notes that no statement at a height can get a quorum any more.
func (t *CheckpointTally) noteSplit(s *checkpointSlot) {
	if s.split {
		return
	}
	var voted, most uint64
	for i := range s.groups {
		g := &s.groups[i]
		voted, most = voted+g.weight, max(most, g.weight)
	}
	if most+t.quorums.Total()-voted >= t.quorums.QuorumWeight() {
		return
	}
	s.split = true
	x := &Split{Height: s.height}
	for i := range s.groups {
		g := &s.groups[i]
		if g.weight == 0 {
			continue
		}
		at := len(x.Groups)
		for at > 0 && x.Groups[at-1].Weight < g.weight {
			at--
		}
		x.Groups = append(x.Groups, SplitGroup{})
		copy(x.Groups[at+1:], x.Groups[at:])
		x.Groups[at] = SplitGroup{Statement: g.statement, Signers: g.signers.Clone(), Weight: g.weight}
	}
	t.split = x
}

// Split returns the checkpoint for which no certificate can exist that was found last since
// the last call, nil if none was.
func (t *CheckpointTally) Split() *Split {
	s := t.split
	t.split = nil
	return s
}
