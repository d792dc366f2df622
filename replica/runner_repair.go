package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// What a runner does when its state is found to be another one than a quorum certified:
//
//  1. whoever hears of it first calls stops.Add(1): no further block is executed
//  2. stopFor: nothing is written of the state any more (life), and the node hears that the
//     runner stands still
//  3. forgetWrong, when the divergence is on the disk: what was written of the state is
//     deleted
//  4. install, of a certified state, then rebuild: the log above it is executed again, and
//     what that came to goes to the node
//  5. resume, or stopFor again

// repair is a runner's part in getting over a divergence.
type repair struct {
	// stops is above 0 while the state is known to be wrong.
	stops atomic.Int32
	// writing is held while a snapshot is written, with the report of it, or deleted.
	writing sync.Mutex
	// life counts the states: what was begun with an earlier one is of no use. Only the
	// runner's goroutine changes it, and holds writing for that: so what is reported of an
	// earlier state is reported before the runner stands still.
	life uint64
	// due: the state that is installed next is a repaired one.
	due bool
	// agreed is the last checkpoint at which the state that is repaired was right.
	agreed pbft.Height
	// installed is the height of the last certified state that was installed: the snapshot
	// of it is the certified one, also where the log does not say so yet.
	installed pbft.Height
	// still reports that the runner stands still, forgotten that what was written of the
	// wrong state is deleted.
	still, forgotten func()
	// examine, if not nil, finds out what differs, before anything is changed.
	examine func(d *pbft.Divergence)
	// examineSplit is the same of a checkpoint for which no certificate can exist.
	examineSplit func(s *pbft.Split)
	// repaired, if not nil, hears what a repair took.
	repaired func(base pbft.Height, replayed int, stats *statemachine.StateSyncStats)
	// stats are of the last installation by parts, nil if all chunks were transferred.
	stats *statemachine.StateSyncStats
}

// begin notes that the next state is a repaired one.
func (r *repair) begin(d *pbft.Divergence) {
	if !r.due || d.Agreed < r.agreed {
		r.agreed = d.Agreed
	}
	r.due = true
}

// stopFor begins to stand still. The node may ask for it again, after a repair that came
// to a wrong state once more.
func (r *runner) stopFor(d *pbft.Divergence) error {
	if !r.pending {
		r.pending, r.replayTo = true, pbft.Height(r.exec.Position().Height)
	}
	r.repair.begin(d)
	r.repair.writing.Lock()
	r.repair.life++
	r.repair.writing.Unlock()
	mended, err := r.mend(d)
	if err != nil {
		return err
	}
	if r.repair.examine != nil && !mended {
		r.repair.examine(d)
	}
	r.repair.still()
	return nil
}

// resume goes on with the blocks that have waited.
func (r *runner) resume() error {
	if r.repair.stops.Add(-1) > 0 {
		return nil
	}
	r.pending, r.repair.due, r.parts.whole = false, false, false
	r.damage.mended, r.damage.stats = false, statemachine.StateSyncStats{}
	r.parts.missing.Store(false)
	if r.damage.hear != nil {
		r.damage.hear()
	}
	waiting := r.waiting
	r.waiting = nil
	return r.execute(waiting)
}

// forgetWrong deletes the snapshots above a height that no certificate confirms. They are
// of a state that was wrong, or may have been: nobody gets them, and no restart begins
// with one.
func (r *runner) forgetWrong(agreed pbft.Height) error {
	r.repair.writing.Lock()
	defer r.repair.writing.Unlock()
	all, err := r.folder.newest(^pbft.Height(0))
	if err != nil {
		return storeFailure("list the snapshots", r.folder.where(), err)
	}
	for _, h := range all {
		if h <= agreed || h == r.repair.installed {
			continue
		}
		if certified, err := r.confirmed(h); err != nil {
			return err
		} else if certified == isCertified {
			continue
		}
		r.logger.Warn("deleting a snapshot of a state that was not the certified one", "height", h)
		if err := r.folder.discard(h); err != nil {
			return storeFailure("delete a snapshot", r.folder.where(), err)
		}
	}
	return nil
}

// confirmation is what certificates say of a snapshot.
type confirmation uint8

const (
	isUncertified confirmation = iota // no certificate of its height is here
	isCertified
	isContradicted
)

// confirmed compares a snapshot of this replica's with the certificate of its height.
func (r *runner) confirmed(h pbft.Height) (confirmation, error) {
	state, ok := r.folder.state(h)
	if !ok {
		return isUncertified, nil // damaged, which is found when it is read
	}
	var certified *pbft.CheckpointCertificate
	b, err := storedSnapshot(r.store)
	switch {
	case err != nil:
		return isUncertified, err
	case b != nil && b.Height() == h:
		certified = b.Checkpoint
	default:
		v, err := r.store.GetHost(HostKey{HostCertified, h})
		if err != nil {
			return isUncertified, err
		}
		if v != nil {
			if certified, err = pbft.DecodeCheckpointCertificate(v); err != nil {
				return isUncertified, err
			}
		}
	}
	switch {
	case certified == nil:
		return isUncertified, nil
	case certified.State == state:
		return isCertified, nil
	}
	return isContradicted, nil
}

