package chaos

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// hooks are where the simulation looks into a replica.
func (p *process) hooks() replica.SimHooks {
	j := p.s.judge
	return replica.SimHooks{
		Transmit: p.transmit,
		Crash: func(at replica.SimPoint) bool {
			switch at {
			case replica.SimBeforeWrite:
				return p.reach(beforeWrite)
			case replica.SimAfterSync:
				return p.reach(afterSync)
			}
			return p.reach(duringRelease) || p.reach(afterRelease)
		},
		Dropped: func(from pbft.ReplicaID, m pbft.Message, why pbft.Drop) {
			switch why {
			case pbft.DropOldView, pbft.DropHeight, pbft.DropDuplicate: // it came too late
			default:
				if m != nil {
					j.refused(p, from, m, why)
				}
			}
		},
		Applied: func(on *statemachine.Executor, b *pbft.Block, x *statemachine.Execution) {
			p.executor = on
			p.seesExecuted(b, x, p.node == nil)
			j.executed(p, b, x)
		},
		Stated: func(s pbft.CheckpointStatement) { j.statement(p, s) },
		Installed: func(on *statemachine.Executor, b *pbft.Bundle, err error) {
			p.executor = on
			switch {
			case errors.Is(err, replica.ErrWhole), errors.Is(err, replica.ErrLater):
				return // see Synced
			case err != nil:
				p.s.sometimes(seenTransferDamaged)
				return
			}
			p.s.sometimes(seenTransfer)
			if p.resumes {
				p.s.sometimes(seenResumed)
			}
			p.resumes = false
			j.installed(p, b)
		},
		Stable: func(b *pbft.Bundle) { j.stable(p, b) },
		Certified: func(c *pbft.Certificate, culprits []pbft.ReplicaID) {
			if len(culprits) > 0 {
				p.s.sometimes(seenBadShare)
			}
			j.culprits(p, culprits)
			if c != nil && c.Phase == pbft.Commit {
				j.certified = max(j.certified, c.View)
			}
		},
		CheckpointCertified: func(_ *pbft.CheckpointCertificate, culprits []pbft.ReplicaID) { j.culprits(p, culprits) },
		Poisoned: func(from pbft.ReplicaID) {
			p.s.sometimes(seenPoison)
			j.poisoned(p, from)
		},
		Lied: func(from pbft.ReplicaID, err error) {
			p.s.sometimes(seenFalsePart)
			p.s.trace.event(p.s.now, "lied", int(from), int(p.id), nil, err.Error())
			j.lied(p, from, err)
		},
		Synced: func(h pbft.Height, stats statemachine.StateSyncStats, err error) { p.seesParts(h, &stats, err) },
	}
}

// executed answers the clients.
func (p *process) executed(_ *pbft.Block, replies []statemachine.Reply) {
	for _, r := range replies {
		p.answer(r)
	}
}

func (p *process) alarm(a pbft.Alarm) {
	if a.Divergence != nil {
		p.s.sometimes(seenDiverged)
	}
	switch {
	case p.stateRots && a.Divergence != nil && a.Divergence.Damaged:
		p.s.sometimes(seenStateDamaged)
	case p.differs && p.lapse != lapseDue && a.Divergence != nil:
		p.found = true
	case p.honest() || p.differs:
		p.s.violate(Health, "replica %d: alarm: %s", p.id, a.Reason)
	}
}

// healed takes note that a replica's state is the certified one again: it is honest from
// here on.
func (p *process) healed(d *pbft.Divergence) {
	p.s.sometimes(seenHealed)
	if d.Damaged {
		p.s.sometimes(seenStateMended)
	}
	if p.lapse == lapsed {
		p.s.judge.lapseHealed(p)
	}
	if p.broken == brokenDiffers && !p.differs {
		p.broken = ""
	}
}

// Send signs a message and sends it.
func (p *process) Send(to pbft.ReplicaID, m pbft.Message) {
	p.transmit(to, pbft.Sign(p.s.cluster, 0, m, p.keys))
}

func (p *process) isSnapshot(h pbft.Height) bool { return h%p.s.opts.CheckpointEvery == 0 }

// transmit gives a signed message to the network.
func (p *process) transmit(to pbft.ReplicaID, m pbft.Message) {
	p.seesSent(m)
	p.s.judge.sent(p, m)
	var k *packet
	for i := range p.s.replicas {
		id := pbft.ReplicaID(i)
		if id == p.id || to != pbft.Everyone && to != id {
			continue
		}
		if p.left == 0 {
			return
		}
		p.left--
		if p.traitor != nil {
			p.traitor.Send(id, m)
			continue
		}
		if k == nil {
			k = newPacket(pbft.Encode(0, m))
		}
		p.s.network.carry(p.id, id, k)
	}
}

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
	case *pbft.GetState:
		return fmt.Sprintf("GetState %d %d bytes", m.ID, len(m.Request))
	case *pbft.State:
		return fmt.Sprintf("State %d %d bytes", m.ID, len(m.Data))
	case fmt.Stringer:
		return m.String()
	}
	return m.Kind().String()
}
