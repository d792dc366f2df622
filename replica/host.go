package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// nodeHost is the Server as its Node sees it. The methods are called by the
// protocol goroutine.
type nodeHost Server

var _ Host = (*nodeHost)(nil)

func (h *nodeHost) Persist(b *Batch) {
	h.trace.held(b)
	h.writer.queue.put(b)
}

func (h *nodeHost) Send(to pbft.ReplicaID, m pbft.Message) {
	h.outbox.queue.put(pbft.Envelope{To: to, Message: m})
}

func (h *nodeHost) Execute(blocks []*pbft.Block) { h.runner.jobs.put(runnerJob{blocks: blocks}) }

// aggregateHere is up to how many signatures are verified on the protocol goroutine:
// a few cost hardly more than to wake another one and be woken.
const aggregateHere = 5

// Aggregate runs elsewhere only where it takes long.
func (h *nodeHost) Aggregate(p *pbft.Pending) {
	s := (*Server)(h)
	job := func() {
		c, culprits := s.verifier.Aggregate(p)
		s.trace.certified(c)
		s.post(func(n *Node) { n.Aggregated(p, c, culprits) })
	}
	if s.stage.lazy || len(p.Shares) > aggregateHere {
		s.aggregate.put(job)
	} else {
		job()
	}
}

func (h *nodeHost) AggregateCheckpoint(p *pbft.CheckpointPending) {
	s := (*Server)(h)
	s.aggregate.put(func() {
		var c *pbft.CheckpointCertificate
		var culprits []pbft.ReplicaID
		enough := s.stage.turns.make(&p.Statement, func() bool {
			c, culprits = s.verifier.AggregateCheckpoint(p)
			return c != nil && s.stage.committed(p.Statement.Height)
		})
		if c != nil {
			if err := s.archive.certified(c); err != nil {
				s.fail(err)
				return
			}
		}
		s.post(func(n *Node) {
			n.AggregatedCheckpoint(p, c, culprits)
			if enough {
				s.stage.turns.taken()
			}
		})
	})
}

func (h *nodeHost) Distrust(member pbft.ReplicaID) { h.stage.distrust(member) }

func (h *nodeHost) Serve(v *Serving) {
	s := (*Server)(h)
	s.files.put(func() {
		answers, err := v.answers(s.data.store, s.folder, func(request []byte) ([]byte, error) {
			return s.runner.serveState(s.cfg.Machine, request)
		})
		if err != nil {
			s.quiet.log(slog.LevelError, "cannot serve a peer", "peer", v.To, "asked", v.Ask.Kind(), "error", err)
			if errors.Is(err, ErrStore) {
				s.fail(err)
			}
		}
		for _, m := range answers {
			s.sender.send(v.To, m)
		}
		s.post(func(n *Node) { n.Served(v.To) })
	})
}

// admissible says why the executed sessions would not let a request run.
var admissible = map[statemachine.Status]pbft.Drop{
	statemachine.Duplicate: pbft.DropDuplicate, statemachine.Forgotten: pbft.DropDuplicate,
	statemachine.Conflict: pbft.DropConflict, statemachine.Expired: pbft.DropExpired,
	statemachine.Window: pbft.DropWindow, statemachine.Early: pbft.DropWindow,
	statemachine.Busy: pbft.DropBound, statemachine.Quarantined: pbft.DropUnwanted,
}

func (h *nodeHost) Admissible(r *pbft.Request) pbft.Drop {
	er := executorRequest(r)
	status, ok := h.exec.Admissible(&er, statemachine.Time(pbft.TimeOf(h.cfg.Now())))
	if ok {
		return pbft.NoDrop
	}
	return dropOfStatus(status)
}

func dropOfStatus(status statemachine.Status) pbft.Drop {
	if why, known := admissible[status]; known {
		return why
	}
	return pbft.DropUnwanted
}

func (h *nodeHost) Refused(r *pbft.Request, why pbft.Drop) { (*Server)(h).refused(r, why) }

func (h *nodeHost) Stable(b *pbft.Bundle) {
	s := (*Server)(h)
	s.runner.certifiedSnapshot(b.Height())
	s.runner.seals.stable(b)
	s.files.put(func() {
		if s.runner.isSnapshot(b.Height()) {
			s.logger.Info("checkpoint is stable", "height", b.Height(), "block", b.Ref().Digest)
		}
		over, err := s.runner.splitOver(b.Height())
		if over {
			s.logger.Warn("CERTIFIED AGAIN: the replicas agree on their state", "checkpoint", b.Height())
			s.doctor.certifiedAgain(s.cfg.Now())
		}
		if err = errors.Join(err, s.archive.certified(b.Checkpoint)); err != nil {
			s.fail(err)
		}
	})
}

func (h *nodeHost) Prune(snapshot pbft.Height) {
	s := (*Server)(h)
	s.files.put(func() {
		if err := s.runner.prune(snapshot); err != nil {
			s.fail(err)
		}
	})
}

func (h *nodeHost) Evidence(e *pbft.Evidence) {
	h.metrics.evidence.Inc()
	h.logger.Error("PROOF OF MISBEHAVIOUR", "offence", e.Offence.String(), "culprit", e.Culprit)
}

