package chaos

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// job is blocks to execute or a state to install.
type job struct {
	blocks  []*pbft.Block
	install *pbft.Bundle
	files   *incoming
}

// Execute implements replica.Host.
func (p *process) Execute(blocks []*pbft.Block) {
	p.jobs = append(p.jobs, job{blocks: blocks})
	p.work()
}

// work does one job after another, block by block.
func (p *process) work() {
	if p.working || len(p.jobs) == 0 {
		return
	}
	p.working = true
	p.after(p.takes(p.s.opts.Apply), func() {
		p.working = false
		j := &p.jobs[0]
		switch {
		case j.install != nil:
			b, files := j.install, j.files
			p.jobs = p.jobs[1:]
			p.install(b, files)
		case p.awaiting:
			p.waiting = append(p.waiting, j.blocks...)
			p.jobs = p.jobs[1:]
		case len(j.blocks) == 0:
			p.jobs = p.jobs[1:]
		default:
			b := j.blocks[0]
			j.blocks = j.blocks[1:]
			p.execute(b)
		}
		p.work()
	})
}

func (p *process) isSnapshot(h pbft.Height) bool { return h%p.s.opts.CheckpointEvery == 0 }

func executorRequest(r *pbft.Request) statemachine.Request {
	return statemachine.Request{
		Client: r.Client, Seq: r.Seq, Low: r.Low, Deadline: statemachine.Time(r.Deadline), Digest: r.Digest(), Ops: r.Ops,
	}
}

// apply runs a block on the executor and has the outcome judged.
func (p *process) apply(b *pbft.Block) (statemachine.Execution, bool) {
	rb := statemachine.RequestBlock{
		Height: uint64(b.Height), Time: statemachine.Time(b.Time), Digest: b.Digest(),
		Checkpoint: b.Checkpoint || p.isSnapshot(b.Height), Requests: make([]statemachine.Request, len(b.Requests)),
	}
	for i, r := range b.Requests {
		rb.Requests[i] = executorRequest(r)
	}
	x, err := p.executor.Execute(rb)
	if err != nil {
		p.s.fail("replica %d executes %v: %v", p.id, b, err)
		return x, false
	}
	p.s.judge.executed(p, b, &x)
	return x, true
}

func (p *process) execute(b *pbft.Block) {
	if uint64(b.Height) <= p.executor.Position().Height {
		return // a snapshot that was installed meanwhile covers it
	}
	x, ok := p.apply(b)
	if !ok {
		return
	}
	for _, r := range x.Replies {
		p.answer(r)
	}
	p.post(func(n *replica.Node) { n.Executed(b.Height) })
	if x.Checkpoint == nil {
		return
	}
	if !p.isSnapshot(b.Height) {
		p.checkpointed(statement(x.Checkpoint, pbft.Digest{}))
		return
	}
	s := p.snapshot(x.Checkpoint)
	p.snapsDone = max(p.snapsDone, p.s.now) + p.takes(3*p.s.opts.Disk)
	p.after(p.snapsDone-p.s.now, func() {
		p.disk.snapshots[b.Height] = s
		p.checkpointed(statement(x.Checkpoint, s.manifest.Root()))
	})
}

func (p *process) checkpointed(st pbft.CheckpointStatement) {
	p.s.judge.statement(p, st)
	p.post(func(n *replica.Node) { n.Checkpointed(st) })
}

// statement is what a replica says about a checkpoint.
func statement(c *statemachine.CheckpointInfo, manifest pbft.Digest) pbft.CheckpointStatement {
	return pbft.CheckpointStatement{
		Height: pbft.Height(c.Height), Block: c.BlockDigest,
		State: statemachine.StateDigest(c.AppDigest, c.SessionsDigest, manifest), Results: c.ResultsRoot,
	}
}

// snapshot freezes the state at a checkpoint.
func (p *process) snapshot(c *statemachine.CheckpointInfo) *savedSnapshot {
	frozen, err := p.executor.Snapshot()
	must(err)
	var buf bytes.Buffer
	_, err = frozen.WriteTo(&buf)
	must(errors.Join(err, frozen.Close()))
	m, err := snapshot.Build(c.Height, bytes.NewReader(buf.Bytes()), chunkSize)
	must(err)
	return &savedSnapshot{data: buf.Bytes(), manifest: m, app: c.AppDigest, sessions: c.SessionsDigest}
}

// splitManifest undoes savedSnapshot.served.
func splitManifest(data []byte) (app, sessions pbft.Digest, m *snapshot.Manifest, err error) {
	if len(data) < 2*len(app) {
		return app, sessions, nil, fmt.Errorf("%w: %d bytes", snapshot.ErrManifest, len(data))
	}
	copy(app[:], data)
	copy(sessions[:], data[len(app):])
	m, err = snapshot.DecodeManifest(data[2*len(app):])
	return app, sessions, m, err
}