// rebuild executes the log above the certified state that was installed again.
func (r *runner) rebuild(b *pbft.Bundle) error {
	upTo, statements, err := r.again(b.Height())
	if err == nil {
		r.rebuilt(b, upTo, statements)
	}
	return err
}

// again executes the log above a base, whose state is there, and returns how far it goes and
// what it came to at the checkpoints. Nobody is answered: what the blocks come to was answered
// by others.
func (r *runner) again(base pbft.Height) (upTo pbft.Height, statements []pbft.CheckpointStatement, err error) {
	if err := r.archive.forget(r.repair.agreed, base); err != nil {
		return 0, nil, err
	}
	n, err := replay(r, r.replayTo, nil, func(s pbft.CheckpointStatement) { statements = append(statements, s) })
	if err != nil {
		return 0, nil, fmt.Errorf("execute the log above checkpoint %d again: %w", base, err)
	}
	if r.repair.repaired != nil {
		r.repair.repaired(base, n, r.repair.stats)
	}
	upTo = pbft.Height(r.exec.Position().Height)
	r.gate.raise(upTo)
	return upTo, statements, nil
}

// parts is what a runner needs to get an application's state part by part.
type parts struct {
	app statemachine.PartedState // nil if the application's state has no parts
	// keeper is the application if its snapshots only name states, which it keeps itself.
	keeper statemachine.SnapshotKeeper
	// sync makes the application's state that of the header.
	sync func(app statemachine.PartedState, h *statemachine.Header) (statemachine.StateSyncStats, error)
	// missing is set while what is there is no state: from before an installation changes
	// it until one ends well. Nobody is answered from it, and nobody may begin to ask.
	missing atomic.Bool
	// superseding ends an installation that waits for peers.
	superseding superseding
	// interrupted strikes when what is there has become something else than it was.
	interrupted interruption
	// whole: peers did not have the parts, so once all of the snapshot is here that is what
	// the state is restored from.
	whole bool
}

// partsOf has the state transferred in parts, if the application has any, and returns what
// NodeConfig.PartChunks is to be.
func (r *runner) partsOf(m statemachine.StateMachine, sync func(statemachine.PartedState, *statemachine.Header) (statemachine.StateSyncStats, error)) func(manifest, first []byte) int {
	app, ok := m.(statemachine.PartedState)
	if !ok {
		return nil
	}
	r.parts.app, r.parts.sync = app, sync
	if k, ok := app.(statemachine.SnapshotKeeper); ok && k.KeepsSnapshots() {
		r.parts.keeper = k
	}
	return PartChunks
}

// syncFrom has the application get its state from the peers that want names. wrong says that the
// state that is there is known not to be the certified one.
func (r *runner) syncFrom(ctx context.Context, app statemachine.PartedState, want statemachine.StateTarget, wrong bool) (statemachine.StateSyncStats, error) {
	superseded, end := r.parts.superseding.begin(pbft.Height(want.Height))
	defer end()
	want.Superseded = superseded
	// Who only lags need not read all that it has first, and what was mended was read.
	want.Repair = wrong && !r.damage.mended
	stats, err := app.SyncState(ctx, want)
	if err != nil && !want.Repair && !r.damage.mended && r.damage.report != nil && errors.Is(err, statemachine.ErrDamaged) {
		want.Repair = true
		first := stats
		stats, err = app.SyncState(ctx, want)
		stats.Requests += first.Requests
		stats.Sent += first.Sent
		stats.Received += first.Received
		stats.Changed += first.Changed
	}
	stats.Damaged += r.damage.stats.Damaged
	return stats, err
}

// partial is an installable of which perhaps only the first chunks are here.
type partial interface {
	installable
	part() bool
	// prefix reads the chunks that are here, from the beginning.
	prefix() (io.ReadCloser, error)
	// certifiedRoot is the root of the manifest.
	certifiedRoot() pbft.Digest
	// drop forgets the transfer, close only lets go of its files.
	drop() error
	close()
}

// byParts tells whether the application gets its state part by part. A state that is to be
// repaired does, also where the whole snapshot is here: what is damaged may lie beneath
// what an application compares when it restores one. So does one that keeps the states of
// its snapshots: there is no other way to get one.
func (r *runner) byParts(files installable) (partial, bool) {
	p, ok := files.(partial)
	return p, ok && r.parts.app != nil && (p.part() || r.parts.keeper != nil || r.repair.due && !r.parts.whole)
}

