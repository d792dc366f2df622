package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// What follows are the parts of replica.Host that need no order of their own.

// Aggregate implements replica.Host.
func (p *process) Aggregate(w *pbft.Pending) {
	p.after(p.takes(50*time.Microsecond), func() {
		c, culprits := p.verifier.Aggregate(w)
		p.s.judge.culprits(p, culprits)
		if c != nil && c.Phase == pbft.Commit {
			p.s.judge.certified = max(p.s.judge.certified, c.View)
		}
		p.post(func(n *replica.Node) { n.Aggregated(w, c, culprits) })
	})
}

// AggregateCheckpoint implements replica.Host.
func (p *process) AggregateCheckpoint(w *pbft.CheckpointPending) {
	p.after(p.takes(50*time.Microsecond), func() {
		c, culprits := p.verifier.AggregateCheckpoint(w)
		p.s.judge.culprits(p, culprits)
		p.post(func(n *replica.Node) { n.AggregatedCheckpoint(w, c, culprits) })
	})
}

// Serve implements replica.Host.
func (p *process) Serve(v *replica.Serving) {
	p.after(p.takes(p.s.opts.Disk/4), func() {
		var m pbft.Message
		switch ask := v.Ask.(type) {
		case *pbft.GetBlocks:
			var err error
			m, err = v.Blocks(p.disk)
			must(err)
		case *pbft.GetManifest:
			out := &pbft.Manifest{Height: ask.Height}
			if s := p.disk.snapshots[ask.Height]; s != nil {
				out.Data = s.served()
			}
			m = out
		case *pbft.GetChunk:
			out := &pbft.Chunk{Height: ask.Height, Index: ask.Index}
			if s := p.disk.snapshots[ask.Height]; s != nil && int(ask.Index) < len(s.manifest.Chunks) {
				out.Data = s.chunk(int(ask.Index))
			}
			m = out
		}
		if m != nil {
			p.Send(v.To, m)
		}
		p.post(func(n *replica.Node) { n.Served(v.To) })
	})
}

// refusals says why the executed sessions would not let a request run.
var refusals = map[statemachine.Status]pbft.Drop{
	statemachine.Duplicate: pbft.DropDuplicate, statemachine.Forgotten: pbft.DropDuplicate,
	statemachine.Conflict: pbft.DropConflict, statemachine.Expired: pbft.DropExpired,
	statemachine.Window: pbft.DropClientFull, statemachine.Early: pbft.DropClientFull, statemachine.Busy: pbft.DropPoolFull,
}

// Admissible implements replica.Host.
func (p *process) Admissible(r *pbft.Request) pbft.Drop {
	er := executorRequest(r)
	status, ok := p.executor.Admissible(&er, statemachine.Time(p.clock()))
	if ok {
		return pbft.NoDrop
	}
	if why, known := refusals[status]; known {
		return why
	}
	return pbft.DropUnwanted
}

// Refused implements replica.Host. The client asks again.
func (p *process) Refused(*pbft.Request, pbft.Drop) {}

// Stable implements replica.Host.
func (p *process) Stable(b *pbft.Bundle) {
	p.s.judge.stable(p, b)
	if p.isSnapshot(b.Height()) {
		p.disk.prune(b.Height())
	}
}

// Evidence implements replica.Host.
func (p *process) Evidence(e *pbft.Evidence) { p.s.judge.evidence(p, e) }

// Alarm implements replica.Host.
func (p *process) Alarm(a pbft.Alarm) {
	if p.honest() {
		p.s.fail("replica %d: alarm: %s", p.id, a.Reason)
	}
}

