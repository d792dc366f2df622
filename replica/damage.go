package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What a disk does to the state that an application keeps there (statemachine.StoredState):
//
//  1. Whoever meets the damage reports it (Server.damaged): an operation, a query, a peer's
//     question, a snapshot that is written, a scrub. From then on nobody is answered. The runner sets
//     aside the blocks that it cannot execute.
//  2. The node takes it for a divergence (pbft.Core.Damaged): its alarm stops the runner, which has
//     the application let go of what it cannot read (mend). That may take as long as reading
//     all of the state, so it comes first:
//  3. The last certified snapshot is installed, of which only what differs is transferred, and
//     the log above it is executed again, as after every divergence.
//
// At a start it is the same, with a runner that has no state yet (recoverDamaged). Where the
// storage does not even open, or no snapshot is certified yet, what is there is set aside
// (openState), and the state comes from a snapshot, the log or peers.
//
// Damage in the midst of a repair, to what was written a moment before, is a disk that is not to be
// trusted any more: the replica stops.

// damage is a runner's part in it.
type damage struct {
	// found is what was met, nil if nothing was since the last repair. It is taken back before
	// anybody is answered from the repaired state (made), so what they meet is new.
	found atomic.Pointer[error]
	// hear, if not nil, has the storage say once more that it has failed, if it has: what it met
	// by itself when nothing was left of the repair but to report its end counted as
	// a part of that.
	hear func()
	// report hears of damage; nil if the application cannot make it good. mend has it let go of
	// what it cannot read.
	report func(err error)
	mend   func(d *pbft.Divergence, cause error) (statemachine.StateSyncStats, error)
	// mended: what is there can be read, and is not the state. Then stats is what that took.
	mended bool
	stats  statemachine.StateSyncStats
	// remade, if not nil, hears that the state is there again that was set aside.
	remade func()
	// touching hears that the state is to become another one.
	touching func()
}

// unable sets blocks aside that cannot be executed because of damage, and returns any other
// error.
func (r *runner) unable(blocks []*pbft.Block, err error) error {
	if !r.damaged(err) {
		return err
	}
	r.waiting = append(r.waiting, blocks...)
	return nil
}

// damaged reports err, if it is damage that can be made good. Any goroutine may call it.
func (r *runner) damaged(err error) bool {
	if r.damage.report == nil || !errors.Is(err, statemachine.ErrDamaged) {
		return false
	}
	r.damage.report(err)
	return true
}

// mend has the application let go of what it cannot read, if that is why the runner stands
// still. It tells whether it was.
func (r *runner) mend(d *pbft.Divergence) (bool, error) {
	r.damage.mended, r.damage.stats = false, statemachine.StateSyncStats{} // of an earlier one
	cause := r.damage.found.Load()
	if cause == nil {
		return false, nil
	}
	done := r.touch()
	stats, err := r.damage.mend(d, *cause)
	done()
	if err != nil {
		return true, fmt.Errorf("keep what can be read of the application's state: %w", err)
	}
	r.damage.mended, r.damage.stats = true, stats
	return true, nil
}

// made notes that the repair has ended. Any goroutine may call it.
func (d *damage) made() { d.found.Store(nil) }

// damagedBefore is damage that was found before this process began, and not made good; nil if
// there was none. A start reads too little of the state to find it again:
//
//  1. a scrub finds a value that is not that of its digest: RecordDiverged says so
//  2. the process ends before that is repaired, which may take as long as reading all of the
//     state
//  3. the next one goes back to the last snapshot, and executes the log: all is as it should
//     be, but for the value, and the next scrub is a week away
func damagedBefore(r *runner) (cause, err error) {
	if r.damage.report == nil || r.parts.keeper == nil {
		return nil, nil // what is here was read from a snapshot that has digests
	}
	v, err := r.store.Get(pbft.RecordKey{Kind: pbft.RecordDiverged})
	if err != nil || v == nil {
		return nil, err
	}
	d, err := pbft.DecodeRecordDiverged(v)
	if err != nil || !d.Damaged {
		return nil, err
	}
	return fmt.Errorf("%w: %w, after block %d", statemachine.ErrDamaged, errFoundBefore, d.Height()), nil
}

var errFoundBefore = errors.New("it was found before this start, and was not made good")

// recoverStored is recoverState for an application that may keep its state on the disk.
func recoverStored(r *runner) (*recovered, error) {
	known, err := damagedBefore(r)
	if err != nil {
		return nil, err
	}
	if known != nil {
		rec, err := recoverDamaged(r, known)
		if !errors.Is(err, known) {
			return rec, err
		}
		// No snapshot is certified: the log is whole, and what it comes to is made anew.
		if err := r.forgetWrong(0); err != nil {
			return nil, err
		}
	}
	rec, err := recoverState(r, r.logger)
	if err != nil {
		return recoverDamaged(r, err)
	}
	return rec, nil
}