// installParts makes the state that of a snapshot of which only the executor's part is
// needed: the application gets its own from peers, and only what differs from what
// it has. The snapshot's file is then written from the state; that of an application which
// keeps the states of its snapshots is here already.
func (r *runner) installParts(b *pbft.Bundle, files partial) error {
	if !r.pending && !r.repair.due && uint64(b.Height()) <= r.exec.Position().Height {
		// Blocks have overtaken it, and go on where they are.
		if err := files.drop(); err != nil {
			return storeFailure("forget a transfer", r.folder.where(), err)
		}
		r.installed(b, nil)
		return nil
	}
	stats, synced, err := r.syncParts(files)
	var halt statemachine.Halt
	switch {
	case err == nil:
	case synced && r.parts.keeper != nil:
		// The state came, as it is certified, and the application does not make of it what the others
		// do. There is no other way to get it, so to try again would go on for ever.
		return fmt.Errorf("install the state of checkpoint %d: %w", b.Height(), err)
	case errors.As(err, &halt), errors.Is(err, errStopping), errors.Is(err, ErrStore):
		return fmt.Errorf("install the state of checkpoint %d: %w", b.Height(), err)
	default:
		if r.parts.missing.Load() && !r.pending {
			r.pending, r.replayTo = true, pbft.Height(r.exec.Position().Height)
		}
		if errors.Is(err, statemachine.ErrSuperseded) && (r.parts.keeper != nil || stats.Received > 0) {
			r.logger.Info("peers hardly have the state any more, and a later snapshot is certified: that one's is asked for, what came stays", "checkpoint", b.Height(), "keys", stats.Changed, "received", stats.Received)
			files.close()
			r.installed(b, ErrLater)
			return nil
		}
		if r.parts.keeper != nil {
			r.logger.Warn("the state cannot be had part by part at the moment, it will be tried again", "checkpoint", b.Height(), "error", err)
			files.close()
			r.installed(b, ErrLater)
			return nil
		}
		r.logger.Warn("the state cannot be had part by part: it will be transferred as the whole snapshot, unless a later one is certified by now whose parts are there", "checkpoint", b.Height(), "error", err)
		r.parts.whole = true
		files.close()
		r.installed(b, errNoParts)
		return nil
	}
	if !files.part() {
		if err := files.finish(); errors.Is(err, snapshot.ErrCorrupt) {
			// The state is there, and its executor's part is gone from the disk.
			if !r.pending {
				r.pending, r.replayTo = true, pbft.Height(r.exec.Position().Height)
			}
			r.installed(b, err)
			return nil
		} else if err != nil {
			return storeFailure("install a snapshot", r.folder.where(), err)
		}
	} else if good, err := r.writePart(b, files); err != nil {
		return err
	} else if !good {
		r.logger.Error("the state has the certified digest, but its snapshot is another one, so the whole snapshot will be transferred: what Snapshot.WriteTo writes depends on more than the state",
			"checkpoint", b.Height())
		r.parts.whole = true
		r.installed(b, ErrWhole)
		return nil
	}
	r.logger.Info("state transferred part by part", "checkpoint", b.Height(), "keys", stats.Changed, "damaged", stats.Damaged,
		"received", stats.Received, "requests", stats.Requests)
	r.repair.stats = &stats
	if err := r.sealRestored(b.Height()); err != nil {
		return err
	}
	r.seals.stable(b)
	return r.adopted(b)
}

// syncParts gets the parts of the state. synced tells that all of them came, whatever the error is.
func (r *runner) syncParts(files partial) (stats statemachine.StateSyncStats, synced bool, err error) {
	src, err := files.prefix()
	if err != nil {
		return stats, false, storeFailure("read the transferred part of a snapshot", r.folder.where(), err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	done := func() {}
	defer func() { done() }()
	err = r.exec.RestorePart(src, func(h *statemachine.Header) (err error) {
		done = r.touch()
		stats, err = r.parts.sync(r.parts.app, h)
		synced = err == nil
		return err
	})
	if err == nil {
		r.parts.missing.Store(false)
	}
	return stats, synced, err
}

// touch begins to change the state to another one, and returns what ends that. In between
// nobody reads it, and no snapshot of the one that was is written any more: it may read
// what is being changed. That it is missing is said first: who begins to read it for long asks
// for that last (Server.scrubOnce).
func (r *runner) touch() (done func()) {
	r.parts.missing.Store(true)
	if r.damage.touching != nil {
		r.damage.touching()
	}
	r.parts.interrupted.strike()
	r.repair.writing.Lock()
	r.repair.life++
	r.repair.writing.Unlock()
	r.queryLock.Lock()
	return r.queryLock.Unlock
}

// writePart writes the snapshot whose state is there now. One that is not the certified one
// is deleted: then good is false.
func (r *runner) writePart(b *pbft.Bundle, files partial) (good bool, err error) {
	snap, err := r.exec.Snapshot()
	if err != nil {
		return false, err
	}
	r.repair.writing.Lock()
	root, err := r.folder.write(b.Height(), snap)
	r.repair.writing.Unlock()
	want := files.certifiedRoot()
	if err = errors.Join(err, snap.Close(), files.drop()); err != nil {
		return false, storeFailure("write snapshot", r.folder.where(), err)
	}
	if root == want {
		return true, nil
	}
	if err := r.folder.discard(b.Height()); err != nil {
		return false, storeFailure("delete a snapshot", r.folder.where(), err)
	}
	return false, nil
}

// errStopping: the replica is being stopped.
var errStopping = errors.New("the replica is stopping")