// install makes a transferred snapshot the state.
func (p *process) install(b *pbft.Bundle, in *incoming) {
	app, sessions, m, err := splitManifest(in.encoded)
	must(err)
	s := &savedSnapshot{manifest: m, app: app, sessions: sessions}
	for i, c := range in.chunks {
		if m.Verify(i, c) != nil {
			p.s.fail("replica %d installs %d without a good chunk %d", p.id, b.Height(), i)
			return
		}
		s.data = append(s.data, c...)
	}
	p.disk.snapshots[b.Height()], p.disk.incoming = s, nil
	if uint64(b.Height()) > p.executor.Position().Height || p.awaiting {
		if err := p.executor.Restore(bytes.NewReader(s.data)); err != nil {
			p.s.fail("replica %d installs %d: %v", p.id, b.Height(), err)
			return
		}
		p.s.judge.installed(p, b)
	}
	p.post(func(n *replica.Node) { n.Installed(b, nil) })
	if !p.awaiting {
		return
	}
	p.awaiting = false
	p.replay(p.replayTo, func(h pbft.Height) { p.post(func(n *replica.Node) { n.Executed(h) }) }, p.checkpointed)
	p.jobs = append([]job{{blocks: p.waiting}}, p.jobs...)
	p.waiting = nil
}

// recovered is where a replica stands after it read its disk.
type recovered struct {
	executed   pbft.Height
	statements []pbft.CheckpointStatement
	install    *pbft.Bundle
}

// recover brings the executor to the committed end of the log, by the newest
// snapshot from which the log reaches there.
func (p *process) recover() *recovered {
	var committed pbft.Height
	if v, err := p.disk.Get(pbft.RecordKey{Kind: pbft.RecordCommitted}); err == nil && v != nil {
		ref, _, err := pbft.DecodeRecordCommitted(v)
		must(err)
		committed = ref.Height
	}
	rec := &recovered{executed: committed}
	restored := false
	for _, h := range p.disk.heights(committed) {
		if !p.reaches(h, committed) {
			continue
		}
		must(p.executor.Restore(bytes.NewReader(p.disk.snapshots[h].data)))
		restored = true
		break
	}
	if !restored && !p.reaches(0, committed) {
		v, err := p.disk.Get(pbft.RecordKey{Kind: pbft.RecordSnapshot})
		must(err)
		if v == nil {
			p.s.fail("replica %d: no snapshot, and the log begins above height 1", p.id)
			return rec
		}
		rec.install, err = pbft.DecodeRecordBundle(v)
		must(err)
		rec.executed = rec.install.Height()
		p.awaiting, p.replayTo = true, committed
		return rec
	}
	p.replay(committed, func(pbft.Height) {}, func(st pbft.CheckpointStatement) {
		p.s.judge.statement(p, st)
		rec.statements = append(rec.statements, st)
	})
	return rec
}

func (p *process) chainBlock(h pbft.Height) *pbft.PrePrepare {
	v, err := p.disk.Get(pbft.RecordKey{Kind: pbft.RecordChain, Height: uint64(h)})
	must(err)
	if v == nil {
		return nil
	}
	ref, err := pbft.DecodeRecordChain(v)
	must(err)
	if v, err = p.disk.Get(pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(h), Digest: ref.Digest}); v == nil {
		must(err)
		return nil
	}
	b, err := pbft.DecodeRecordBlock(v)
	must(err)
	return b
}

// reaches tells whether the log has the blocks above a state's height.
func (p *process) reaches(state, committed pbft.Height) bool {
	return state == committed || state < committed && p.chainBlock(state+1) != nil
}

// replay executes the committed blocks of the log up to a height.
func (p *process) replay(to pbft.Height, done func(pbft.Height), checkpointed func(pbft.CheckpointStatement)) {
	for h := pbft.Height(p.executor.Position().Height) + 1; h <= to; h++ {
		b := p.chainBlock(h)
		if b == nil {
			p.s.fail("replica %d: the log has a gap at %d", p.id, h)
			return
		}
		x, ok := p.apply(b.Block)
		if !ok {
			return
		}
		done(h)
		if x.Checkpoint == nil {
			continue
		}
		var root pbft.Digest
		if p.isSnapshot(h) {
			if p.disk.snapshots[h] == nil {
				p.disk.snapshots[h] = p.snapshot(x.Checkpoint)
			}
			root = p.disk.snapshots[h].manifest.Root()
		}
		checkpointed(statement(x.Checkpoint, root))
	}
}
