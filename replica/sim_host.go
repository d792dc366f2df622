package replica

import (
	"errors"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What the Node of a Sim asks for.

// simHost is the Sim as its Node sees it.
type simHost struct{ s *Sim }

var _ Host = simHost{}

func (h simHost) later(w Work, job func() error) { h.s.jobs[w].put(job) }

func (h simHost) Persist(b *Batch) { h.s.batch.put(b) }

func (h simHost) Send(to pbft.ReplicaID, m pbft.Message) {
	h.s.send(to, pbft.Sign(h.s.cfg.Core.Cluster, h.s.epoch, m, h.s.cfg.Keys))
}

func (h simHost) Execute(blocks []*pbft.Block) {
	for _, b := range blocks {
		h.later(WorkExecute, func() error {
			return h.s.runner.do(&runnerJob{blocks: []*pbft.Block{b}})
		})
	}
}

func (h simHost) Aggregate(p *pbft.Pending) {
	h.later(WorkAggregate, func() error {
		c, culprits := h.s.cfg.Verifier.Aggregate(p)
		if f := h.s.cfg.Hooks.Certified; f != nil {
			f(c, culprits)
		}
		h.s.node.Aggregated(p, c, culprits)
		return nil
	})
}

func (h simHost) AggregateCheckpoint(p *pbft.CheckpointPending) {
	h.later(WorkAggregate, func() error {
		c, culprits := h.s.cfg.Verifier.AggregateCheckpoint(p)
		if f := h.s.cfg.Hooks.CheckpointCertified; f != nil {
			f(c, culprits)
		}
		h.s.node.AggregatedCheckpoint(p, c, culprits)
		if c == nil {
			return nil
		}
		return h.s.runner.archive.certified(c)
	})
}

func (h simHost) Distrust(member pbft.ReplicaID) { h.s.stage.distrust(member) }

func (h simHost) Serve(v *Serving) {
	h.later(WorkFiles, func() error {
		answers, err := v.answers(h.s.cfg.Store, h.s.cfg.Snapshots, func(request []byte) ([]byte, error) {
			return h.s.runner.serveState(h.s.cfg.Machine, request)
		})
		if err != nil && !errors.Is(err, ErrStore) {
			err = nil // the peer asks somebody else
		}
		for _, m := range answers {
			if err == nil {
				h.Send(v.To, m)
			}
		}
		h.s.node.Served(v.To)
		return err
	})
}

func (h simHost) Admissible(r *pbft.Request) pbft.Drop {
	er := executorRequest(r)
	status, ok := h.s.runner.exec.Admissible(&er, statemachine.Time(h.s.node.now))
	if ok {
		return pbft.NoDrop
	}
	return dropOfStatus(status)
}

func (h simHost) Refused(r *pbft.Request, why pbft.Drop) {
	if h.s.cfg.Refused != nil {
		h.s.cfg.Refused(r, why)
	}
}

func (h simHost) Stable(b *pbft.Bundle) {
	if f := h.s.cfg.Hooks.Stable; f != nil {
		f(b)
	}
	h.s.runner.certifiedSnapshot(b.Height())
	h.s.runner.seals.stable(b)
	h.later(WorkFiles, func() error {
		_, err := h.s.runner.splitOver(b.Height())
		return errors.Join(err, h.s.runner.archive.certified(b.Checkpoint))
	})
}

func (h simHost) Prune(snapshot pbft.Height) {
	h.later(WorkFiles, func() error { return h.s.runner.prune(snapshot) })
}

func (h simHost) Evidence(e *pbft.Evidence) {
	if h.s.cfg.Evidence != nil {
		h.s.cfg.Evidence(e)
	}
}

func (h simHost) Alarm(a pbft.Alarm) {
	if d := a.Divergence; d != nil {
		if r := h.s.runner; !h.s.diverged {
			h.s.diverged = true
			r.repair.stops.Add(1)
		}
		h.later(WorkExecute, func() error { return h.s.runner.do(&runnerJob{stop: d}) })
	}
	if a.Split != nil {
		h.later(WorkExecute, func() error { return h.s.runner.do(&runnerJob{split: a.Split}) })
	}
	if h.s.cfg.Alarm != nil {
		h.s.cfg.Alarm(a)
	}
}

func (h simHost) ForgetWrong() {
	h.later(WorkExecute, func() error { return h.s.runner.do(&runnerJob{forget: true}) })
}

func (h simHost) BeginAnew() {
	h.later(WorkExecute, func() error { return h.s.runner.do(&runnerJob{anew: true}) })
}

func (h simHost) Healed(d *pbft.Divergence) {
	h.s.runner.damage.made()
	h.s.diverged = false
	h.later(WorkExecute, func() error { return h.s.runner.do(&runnerJob{resume: true}) })
	if h.s.cfg.Healed != nil {
		h.s.cfg.Healed(d)
	}
}

func (h simHost) Answered(from pbft.ReplicaID, m *pbft.State) { h.s.asks.answered(from, m) }

func (h simHost) OpenTransfer(b *pbft.Bundle) {
	h.later(WorkTransfer, func() error {
		manifest, have := h.s.cfg.Snapshots.begin(b.Height(), func(m []byte) error {
			_, err := CheckManifest(b, m)
			return err
		})
		h.s.node.TransferOpened(b.Height(), manifest, have)
		return nil
	})
}

func (h simHost) SaveManifest(height pbft.Height, data []byte) {
	h.later(WorkTransfer, func() error {
		ok, err := h.s.cfg.Snapshots.save(height, data)
		if ok && err == nil {
			h.s.node.ManifestSaved(height, data)
		}
		return err
	})
}

func (h simHost) CheckChunk(height pbft.Height, index uint32, from pbft.ReplicaID, data []byte) {
	h.later(WorkTransfer, func() error {
		snaps := h.s.cfg.Snapshots
		if !snaps.transferring(height) {
			return nil
		}
		good, err := snaps.put(index, data)
		if err != nil {
			return err
		}
		if f := h.s.cfg.Hooks.Poisoned; f != nil && !good {
			f(from)
		}
		h.s.node.ChunkChecked(height, index, from, good)
		return nil
	})
}

func (h simHost) Install(b *pbft.Bundle) {
	h.later(WorkTransfer, func() error {
		if files := h.s.cfg.Snapshots.hand(b.Height()); files != nil {
			h.later(WorkExecute, func() error {
				return h.s.errand.begin(func() error { return h.s.runner.do(&runnerJob{install: b, files: files}) })
			})
		}
		return nil
	})
}

func (h simHost) InterruptInstall(height pbft.Height) {
	h.s.runner.parts.superseding.supersede(height)
}

func (h simHost) CloseTransfer(pbft.Height) {}
