package replica

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Before the first certified snapshot a repair has nothing of others to begin with. Nothing
// was pruned from the log by then, so it begins with the first block, on the state that the
// application had before it: that is kept, as a snapshot of height 0, until a snapshot is
// certified.

// keepBeginning writes the state before the first block. The executor is there. Nothing but
// such a repair depends on it, so that it cannot be written is no reason not to start. That the
// application's own storage fails when it is asked for that state is one: it would stop the replica
// with its first block.
func (r *runner) keepBeginning() error {
	snap, err := r.exec.Snapshot()
	var halt statemachine.Halt
	if errors.As(err, &halt) {
		return fmt.Errorf("begin with the state before the first block: %w", err)
	}
	if err == nil {
		_, err = r.folder.write(0, snap)
		err = errors.Join(err, snap.Close())
	}
	if err != nil {
		r.logger.Warn("the state before the first block is not kept: should this replica's state turn out to be wrong before the first certified snapshot, it waits for that one", "error", err)
		_ = r.folder.discard(0)
	}
	return nil
}

// beginAnew goes back to the state before the first block and executes the log again.
func (r *runner) beginAnew() error {
	cannot := func(why any) error {
		r.logger.Error("this replica's state is wrong, no snapshot is certified yet, and it cannot begin with the first block once more: it waits for the next certified snapshot", "why", why)
		r.cannotBegin()
		return nil
	}
	if _, there := r.folder.root(0); !there {
		return cannot("the state that the application began with was not kept")
	}
	if whole, err := reaches(r.store, 0, r.replayTo); err != nil {
		return err
	} else if !whole {
		return cannot("the log does not reach back to the first block")
	}
	done := r.touch()
	damage, err := restoreLocal(r, 0)
	done()
	if err != nil {
		return fmt.Errorf("begin with the first block once more: %w", err)
	}
	if damage != nil {
		// Found before anything was touched, and the state is none to be answered from anyway.
		return cannot(damage)
	}
	r.parts.missing.Store(false)
	r.repair.stats = nil
	upTo, statements, err := r.again(0)
	if err == nil {
		r.begun(upTo, statements)
	}
	return err
}

// beginning tells which of some snapshots is the state before the first block: no replica
// starts with it, since a new process has that state anyway.
func beginning(h pbft.Height) bool { return h == 0 }