// recoverDamaged is recoverState for a state that turned out to be damaged, if there is a
// certified snapshot: else the error is the cause.
func recoverDamaged(r *runner, cause error) (*recovered, error) {
	committed, bundle, err := committedState(r.store)
	if err != nil {
		return nil, err
	}
	if r.damage.report == nil || bundle == nil || !errors.Is(cause, statemachine.ErrDamaged) {
		return nil, cause
	}
	// A split that was noted before this start goes on: the repair begins with the last certified
	// snapshot, and what the log above it comes to says nothing of the others' states. Nobody
	// would notice its end otherwise, for splitOver ends what is known here alone: the record would stay, and
	// the doctor would not say meanwhile why nothing is certified. The snapshots that it makes suspect go
	// too, with what the application keeps for them, before anybody gets one.
	if r.split.Load() == 0 { // else recoverState has come so far
		if err := r.forgetSplit(); err != nil {
			return nil, err
		}
	}
	r.logger.Error("THE STATE IS DAMAGED: what this replica keeps of it on its disk cannot be read, it is being repaired from the other replicas", "error", cause)
	r.meets(cause)
	r.pending, r.replayTo = true, committed
	return &recovered{damaged: true, executed: bundle.Height()}, nil
}

// makeGood has damage made good to what an application keeps on its disk, if it does. report
// hears of damage, which it notes with meets; mended, if not nil, hears what could be kept.
func (r *runner) makeGood(life context.Context, m statemachine.StateMachine, report func(err error), mended func(*pbft.Divergence, error, *statemachine.StateSyncStats)) {
	app, ok := m.(statemachine.StoredState)
	if !ok {
		return
	}
	r.damage.report = report
	r.damage.mend = func(d *pbft.Divergence, cause error) (statemachine.StateSyncStats, error) {
		stats, err := app.MendState(life)
		if err != nil && life.Err() != nil {
			return stats, errors.Join(errStopping, err)
		}
		if err == nil && mended != nil {
			mended(d, cause, &stats)
		}
		return stats, err
	}
}

// meets notes damage: nobody is answered from the state any more. It tells whether that is news.
func (r *runner) meets(err error) bool {
	if !r.damage.found.CompareAndSwap(nil, &err) {
		return false
	}
	r.parts.missing.Store(true)
	return true
}

// hearDamage has the application tell of damage that it meets from now on, or has met.
func (s *Server) hearDamage() {
	if app, ok := s.cfg.Machine.(statemachine.StoredState); ok {
		app.OnDamage(s.damaged)
	}
}

// damaged hears of damage, from any goroutine, which may hold locks of the application's.
func (s *Server) damaged(err error) {
	if !s.runner.meets(err) {
		return
	}
	s.logger.Error("THE STATE IS DAMAGED: what this replica keeps of it on its disk is not what was written; it answers nobody until it has repaired it from the other replicas", "error", err)
	s.post((*Node).Damaged)
}

// asideSuffix is what a state folder's name gets that could not be used.
const asideSuffix = ".damaged"

// openState opens the application and recovers. What the application has on the disk and
// cannot be used is set aside, and kept until the state is there again, for the case that this
// turns out to be the last copy. A state is worth no more than time: votes rest on the log,
// which is elsewhere (R23, R24).
func (s *Server) openState(ctx context.Context) (*Node, error) {
	var cause error
	for {
		err := s.openMachine(ctx)
		var node *Node
		if err == nil {
			if node, err = s.recover(); err == nil {
				s.wasAside(cause)
				return node, nil
			}
			if s.folder != nil {
				s.folder.close()
			}
			err = errors.Join(err, s.closeMachine())
		}
		if cause != nil || s.cfg.OpenMachine == nil || !errors.Is(err, statemachine.ErrDamaged) {
			return nil, s.adviseStorage(err)
		}
		cause = err
		if err := s.setAside(cause); err != nil {
			return nil, err
		}
	}
}

func (s *Server) asideDir() string { return filepath.Join(s.cfg.DataDir, StateDir) + asideSuffix }

func (s *Server) setAside(cause error) error {
	aside := s.asideDir()
	_, err := os.Stat(aside)
	switch {
	case err == nil:
		// What is there is the last that was whole: this one was not there again yet.
		s.logger.Error("THE STATE IS DAMAGED: what this replica keeps of it on its disk cannot be used, it is deleted, and made anew from a snapshot, the log or the other replicas; the one before it is still there", "folder", aside, "error", cause)
		_, err := discardState(s.cfg.DataDir)
		return err
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	s.logger.Error("THE STATE IS DAMAGED: what this replica keeps of it on its disk cannot be used, it is set aside and made anew from a snapshot, the log or the other replicas", "folder", aside, "error", cause)
	err = os.Rename(filepath.Join(s.cfg.DataDir, StateDir), aside)
	if errors.Is(err, os.ErrNotExist) {
		return cause // it keeps its state somewhere else
	}
	return errors.Join(err, syncDir(s.cfg.DataDir))
}

// wasAside notes in the doctor's record that a state was set aside, and when it is there again.
func (s *Server) wasAside(cause error) {
	if cause != nil {
		s.metrics.divergences.Inc()
		s.doctor.setAside(cause, s.asideDir())
	}
	if _, err := os.Stat(s.asideDir()); err != nil {
		return
	}
	remade := func() {
		s.files.put(func() {
			if err := os.RemoveAll(s.asideDir()); err != nil {
				s.logger.Warn("the damaged state that was set aside cannot be deleted", "error", err)
			}
		})
		s.doctor.healed(s.cfg.Now())
		s.metrics.healed.Inc()
	}
	if s.runner.pending {
		s.runner.damage.remade = remade
	} else {
		remade()
	}
}
