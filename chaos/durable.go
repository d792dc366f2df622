package chaos

import (
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
)

// durableState is the judge's own reading of the value of a RecordState.
type durableState struct {
	view      pbft.View
	entered   bool
	newView   pbft.Digest
	votedView pbft.View
	voted     pbft.BlockRef
	floor     pbft.Height
}

func readState(value []byte) (s durableState) {
	r := canon.NewReader(value)
	s.view = pbft.View(r.Uint64())
	s.entered = r.Bool()
	r.Copy(s.newView[:])
	s.votedView = pbft.View(r.Uint64())
	s.voted.Height = pbft.Height(r.Uint64())
	r.Copy(s.voted.Digest[:])
	s.floor = pbft.Height(r.Uint64())
	must(r.Close())
	return s
}

// durable demands that what a message promises is on the disk when it leaves
// (PROTOCOL R1 to R6).
func (j *judge) durable(p *process, m pbft.Message) {
	image := p.disk.image
	missing := func(what string) {
		j.s.violate(Persistence, "replica %d sends %s, and %s is not on its disk", p.id, describeBytes(pbft.Encode(0, m)), what)
	}
	signs := func() {
		if p.rejoining() {
			j.s.violate(Persistence, "replica %d has lost its disk and signs %s", p.id, describeBytes(pbft.Encode(0, m)))
		}
	}
	switch m := m.(type) {
	case *pbft.Vote:
		if m.Signer != p.id {
			return
		}
		signs()
		if why := j.stated(p, &m.Statement); why != "" {
			missing(why)
		}
		if m.View > 0 && newViewOn(image, m.View, m.NewView) == nil && readState(orZero(image[pbft.RecordKey{Kind: pbft.RecordState}])).view == m.View {
			missing("the NewView that it votes under")
		}
		if !j.held(p, m.Ref()) && !discharged(image, j.certified, &m.Statement) {
			missing("the block")
		}
		if m.Phase == pbft.Commit && highRank(image).Less(m.Rank()) {
			missing("the certificate")
		}
	case *pbft.ViewChange:
		if m.Signer != p.id {
			return
		}
		signs()
		if st := readState(orZero(image[pbft.RecordKey{Kind: pbft.RecordState}])); st.view < m.View {
			missing("the view")
		}
		if m.Phase != 0 && highRank(image).Less(m.High) {
			missing("the claimed certificate")
		}
	case *pbft.NewView:
		if j.s.schedule.Primary(0, m.View) != p.id {
			return
		}
		v := image[pbft.RecordKey{Kind: pbft.RecordNewView, Height: uint64(m.View)}]
		if v == nil {
			// A replica that was slow may make it, see the view fail and leave it for later ones
			// in one batch, which writes the NewView and, of those of failed views, discards it
			// again. What it must not do is make another one, and the view on its disk forbids that.
			if readState(orZero(image[pbft.RecordKey{Kind: pbft.RecordState}])).view <= m.View {
				missing("the NewView")
			}
			return
		}
		n, err := pbft.DecodeRecordNewView(v)
		must(err)
		if n.Digest() != m.Digest() {
			missing("this NewView")
		}
	case *pbft.PrePrepare:
		// It may leave before it is on the disk, since nothing is proposed in a view that
		// was entered before a restart (R6). That there are never two, the watcher sees.
		// One that it signed in an earlier life may come back to it and be passed on.
		if m.Proposer == p.id && !j.watch.knows(p.id, m) {
			signs()
		}
	case *pbft.CheckpointVote:
		if m.Signer != p.id {
			return
		}
		signs()
		j.durableCheckpoint(p, m, missing)
	}
}

func (j *judge) durableCheckpoint(p *process, m *pbft.CheckpointVote, missing func(string)) {
	if bundleHeight(p.disk.image, pbft.RecordSnapshot) >= m.Height {
		return // a certified snapshot covers it, and the log is not replayed from below any more
	}
	v := p.disk.image[pbft.RecordKey{Kind: pbft.RecordCheckpoint, Height: uint64(m.Height)}]
	if v == nil {
		missing("the statement")
		return
	}
	st, disowned, err := pbft.DecodeRecordCheckpoint(v)
	if err != nil || st != m.CheckpointStatement {
		missing("this statement")
	}
	if disowned {
		return // its snapshot was of a wrong state, and is gone
	}
	if c := p.node; c != nil && c.Core().SnapshotHeight() > m.Height && p.disk.newest() > m.Height {
		return // a later one is certified and here, so this one was pruned while the vote was being signed
	}
	if state, ok := p.disk.snapshots.State(m.Height); p.isSnapshot(m.Height) && m.Height > p.disk.damaged && (!ok || state != m.State) {
		missing("the snapshot")
	}
	j.kept.voted(p, m, missing)
}