func (h *nodeHost) Alarm(a pbft.Alarm) {
	h.metrics.alarms.Inc()
	d := a.Divergence
	h.logger.Error("ALARM: "+a.Reason, "diverged", d != nil)
	if a.Split != nil {
		h.runner.jobs.put(runnerJob{split: a.Split})
	}
	if d == nil {
		return
	}
	h.metrics.divergences.Inc()
	if h.diverged.Swap(d) == nil {
		h.runner.repair.stops.Add(1)
	}
	(*Server)(h).interrupt()
	h.runner.jobs.put(runnerJob{stop: d})
}

func (h *nodeHost) ForgetWrong() { h.runner.jobs.put(runnerJob{forget: true}) }

func (h *nodeHost) BeginAnew() { h.runner.jobs.put(runnerJob{anew: true}) }

func (h *nodeHost) Healed(d *pbft.Divergence) {
	h.metrics.healed.Inc()
	h.logger.Warn("HEALED: the state is the certified one again, this replica is back in service", "divergedAt", d.Height())
	h.doctor.healed(h.cfg.Now())
	h.runner.damage.made() // before anybody reads
	h.diverged.Store(nil)
	h.runner.jobs.put(runnerJob{resume: true})
}

func (h *nodeHost) Answered(from pbft.ReplicaID, m *pbft.State) { h.asks.answered(from, m) }

// What follows runs the disk's part of a transfer on its goroutine.

func (h *nodeHost) OpenTransfer(b *pbft.Bundle) {
	s := (*Server)(h)
	s.logger.Warn("state transfer begins: the blocks between are gone everywhere", "checkpoint", b.Height())
	s.transfers.put(func() {
		s.incoming.close()
		in, manifest, have, err := s.folder.begin(b.Height(), func(m []byte) error {
			_, err := CheckManifest(b, m)
			return err
		})
		if err != nil {
			s.fail(storeFailure("open the transfer", s.folder.dir, err))
			return
		}
		s.incoming = in
		s.post(func(n *Node) { n.TransferOpened(b.Height(), manifest, have) })
	})
}

func (h *nodeHost) SaveManifest(height pbft.Height, data []byte) {
	s := (*Server)(h)
	s.transfers.put(func() {
		if !s.transferring(height) {
			return
		}
		if err := s.incoming.save(data); err != nil {
			s.fail(storeFailure("save the manifest", s.folder.dir, err))
			return
		}
		s.post(func(n *Node) { n.ManifestSaved(height, data) })
	})
}

func (h *nodeHost) CheckChunk(height pbft.Height, index uint32, from pbft.ReplicaID, data []byte) {
	s := (*Server)(h)
	s.transfers.put(func() {
		if !s.transferring(height) {
			return
		}
		good, err := s.incoming.put(index, data)
		if err != nil {
			s.fail(storeFailure("save a chunk", s.folder.dir, err))
			return
		}
		if !good {
			s.logger.Error("POISONED CHUNK: its sender will be asked last from now on", "peer", from, "checkpoint", height, "chunk", index)
		}
		s.post(func(n *Node) { n.ChunkChecked(height, index, from, good) })
	})
}

func (h *nodeHost) Install(b *pbft.Bundle) {
	s := (*Server)(h)
	s.transfers.put(func() {
		if s.transferring(b.Height()) {
			files := s.incoming
			s.incoming = nil // the runner's now
			s.runner.jobs.put(runnerJob{install: b, files: files})
		}
	})
}

func (h *nodeHost) InterruptInstall(height pbft.Height) {
	h.runner.parts.superseding.supersede(height)
}

func (h *nodeHost) CloseTransfer(height pbft.Height) {
	s := (*Server)(h)
	s.transfers.put(func() {
		if s.transferring(height) {
			s.incoming.close()
			s.incoming = nil
		}
	})
}

// transferring is called by the transfer goroutine.
func (s *Server) transferring(h pbft.Height) bool {
	return s.incoming != nil && s.incoming.height == uint64(h)
}

// installed reports the end of an install, from the runner.
func (s *Server) installed(b *pbft.Bundle, err error) {
	if err != nil && !errors.Is(err, ErrWhole) && !errors.Is(err, ErrLater) { // of which the runner has told
		s.logger.Error("the transferred snapshot is damaged, transferring it again", "checkpoint", b.Height(), "error", err)
	}
	s.post(func(n *Node) { n.Installed(b, err) })
}

// quiet logs at most one line of a kind in a second, and says how many it left out.
type quiet struct {
	logger *slog.Logger
	mu     sync.Mutex
	last   map[string]*quietLine
}

type quietLine struct {
	at   time.Time
	left int
}

func (q *quiet) log(level slog.Level, message string, args ...any) {
	q.mu.Lock()
	if q.last == nil {
		q.last = make(map[string]*quietLine)
	}
	l := q.last[message]
	if l == nil {
		l = new(quietLine)
		q.last[message] = l // messages are constants of ours, so there are few
	}
	now := time.Now()
	if now.Sub(l.at) < time.Second {
		l.left++
		q.mu.Unlock()
		return
	}
	l.at = now
	if l.left > 0 {
		args = append(args, "suppressed", l.left)
		l.left = 0
	}
	q.mu.Unlock()
	q.logger.Log(context.Background(), level, message, args...)
}
