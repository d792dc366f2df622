package replica

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// errGap: the log does not hold what is needed to go on from the state at hand.
var errGap = errors.New("log has a gap")

func gap(format string, args ...any) error {
	return fmt.Errorf("%w: %s: the disk lost something that was written: move the data folder away and start with an empty one: the replica rejoins as a follower",
		errGap, fmt.Sprintf(format, args...))
}

// recovered is where a replica stands after it read its disk.
type recovered struct {
	// executed is how far the core may take it that blocks are executed.
	executed pbft.Height
	// statements are of the checkpoints that the replay passed, from base on.
	statements []pbft.CheckpointStatement
	base       pbft.Height
	// install is set if the state must be transferred first; see NodeConfig.Install.
	install *pbft.Bundle
	// damaged: what the disk has of the state is to be repaired first; see NodeConfig.Damaged.
	damaged bool
}

// recoverState brings the executor to the committed end of the log.
//
// What is on the disk after a crash at any point, and why it is enough:
//
//   - The log is a prefix of what was written: everything synced, and perhaps
//     more. A block's record is written before any certificate that commits it, so
//     "committed" never names a block that is not there.
//   - A snapshot is made of executed, so of committed blocks, but the records that
//     commit them need not be synced when the snapshot is. So a snapshot above the
//     log's committed height is left alone. One that was transferred is above it
//     until the records of the transfer are durable, and they are written last:
//     after a crash in between the transfer begins again and finds the file there.
//   - The log is pruned only below a snapshot that is durable here, since the core
//     asks for it only after Checkpointed or Installed. So the newest snapshot that
//     is there reaches the log; if it is damaged, or names a state that is not here, the one before does as long as
//     Retain is at least a checkpoint interval. An old snapshot is deleted only when
//     the records of a later stable one are durable, so the newest that is left is
//     not above the log's committed height.
//   - Checkpoint votes are of statements in the log. The core compares them with
//     what the replay comes to: if they differ the state is wrong now or was before.
//   - A snapshot that a certificate here contradicts is of a wrong state, and one above
//     the last checkpoint that agreed may be, if the log says that this replica's state
//     had been found wrong (RecordDiverged): such snapshots are deleted first.
func recoverState(r *runner, logger *slog.Logger) (*recovered, error) {
	committed, bundle, err := committedState(r.store)
	if err != nil {
		return nil, err
	}
	if err := forgetUnconfirmed(r); err != nil {
		return nil, err
	}
	candidates, err := r.folder.newest(committed)
	if err != nil {
		return nil, err
	}
	restored := false
	for _, h := range candidates {
		if ok, err := reaches(r.store, h, committed); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		damage, err := restoreLocal(r, h)
		if err != nil {
			return nil, err
		}
		if damage == nil {
			restored = true
			logger.Info("snapshot restored", "height", h)
			if err := r.sealRestored(h); err != nil {
				return nil, err
			}
			break
		}
		if errors.Is(damage, statemachine.ErrStateElsewhere) {
			// It stays: what is in it besides need not come from a peer.
			logger.Warn("the state of a snapshot is not here, trying an older one", "height", h, "error", damage)
			continue
		}
		logger.Error("snapshot is damaged, trying an older one", "height", h, "error", damage)
		if err := r.folder.remove(h); err != nil {
			return nil, err
		}
	}
	rec := &recovered{}
	whole := restored
	if !restored {
		if whole, err = reaches(r.store, 0, committed); err != nil {
			return nil, err
		}
	}
	if !whole {
		if bundle == nil {
			return nil, &CorruptError{Folder: r.folder.where(), Key: "snapshots", Detail: "no snapshot is usable, and the log begins above height 1"}
		}
		logger.Error("no local snapshot is usable: the state will be transferred", "checkpoint", bundle.Height())
		r.pending, r.replayTo = true, committed
		r.parts.missing.Store(true)
		rec.install, rec.executed = bundle, bundle.Height()
		return rec, nil
	}
	from := r.exec.Position().Height
	rec.base = pbft.Height(from)
	if !restored && bundle == nil {
		if err := r.keepBeginning(); err != nil {
			return nil, err
		}
	}
	n, err := replay(r, committed, nil, func(s pbft.CheckpointStatement) { rec.statements = append(rec.statements, s) })
	if err != nil {
		return nil, fmt.Errorf("replay the log from block %d to %d: %w", from+1, committed, err)
	}
	if n > 0 {
		logger.Info("log replayed", "from", from+1, "to", committed, "blocks", n)
	}
	rec.executed = committed
	r.gate.raise(committed)
	return rec, nil
}

