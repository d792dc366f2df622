package replica

import (
	"github.com/parley-bft/parley/pbft"
)

// The work of a Sim: what piles up until it is done.

// simQueue is what waits, in order, in memory that is used again.
type simQueue[T any] struct {
	all  []T
	done int // items taken, of all
}

func (q *simQueue[T]) items() []T { return q.all[q.done:] }

func (q *simQueue[T]) put(x T) {
	if len(q.all) == cap(q.all) && q.done > len(q.all)/2 {
		n := copy(q.all, q.items())
		clear(q.all[n:])
		q.all, q.done = q.all[:n], 0
	}
	q.all = append(q.all, x)
}

func (q *simQueue[T]) take() T {
	var none T
	x := q.all[q.done]
	q.all[q.done] = none
	if q.done++; q.done == len(q.all) {
		q.all, q.done = q.all[:0], 0
	}
	return x
}

// Pending is how much work of a kind waits to be done; none while the next piece itself
// waits for peers.
func (s *Sim) Pending(w Work) int {
	switch {
	case w == WorkDisk:
		return len(s.batch.items())
	case w == WorkExecute && s.errand.waits():
		if !s.exchange.ready() {
			return 0
		}
		return 1
	}
	return len(s.jobs[w].items())
}

// Do does the next piece of work of a kind; false if there was none. Of WorkDisk
// it does all that waits, as one group commit.
func (s *Sim) Do(w Work) bool {
	if s.err != nil {
		return false
	}
	if w == WorkDisk {
		return s.Write(len(s.batch.items()))
	}
	if s.Pending(w) == 0 {
		return false
	}
	next := s.errand.resume
	if w != WorkExecute || !s.errand.waits() {
		next = s.jobs[w].take()
	}
	if err := next(); err != nil {
		s.fail(err)
	}
	s.flush()
	return true
}

// Settle does all work there is, in a fixed order, and what comes of it.
func (s *Sim) Settle() {
	for again := true; again && s.err == nil; {
		again = false
		for w := range Works {
			for s.Do(w) {
				again = true
			}
		}
	}
}

// Write writes and syncs the first n batches that wait, as one group commit, and
// releases their messages; false if there was nothing to do.
func (s *Sim) Write(n int) bool {
	if s.err != nil || n == 0 || len(s.batch.items()) == 0 {
		return false
	}
	if s.crashes(SimBeforeWrite) {
		return true
	}
	batches := s.writing[:0]
	for range n {
		batches = append(batches, s.batch.take())
	}
	s.writing = batches
	defer clear(batches)
	if err := s.writer.commit(batches); err != nil {
		s.fail(err)
		return true
	}
	if s.crashes(SimAfterSync) {
		return true
	}
	for _, b := range batches {
		own := b.Release(s.cfg.Core.Cluster, s.epoch, s.cfg.Keys, s.send, s.signLater)
		if s.err != nil || len(b.Durable) > 0 && s.crashes(SimReleased) {
			return true
		}
		s.node.Persisted(b.Seq, own)
	}
	s.flush()
	return true
}

// Synced tells whether anything waits for the sync of the first n batches.
func (s *Sim) Synced(n int) bool {
	for _, b := range s.batch.items()[:n] {
		if b.Waits() {
			return true
		}
	}
	return false
}

// Crash ends the replica as a crash does, after the first n batches that wait have
// reached the disk all the same. Nothing leaves it any more.
func (s *Sim) Crash(n int) error {
	if s.err == nil {
		s.err = ErrSimCrashed
	}
	s.node.Fail()
	s.Close()
	if n == 0 {
		return nil
	}
	return s.writer.commit(append(s.batch.items()[:n:n], &Batch{Durable: []pbft.Envelope{{}}}))
}

// Close lets go of what waits in the midst of a piece of work. The Sim is not to be used
// afterwards, but for reading.
func (s *Sim) Close() { s.errand.end() }

// signLater is Server.signLater.
func (s *Sim) signLater(e pbft.Envelope) bool {
	if s.err != nil {
		return true
	}
	if !signedLater(e.Message) {
		return false
	}
	simHost{s}.later(WorkAggregate, func() error {
		if own := ReleaseOne(e, s.cfg.Core.Cluster, s.epoch, s.cfg.Keys, s.send); own != nil && s.err == nil {
			s.node.Own(own)
		}
		return nil
	})
	return true
}

// send gives a signed message to the caller.
func (s *Sim) send(to pbft.ReplicaID, m pbft.Message) {
	if s.err != nil {
		return
	}
	if f := s.cfg.Hooks.Transmit; f != nil {
		f(to, m)
		return
	}
	raw := pbft.Encode(s.epoch, m)
	if to != pbft.Everyone {
		s.cfg.Send(to, raw)
		return
	}
	for id := range s.cfg.Core.Quorums.N() {
		if pbft.ReplicaID(id) != s.cfg.Keys.Self {
			s.cfg.Send(pbft.ReplicaID(id), raw)
		}
	}
}

// executed follows what the runner gives to deliver.
func (s *Sim) executed(b *pbft.Block) {
	if s.cfg.Executed != nil {
		s.cfg.Executed(b, s.replies)
	}
	s.replies = nil
}

// checkpointed reports a statement to the node.
func (s *Sim) checkpointed(c pbft.CheckpointStatement) {
	if f := s.cfg.Hooks.Stated; f != nil {
		f(c)
	}
	s.node.Checkpointed(c)
}

func (s *Sim) rebuilt(b *pbft.Bundle, upTo pbft.Height, statements []pbft.CheckpointStatement) {
	if f := s.cfg.Hooks.Installed; f != nil {
		f(s.runner.exec, b, nil)
	}
	if f := s.cfg.Hooks.Stated; f != nil {
		for _, st := range statements {
			f(st)
		}
	}
	s.node.Rebuilt(b, upTo, statements)
}

func (s *Sim) begun(upTo pbft.Height, statements []pbft.CheckpointStatement) {
	if f := s.cfg.Hooks.Stated; f != nil {
		for _, st := range statements {
			f(st)
		}
	}
	s.node.Begun(upTo, statements)
}

func (s *Sim) installed(b *pbft.Bundle, err error) {
	if f := s.cfg.Hooks.Installed; f != nil {
		f(s.runner.exec, b, err)
	}
	s.node.Installed(b, err)
}

// writeLater has a snapshot written as WorkSnapshot.
func (s *Sim) writeLater(j snapshotJob) bool {
	simHost{s}.later(WorkSnapshot, func() error {
		if waiting := &s.jobs[WorkSnapshot]; s.runner.overtaken(&j, len(waiting.items()) > 0) {
			if err := j.snap.Close(); err != nil {
				return err
			}
			return waiting.take()()
		}
		return s.runner.stateSnapshot(&j)
	})
	return true
}