// OpenTransfer implements replica.Host.
func (p *process) OpenTransfer(b *pbft.Bundle) {
	p.after(p.takes(p.s.opts.Disk), func() {
		in := p.disk.incoming
		if in == nil || in.height != b.Height() {
			in = &incoming{height: b.Height()}
			p.disk.incoming = in
		}
		if in.encoded == nil {
			// One that was received before and whose records were lost in a crash.
			if s := p.disk.snapshots[b.Height()]; s != nil && s.state() == b.Checkpoint.State {
				in.encoded, in.manifest = s.served(), s.manifest
				for i := range s.manifest.Chunks {
					in.chunks = append(in.chunks, s.chunk(i))
				}
			}
		}
		var have []uint32
		for i, c := range in.chunks {
			if c != nil {
				have = append(have, uint32(i))
			}
		}
		manifest := in.encoded
		p.post(func(n *replica.Node) { n.TransferOpened(b.Height(), manifest, have) })
	})
}

func (p *process) transferring(h pbft.Height) *incoming {
	if in := p.disk.incoming; in != nil && in.height == h {
		return in
	}
	return nil
}

// SaveManifest implements replica.Host.
func (p *process) SaveManifest(height pbft.Height, data []byte) {
	p.after(p.takes(p.s.opts.Disk), func() {
		in := p.transferring(height)
		if in == nil {
			return
		}
		_, _, m, err := splitManifest(data)
		must(err)
		in.encoded, in.manifest, in.chunks = data, m, make([][]byte, len(m.Chunks))
		p.post(func(n *replica.Node) { n.ManifestSaved(height, data) })
	})
}

// CheckChunk implements replica.Host.
func (p *process) CheckChunk(height pbft.Height, index uint32, from pbft.ReplicaID, data []byte) {
	p.after(p.takes(p.s.opts.Disk/4), func() {
		in := p.transferring(height)
		if in == nil || in.manifest == nil {
			return
		}
		good := in.manifest.Verify(int(index), data) == nil
		if good {
			in.chunks[index] = data
		} else {
			p.s.judge.poisoned(p, from)
		}
		p.post(func(n *replica.Node) { n.ChunkChecked(height, index, from, good) })
	})
}

// Install implements replica.Host.
func (p *process) Install(b *pbft.Bundle) {
	in := p.transferring(b.Height())
	if in == nil {
		p.s.fail("replica %d installs %d, which it does not transfer", p.id, b.Height())
		return
	}
	p.jobs = append(p.jobs, job{install: b, files: in})
	p.work()
}

// CloseTransfer implements replica.Host.
func (p *process) CloseTransfer(pbft.Height) {}

// describeBytes is for reading a trace.
func describeBytes(data []byte) string {
	_, m, err := pbft.Decode(data)
	if err != nil {
		return err.Error()
	}
	switch m := m.(type) {
	case *pbft.PrePrepare:
		return "PrePrepare " + m.Block.String()
	case *pbft.Vote:
		return m.Statement.String()
	case *pbft.CheckpointVote:
		return "CheckpointVote " + m.CheckpointStatement.String()
	case *pbft.ViewChange:
		return "ViewChange " + m.Claim.String()
	case *pbft.Status:
		return fmt.Sprintf("Status view:%d entered:%t open:%t high:%v committed:%d executed:%d stable:%d oldest:%d suspect:%t follower:%t reply:%t",
			m.View, m.Entered, m.Open, m.High, m.Committed, m.Executed, m.Stable, m.Oldest, m.Suspect, m.Follower, m.Reply)
	case *pbft.GetBlocks:
		return fmt.Sprintf("GetBlocks from:%d %d:%v", m.From, m.Height, m.Digest)
	case *pbft.Blocks:
		return fmt.Sprintf("Blocks %d, certificate %v", len(m.Blocks), m.Certificate)
	case *pbft.Bundle:
		return fmt.Sprintf("Bundle %v", m.Ref())
	case *pbft.Forward:
		return fmt.Sprintf("Forward %d", len(m.Requests))
	case *pbft.GetChunk:
		return fmt.Sprintf("GetChunk %d/%d", m.Height, m.Index)
	case *pbft.Chunk:
		return fmt.Sprintf("Chunk %d/%d %d bytes", m.Height, m.Index, len(m.Data))
	case fmt.Stringer:
		return m.String()
	}
	return m.Kind().String()
}
