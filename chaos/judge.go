package chaos

import (
	"encoding/binary"
	"errors"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// judge stands outside of the replicas and compares what they do. It knows who is
// a traitor, and judges the others only.
type judge struct {
	s       *Simulation
	history History
	watch   *watcher
	certs   *certificateCheck
	bases   *baseCheck
	answers *replyCheck
	bounds  boundCheck
	differ  *differCheck
	opens   *openCheck
	model   *modelCheck
	kept    *keptCheck

	agreed     map[pbft.Height]pbft.Digest // block by height
	ran        map[pbft.Digest]pbft.Height // request by where it ran
	numbers    map[clientNumber]pbft.Digest
	replies    map[pbft.Height]crypto.Digest // of all replies of a block
	states     map[pbft.Height]crypto.Digest // of application and sessions
	statements map[pbft.Height]pbft.CheckpointStatement
	lives      []life
	certified  pbft.View         // the highest view in which a CommitQC was made
	values     map[string]string // what was last read or written, for swaps that succeed
	offenders  map[pbft.ReplicaID]bool
}

type clientNumber struct {
	client crypto.PublicKey
	seq    uint64
}

// life is what the judge remembers of one replica.
type life struct {
	process   *process
	first     pbft.View // of this life
	view      pbft.View // seen in this life
	committed pbft.Height
	executed  pbft.Height
	stable    pbft.Height
	promised  pbft.View   // the highest view in anything it signed, in any life
	voted     pbft.View   // the first view above all that it voted in, in any life
	reached   pbft.Height // the highest that it executed, in any life
}

func newJudge(s *Simulation) *judge {
	return &judge{
		s: s, watch: newWatcher(s), certs: newCertificateCheck(s), bases: newBaseCheck(s), answers: newReplyCheck(s), bounds: boundCheck{s: s}, differ: newDifferCheck(s), opens: newOpenCheck(s), model: newModelCheck(s), kept: newKeptCheck(s), agreed: map[pbft.Height]pbft.Digest{}, ran: map[pbft.Digest]pbft.Height{}, numbers: map[clientNumber]pbft.Digest{},
		replies: map[pbft.Height]crypto.Digest{}, states: map[pbft.Height]crypto.Digest{}, statements: map[pbft.Height]pbft.CheckpointStatement{},
		lives: make([]life, len(s.opts.Weights)), values: map[string]string{}, offenders: map[pbft.ReplicaID]bool{},
	}
}

// recent is a value that the key perhaps has.
func (j *judge) recent(key string) string { return j.values[key] }

func (j *judge) wrote(op Op, out Outcome) {
	if op.Kind == OpPut || out.Swapped {
		j.values[op.Key] = op.New
	} else {
		j.values[op.Key] = out.Value
	}
}

// started takes up a new life.
func (j *judge) started(p *process) {
	l := &j.lives[p.id]
	c := p.node.Core()
	*l = life{process: p, first: c.View(), promised: l.promised, voted: l.voted, reached: l.reached}
	j.kept.started(p)
	if p.honest() && !p.rejoining() && c.View() < l.promised {
		j.s.violate(Monotonicity, "replica %d starts in view %d after it signed in view %d", p.id, c.View(), l.promised)
	}
}

// observe is called after every step of a replica.
func (j *judge) observe(p *process) {
	l, c := &j.lives[p.id], p.node.Core()
	j.differ.observe(p)
	j.kept.observe(p)
	if p.differs && l.process == p {
		l.reached = max(l.reached, c.ExecutedHeight())
	}
	if !p.honest() || l.process != p {
		return
	}
	j.bases.entered(p, c.NewView())
	j.bounds.observe(p)
	if c.View() < l.view || c.Committed() < l.committed || c.ExecutedHeight() < l.executed || c.Stable() < l.stable {
		j.s.violate(Monotonicity, "replica %d goes back from view %d committed %d executed %d stable %d to\n%s", p.id, l.view, l.committed, l.executed, l.stable, c.Describe())
	}
	l.view, l.committed, l.executed, l.stable = c.View(), c.Committed(), c.ExecutedHeight(), c.Stable()
	l.reached = max(l.reached, l.executed)
	j.s.report.ViewChanges = max(j.s.report.ViewChanges, int(l.view))
}

// executed compares what a block did here with what it did elsewhere.
func (j *judge) executed(p *process, b *pbft.Block, x *statemachine.Execution) {
	d := b.Digest()
	text := ""
	if j.s.trace.reading() {
		text = b.String()
	}
	j.s.trace.event(j.s.now, "execute", int(p.id), -1, d[:], text)
	if !p.honest() {
		return
	}
	if first, ok := j.agreed[b.Height]; !ok {
		j.agreed[b.Height] = d
	} else if first != d {
		j.s.violate(Agreement, "replica %d executes %v at height %d, another replica %v", p.id, d, b.Height, first)
	}
	j.answers.executed(p, b, x.Replies)
	j.model.executed(b, x.Replies)
	var all []byte
	for i := range x.Replies {
		r := &x.Replies[i]
		rd := r.Digest()
		all = append(all, byte(r.Status))
		all = append(all, rd[:]...)
		if r.Status == statemachine.Executed {
			j.once(p, b.Height, r)
		}
	}
	compare(j, p, "replies", b.Height, j.replies, crypto.Hash("chaos/replies", all))
	if x.Checkpoint != nil || b.Height%3 == 0 {
		j.state(p, b.Height)
	}
}

func (j *judge) once(p *process, h pbft.Height, r *statemachine.Reply) {
	if at, ok := j.ran[r.Request]; ok && at != h {
		j.s.violate(ExactlyOnce, "replica %d runs request %v at height %d, it ran at %d", p.id, r.Request, h, at)
	}
	j.ran[r.Request] = h
	n := clientNumber{r.Client, r.Seq}
	if other, ok := j.numbers[n]; ok && other != r.Request {
		j.s.violate(ExactlyOnce, "replica %d runs two requests %v and %v of one client under number %d", p.id, other, r.Request, r.Seq)
	}
	j.numbers[n] = r.Request
}

// state compares the replica's state with that of the others at the same height.
func (j *judge) state(p *process, h pbft.Height) {
	app, sessions, err := p.executor.Digests()
	if err != nil {
		if p.stateRots && errors.Is(err, statemachine.ErrDamaged) {
			return // it came upon that by this
		}
		j.s.violate(Health, "replica %d: state after %d: %v", p.id, h, err)
		return
	}
	compare(j, p, "state", h, j.states, stateOf(app, sessions))
}

func stateOf(app, sessions crypto.Digest) crypto.Digest {
	return crypto.Hash("chaos/state", app[:], sessions[:])
}

func compare(j *judge, p *process, what string, h pbft.Height, seen map[pbft.Height]crypto.Digest, d crypto.Digest) {
	if first, ok := seen[h]; ok && first != d {
		j.s.violate(Determinism, "replica %d has %s %v after block %d, another replica %v", p.id, what, d, h, first)
	} else if !ok {
		seen[h] = d
	}
}

// statement takes what a replica is about to say about a checkpoint.
func (j *judge) statement(p *process, st pbft.CheckpointStatement) {
	j.differ.stated(p, &st)
	j.lapseOver(p)
	if !p.honest() {
		return
	}
	if first, ok := j.statements[st.Height]; ok && first != st {
		j.s.violate(Determinism, "replica %d has statement %v, another replica %v", p.id, st, first)
	} else if !ok {
		j.statements[st.Height] = st
	}
}

// stable takes a checkpoint that a replica holds for certified.
func (j *judge) stable(p *process, b *pbft.Bundle) {
	if p.honest() {
		j.certs.bundle(p, b)
	}
	if st, ok := j.statements[b.Height()]; p.honest() && (!ok || st != b.Checkpoint.CheckpointStatement) {
		j.s.violate(Certificates, "replica %d takes %v for certified, honest replicas say %v", p.id, b.Checkpoint.CheckpointStatement, st)
	}
}

// installed takes a state that was transferred.
func (j *judge) installed(p *process, b *pbft.Bundle) {
	j.kept.installed(p, b.Height())
	j.s.report.Transfers++
	j.s.trace.event(j.s.now, "install", int(p.id), -1, binary.BigEndian.AppendUint64(nil, uint64(b.Height())), b.Ref().String())
	if j.lapseReplaced(p, b.Height()); !p.honest() {
		return
	}
	j.stable(p, b)
	if first, ok := j.agreed[b.Height()]; !ok || first != b.Checkpoint.Block {
		j.s.violate(Transfers, "replica %d installs the state of block %v at height %d, agreed is %v", p.id, b.Checkpoint.Block, b.Height(), first)
	}
	// The log may have brought it further while the state was on its way.
	if p.executor.Position().Height == uint64(b.Height()) {
		j.state(p, b.Height())
	}
}

// evidence demands that proofs name traitors only.
func (j *judge) evidence(p *process, e *pbft.Evidence) {
	if !p.honest() {
		return
	}
	if j.s.replicas[e.Culprit].honest() {
		j.s.violate(Framing, "replica %d has proof against honest replica %d: %v", p.id, e.Culprit, e)
	}
	if !j.offenders[e.Culprit] {
		j.offenders[e.Culprit] = true
		j.s.report.Evidence++
		j.s.chronicle.proof(p.id, e)
	}
}

// culprits demands that bad signatures are of traitors.
func (j *judge) culprits(p *process, who []pbft.ReplicaID) {
	for _, id := range who {
		if p.honest() && j.s.replicas[id].honest() {
			j.s.violate(Framing, "replica %d finds a bad share of honest replica %d", p.id, id)
		}
	}
}

// poisoned demands that wrong chunks come from traitors.
func (j *judge) poisoned(p *process, from pbft.ReplicaID) {
	// One that lapsed may have served a snapshot of its wrong state, before it knew.
	if p.honest() && j.s.replicas[from].honest() && j.s.replicas[from].lapses == 0 {
		j.s.violate(Framing, "replica %d gets a wrong chunk from honest replica %d", p.id, from)
	}
}

// lied demands that parts of a state that cannot be true come from traitors.
func (j *judge) lied(p *process, from pbft.ReplicaID, why error) {
	if (p.honest() || p.differs) && j.s.replicas[from].honest() {
		j.s.violate(Framing, "replica %d takes honest replica %d for a liar about a part of the state: %v", p.id, from, why)
	}
}

// refused demands that what honest replicas send verifies.
func (j *judge) refused(p *process, from pbft.ReplicaID, m pbft.Message, why pbft.Drop) {
	if p.honest() && j.s.replicas[from].honest() {
		j.s.violate(Framing, "replica %d refuses %v of honest replica %d: %v: %s", p.id, m.Kind(), from, why, describeBytes(pbft.Encode(0, m)))
	}
}

// sent looks at everything that a replica signs and sends.
func (j *judge) sent(p *process, m pbft.Message) {
	j.watch.learn(m)
	if p.honest() || p.differs {
		// Whatever its state is, it never contradicts itself, and its votes count still when
		// that is right again.
		j.durable(p, m)
		j.watch.sent(p.id, m)
		j.certs.signs(p.id, m)
		j.opens.signs(p, m)
		j.promises(p, m)
	}
	if p.honest() {
		j.certs.uses(p, m)
		j.window(p, m)
	}
}

// promises notes what a replica may not go back from.
func (j *judge) promises(p *process, m pbft.Message) {
	l := &j.lives[p.id]
	switch m := m.(type) {
	case *pbft.Vote:
		l.promised = max(l.promised, m.View)
		if m.Signer == p.id {
			if m.View < p.disk.mute {
				j.s.violate(Equivocation, "replica %d sends %v: the disk that it lost had votes of views up to %d, and nothing tells it what they were for", p.id, m.Statement, p.disk.mute-1)
			}
			l.voted = max(l.voted, m.View+1)
		}
	case *pbft.ViewChange:
		l.promised = max(l.promised, m.View)
	}
}

// window demands that nothing is voted for that lies further above what this
// replica has executed than the rules allow it to look.
func (j *judge) window(p *process, m pbft.Message) {
	v, ok := m.(*pbft.Vote)
	if !ok || v.Signer != p.id || v.Phase != pbft.Prepare {
		return
	}
	if j.bases.isBase(p, v) {
		return // a quorum has voted for it before
	}
	j.opens.prepares(p, v)
	c := p.node.Core()
	if top, ok := j.watch.highestCommit(p.id, v.View); ok && top.Height >= v.Height {
		return // a quorum has prepared it: this replica has voted to commit it, and repeats itself
	}
	// What it signed in an earlier life it may send again, and may not yet have
	// executed as far again.
	reached := max(j.lives[p.id].reached, c.ExecutedHeight())
	if w := j.s.opts.Window; v.Height > reached+w {
		j.s.violate(Watermarks, "replica %d sends %v, it has executed %d and the window is %d", p.id, v.Statement, reached, w)
	}
}