// stated tells what of a vote is in none of the states that it may rest on.
func (j *judge) stated(p *process, v *pbft.Statement) string {
	again := j.watch.has(p.id, v)
	why := j.stands(v, again, readState(orZero(p.disk.image[pbft.RecordKey{Kind: pbft.RecordState}])))
	for i := 0; why != "" && i < len(p.disk.states); i++ {
		if j.stands(v, again, readState(orZero(p.disk.states[i]))) == "" {
			return ""
		}
	}
	return why
}

// stands tells what of a vote is not in a state: the view and the NewView by which it
// was entered, the vote itself or one above it on its chain (R1), and, unless it is sent
// again, that a vote on a branch that lost does not rule out one that low (1.6).
func (j *judge) stands(v *pbft.Statement, again bool, st durableState) string {
	switch on, known := j.ancestor(st.voted, v.Height); {
	case st.view != v.View || st.votedView != v.View || st.voted.Height < v.Height:
		return "the vote in its state"
	case !st.entered || st.newView != v.NewView:
		return "that it entered the view by this NewView"
	case known && on != v.Block && !again:
		return "a vote on this chain"
	case v.Height < st.floor && !again:
		return "a floor that is low enough"
	}
	return ""
}

// discharged tells whether a vote's block need not be kept any more (R8): this replica
// knows that a later view has committed something, so that no view to come rests on
// the block; or it has committed a block at its height, and this is not the one.
//
// The CommitQC of a base that was committed before leaves nothing on the disk but the
// PrepareQC of the same rank. So a certificate of a later view is enough there, if a
// CommitQC of one, the highest of which is of view certified, was made at all.
func discharged(image map[pbft.RecordKey][]byte, certified pbft.View, s *pbft.Statement) bool {
	if highRank(image).View > s.View && certified > s.View {
		return true
	}
	v := image[pbft.RecordKey{Kind: pbft.RecordCommitted}]
	if v == nil {
		return false
	}
	ref, by, err := pbft.DecodeRecordCommitted(v)
	must(err)
	if by != nil && by.View > s.View {
		return true
	}
	if ref.Height < s.Height {
		return false
	}
	if v = image[pbft.RecordKey{Kind: pbft.RecordChain, Height: uint64(s.Height)}]; v == nil {
		return true
	}
	on, err := pbft.DecodeRecordChain(v)
	must(err)
	return on != s.Ref()
}

// held tells whether a block is on the disk, or was and is covered by a stable
// snapshot.
func (j *judge) held(p *process, ref pbft.BlockRef) bool {
	if _, ok := p.disk.image[pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(ref.Height), Digest: ref.Digest}]; ok {
		return true
	}
	return ref.Height <= bundleHeight(p.disk.image, pbft.RecordSnapshot)
}

func orZero(value []byte) []byte {
	if value == nil {
		return make([]byte, 8+1+32+8+8+32+8)
	}
	return value
}

func highRank(image map[pbft.RecordKey][]byte) pbft.Rank {
	v := image[pbft.RecordKey{Kind: pbft.RecordHigh}]
	if v == nil {
		return pbft.Rank{}
	}
	c, err := pbft.DecodeRecordCertificate(v)
	must(err)
	return c.Rank()
}

// bundleHeight is the height of the checkpoint that a record names.
func bundleHeight(image map[pbft.RecordKey][]byte, kind pbft.RecordKind) pbft.Height {
	v := image[pbft.RecordKey{Kind: kind}]
	if v == nil {
		return 0
	}
	b, err := pbft.DecodeRecordBundle(v)
	must(err)
	return b.Height()
}

// newViewOn returns a NewView that is on the disk, in the record of its view or in one
// of its own (R19), or nil.
func newViewOn(image map[pbft.RecordKey][]byte, v pbft.View, d pbft.Digest) *pbft.NewView {
	for _, own := range []pbft.Digest{d, {}} {
		value, ok := image[pbft.RecordKey{Kind: pbft.RecordNewView, Height: uint64(v), Digest: own}]
		if !ok {
			continue
		}
		n, err := pbft.DecodeRecordNewView(value)
		must(err)
		if n.Digest() == d {
			return n
		}
	}
	return nil
}