// forgetUnconfirmed deletes the snapshots that are, or may be, of a wrong state.
func forgetUnconfirmed(r *runner) error {
	v, err := r.store.Get(pbft.RecordKey{Kind: pbft.RecordDiverged})
	if err != nil {
		return err
	}
	if v != nil {
		d, err := pbft.DecodeRecordDiverged(v)
		if err != nil {
			return err
		}
		r.repair.begin(d)
		if err := r.forgetWrong(d.Agreed); err != nil {
			return err
		}
	}
	if err := r.forgetSplit(); err != nil || v != nil {
		return err
	}
	all, err := r.folder.newest(^pbft.Height(0))
	if err != nil {
		return err
	}
	for _, h := range all {
		what, err := r.confirmed(h)
		if err != nil {
			return err
		}
		if what == isContradicted {
			r.logger.Error("a snapshot is of a state that is not the certified one, deleting it", "height", h)
			if err := r.folder.discard(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// restoreLocal loads a snapshot of this replica's own. Only the proof that its bytes are
// not those that were written is damage, for which it may be removed; that the state which
// it names is not here is reported as damage, too, and that it was pruned this very moment. A disk that did
// not answer may answer the next time, and an application that cannot take the right
// bytes could not take those of an older snapshot or of a peer either: these end the
// start.
func restoreLocal(r *runner, h pbft.Height) (damage, err error) {
	// Damage is to be found before the application is touched.
	if err = r.folder.verify(h); err != nil && !errors.Is(err, snapshot.ErrCorrupt) && !errors.Is(err, errPruned) {
		return nil, storeFailure("read a snapshot (start again, or move it away if the disk can never read it)", r.folder.where(), err)
	}
	if err == nil {
		err = r.folder.restore(h, r.exec)
	}
	if errors.Is(err, snapshot.ErrCorrupt) || errors.Is(err, errPruned) || errors.Is(err, statemachine.ErrStateElsewhere) {
		return err, nil
	}
	var halt statemachine.Halt
	if errors.As(err, &halt) {
		return nil, err // its own storage failed
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %d in %s is as it was written, and cannot be restored: was it made by another version of the application, or under other limits? %w",
			h, r.folder.where(), err)
	}
	return nil, nil
}

// committedState reads which height is committed, and the last stable snapshot.
func committedState(store Store) (pbft.Height, *pbft.Bundle, error) {
	var committed pbft.Height
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordCommitted})
	if err != nil {
		return 0, nil, err
	}
	if v != nil {
		ref, _, err := pbft.DecodeRecordCommitted(v)
		if err != nil {
			return 0, nil, err
		}
		committed = ref.Height
	}
	b, err := storedSnapshot(store)
	return committed, b, err
}

// reaches tells whether the log has all blocks above a state's height up to the
// committed one, as far as its two ends tell: it is pruned from below only.
func reaches(store Store, state, committed pbft.Height) (bool, error) {
	if state >= committed {
		return state == committed, nil
	}
	ref, ok, err := getChain(store, state+1)
	if err != nil || !ok {
		return false, err
	}
	// The lowest entry of a pruned log has no block.
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(ref.Height), Digest: ref.Digest})
	return v != nil, err
}

// logSeq yields all records of a store; fault returns what went wrong on the way.
func logSeq(store Store) (seq func(yield func(pbft.Record) bool), fault func() error) {
	var failed error
	seq = func(yield func(pbft.Record) bool) {
		err := store.Load(nil, func(r pbft.Record) error {
			if !yield(r) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			failed = err
		}
	}
	return seq, func() error { return failed }
}
