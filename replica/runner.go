package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// runner executes committed blocks on a goroutine of its own, and makes snapshots
// and checkpoint statements of what comes out.
type runner struct {
	exec      *statemachine.Executor
	folder    snapshotKeeper
	store     Store
	archive   *resultArchive
	every     pbft.Height // CheckpointEvery
	epoch     pbft.Epoch
	logger    *slog.Logger
	gate      heightGate
	queryLock sync.RWMutex // held for writing while a snapshot is installed

	// What happens to the results; set before run starts.
	deliver      func(h pbft.Height, replies []statemachine.Reply)
	executed     func(h pbft.Height)
	checkpointed func(s pbft.CheckpointStatement)
	installed    func(b *pbft.Bundle, err error)
	rebuilt      func(b *pbft.Bundle, upTo pbft.Height, statements []pbft.CheckpointStatement)
	begun        func(upTo pbft.Height, statements []pbft.CheckpointStatement)
	cannotBegin  func()
	fail         func(err error)
	observe      func(b *pbft.Block)
	trace        *tracer // nil notes nothing
	// applied, if not nil, sees every block that the executor ran, also in a replay.
	applied func(b *pbft.Block, x *statemachine.Execution)
	seals   sealedStates // what the last checkpoints' states are made of
	// stable is the height of the last snapshot that a quorum certified.
	stable atomic.Uint64
	// later writes a snapshot in the background; false if it never will.
	later func(snapshotJob) bool

	jobs  *queue[runnerJob]
	snaps *queue[snapshotJob]
	wg    sync.WaitGroup
	// pending says that the state is not there yet: blocks wait for an install.
	pending bool
	// replayTo is how far the log is to be replayed once the state is there.
	replayTo pbft.Height
	waiting  []*pbft.Block // for the state
	repair   repair
	damage   damage
	parts    parts
	split    atomic.Uint64 // the checkpoint of a pbft.Split that is not over, 0 if there is none
	splits   splits
}

// runnerJob is blocks to execute, a state to install, or what an alarm with a
// divergence and its end ask for.
type runnerJob struct {
	blocks  []*pbft.Block
	install *pbft.Bundle
	files   installable
	stop    *pbft.Divergence
	forget  bool
	anew    bool
	split   *pbft.Split
	resume  bool
}

// installable is a transferred snapshot of which every chunk is here.
type installable interface {
	// finish makes it one of the folder's snapshots, checked.
	finish() error
}

type snapshotJob struct {
	info statemachine.CheckpointInfo
	snap statemachine.Snapshot
	life uint64 // of the state that it is of: repair.life
}

func (r *runner) start() {
	r.jobs, r.snaps = newQueue[runnerJob](), newQueue[snapshotJob]()
	r.later = r.snaps.put
	r.wg.Add(2)
	go r.run()
	go r.writeSnapshots()
}

// stop ends both goroutines. What has not been executed is executed after the
// next start.
func (r *runner) stop() {
	r.jobs.close()
	r.wg.Wait()
}

func (r *runner) run() {
	defer r.wg.Done()
	defer r.snaps.close()
	for jobs, ok := r.jobs.takeAll(nil); ok; jobs, ok = r.jobs.takeAll(jobs) {
		for i := range jobs {
			if err := r.do(&jobs[i]); err != nil {
				if !errors.Is(err, errStopping) {
					r.fail(err)
				}
				return
			}
		}
	}
}

// do does one job. Blocks for which there is no state yet wait for it.
func (r *runner) do(j *runnerJob) error {
	switch {
	case j.stop != nil:
		return r.stopFor(j.stop)
	case j.forget:
		if !r.repair.due {
			return nil // the state is right again, and so is what was written of it since
		}
		err := r.forgetWrong(r.repair.agreed)
		r.repair.forgotten()
		return err
	case j.split != nil:
		return r.splitFound(j.split)
	case j.anew:
		return r.beginAnew()
	case j.resume:
		return r.resume()
	case j.install == nil && r.pending:
		r.waiting = append(r.waiting, j.blocks...)
		return nil
	case j.install == nil:
		return r.execute(j.blocks)
	}
	if err := r.install(j.install, j.files); err != nil || r.pending {
		return err
	}
	waiting := r.waiting
	r.waiting = nil
	return r.execute(waiting)
}

// requestBlock is the executor's view of a block.
func requestBlock(b *pbft.Block) statemachine.RequestBlock {
	rb := statemachine.RequestBlock{
		Height: uint64(b.Height), Time: statemachine.Time(b.Time), Digest: b.Digest(),
		Requests: make([]statemachine.Request, len(b.Requests)),
	}
	for i, r := range b.Requests {
		rb.Requests[i] = executorRequest(r)
	}
	return rb
}

func executorRequest(r *pbft.Request) statemachine.Request {
	return statemachine.Request{
		Client: r.Client, Seq: r.Seq, Low: r.Low, Deadline: statemachine.Time(r.Deadline), Digest: r.Digest(), Ops: r.Ops,
	}
}

func (r *runner) isSnapshot(h pbft.Height) bool { return h%r.every == 0 }

// apply runs a block. The replies go out by deliver, if that is not nil, before the
// digest of the state and the archive are thought of: clients wait.
func (r *runner) apply(b *pbft.Block, deliver func(pbft.Height, []statemachine.Reply)) (statemachine.Execution, error) {
	x, err := r.exec.Execute(requestBlock(b))
	if err != nil {
		return x, fmt.Errorf("execute block %d: %w", b.Height, err)
	}
	if deliver != nil {
		deliver(b.Height, x.Replies)
	}
	if b.Checkpoint || r.isSnapshot(b.Height) {
		if x.Checkpoint, err = r.exec.Checkpoint(); err != nil {
			return x, fmt.Errorf("checkpoint at block %d: %w", b.Height, err)
		}
	}
	if r.applied != nil {
		r.applied(b, &x)
	}
	return x, r.archive.executed(b.Height, &x)
}

func (r *runner) execute(blocks []*pbft.Block) error {
	for i, b := range blocks {
		if r.repair.stops.Load() > 0 {
			r.waiting = append(r.waiting, blocks[i:]...) // the state is wrong
			return nil
		}
		if uint64(b.Height) <= r.exec.Position().Height {
			continue // a snapshot that was installed meanwhile covers it
		}
		r.trace.executing(b)
		x, err := r.apply(b, r.deliver)
		if err != nil {
			return r.unable(blocks[i:], err)
		}
		r.observe(b)
		r.gate.raise(b.Height)
		r.executed(b.Height)
		if x.Checkpoint == nil {
			continue
		}
		if !r.isSnapshot(b.Height) {
			r.checkpointed(r.statement(x.Checkpoint, pbft.Digest{}))
			continue
		}
		snap, err := r.exec.Snapshot()
		if err != nil {
			return r.unable(blocks[i:], err)
		}
		if !r.later(snapshotJob{info: *x.Checkpoint, snap: snap, life: r.repair.life}) {
			_ = snap.Close()
		}
	}
	return nil
}

// statement is what this replica says about a checkpoint; manifest is the root of
// the snapshot's, zero where there is none.
func statement(c *statemachine.CheckpointInfo, manifest pbft.Digest) pbft.CheckpointStatement {
	return pbft.CheckpointStatement{
		Height: pbft.Height(c.Height), Block: c.BlockDigest,
		State:   statemachine.StateDigest(c.AppDigest, c.SessionsDigest, manifest),
		Results: c.ResultsRoot,
	}
}

// writeSnapshots writes one snapshot after another in the background, blocks go
// on meanwhile. The statement follows only when the snapshot is durable: whoever
// reads it may rely on this replica to serve that state, and to prune its log.
func (r *runner) writeSnapshots() {
	defer r.wg.Done()
	failed := false
	for jobs, ok := r.snaps.takeAll(nil); ok; jobs, ok = r.snaps.takeAll(jobs) {
		for i := range jobs {
			j := &jobs[i]
			if failed {
				_ = j.snap.Close()
				continue
			}
			if r.overtaken(j, i+1 < len(jobs)) {
				_ = j.snap.Close()
				continue
			}
			if err := r.stateSnapshot(j); err != nil {
				failed = true
				r.fail(err)
			}
		}
	}
}

// overtaken tells whether a snapshot need not be written: the others have certified
// it without this replica's vote, and a later one waits. Otherwise a disk that takes
// longer for a snapshot than the cluster for an interval would never catch up: the
// snapshots that wait would pile up, and the log, which is pruned below the last that
// this replica wrote.
func (r *runner) overtaken(j *snapshotJob, later bool) bool {
	return later && j.info.Height <= r.stable.Load()
}

// certifiedSnapshot notes a stable checkpoint that may be one with a snapshot.
func (r *runner) certifiedSnapshot(h pbft.Height) {
	if r.isSnapshot(h) && uint64(h) > r.stable.Load() {
		r.stable.Store(uint64(h)) // called by one goroutine
	}
}

// stateSnapshot writes a snapshot and makes the statement of its checkpoint. Damage that can be
// made good is no error.
func (r *runner) stateSnapshot(j *snapshotJob) error {
	_, err := r.writeSnapshot(j, func(root pbft.Digest) { r.checkpointed(r.statement(&j.info, root)) })
	if err != nil && r.damaged(err) {
		return nil
	}
	return err
}

// writeSnapshot writes a snapshot and tells so, unless the state that it is of has been
// found to be wrong.
func (r *runner) writeSnapshot(j *snapshotJob, written func(root pbft.Digest)) (root pbft.Digest, err error) {
	r.repair.writing.Lock()
	defer r.repair.writing.Unlock()
	if j.life != r.repair.life {
		return root, j.snap.Close()
	}
	root, err = r.folder.write(pbft.Height(j.info.Height), j.snap)
	if cerr := j.snap.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return root, storeFailure("write snapshot", r.folder.where(), err)
	}
	r.logger.Info("snapshot written", "height", j.info.Height, "root", root)
	if written != nil {
		written(root)
	}
	return root, nil
}

// install makes a transferred snapshot the state. Everything is on the disk and
// checked before anything in memory is touched.
func (r *runner) install(b *pbft.Bundle, files installable) error {
	if p, ok := r.byParts(files); ok {
		return r.installParts(b, p)
	}
	r.repair.stats = nil
	if err := files.finish(); errors.Is(err, snapshot.ErrCorrupt) {
		r.installed(b, err)
		return nil
	} else if err != nil {
		return storeFailure("install a snapshot", r.folder.where(), err)
	}
	return r.adopt(b)
}

// adopt makes a snapshot that is among the others the state.
func (r *runner) adopt(b *pbft.Bundle) error {
	if uint64(b.Height()) > r.exec.Position().Height || r.pending {
		done := r.touch()
		err := r.folder.restore(b.Height(), r.exec)
		done()
		if err != nil {
			// The bytes are the certified ones: it is the application that cannot.
			return fmt.Errorf("install the state of checkpoint %d: %w", b.Height(), err)
		}
		r.parts.missing.Store(false)
		if err := r.sealRestored(b.Height()); err != nil {
			return err
		}
		r.seals.stable(b)
	}
	return r.adopted(b)
}

// adopted goes on with a state that is installed.
func (r *runner) adopted(b *pbft.Bundle) error {
	r.logger.Info("state installed", "height", b.Height())
	r.gate.raise(b.Height())
	r.parts.whole, r.repair.installed = false, b.Height()
	if remade := r.damage.remade; remade != nil {
		r.damage.remade = nil
		remade()
	}
	if r.repair.due {
		return r.rebuild(b)
	}
	r.installed(b, nil)
	if r.pending {
		if err := r.catchUp(); err != nil {
			return r.unable(nil, err) // what is left of the log is executed after the repair
		}
		r.pending = false
	}
	return nil
}

// catchUp executes what the log held when the state was found missing.
func (r *runner) catchUp() error {
	_, err := replay(r, r.replayTo, func(b *pbft.Block, x *statemachine.Execution) error {
		r.gate.raise(b.Height)
		r.executed(b.Height)
		return nil
	}, r.checkpointed)
	return err
}

// replay executes the committed blocks of the log up to a height.
func replay(r *runner, to pbft.Height, done func(*pbft.Block, *statemachine.Execution) error, checkpointed func(pbft.CheckpointStatement)) (int, error) {
	n := 0
	for h := pbft.Height(r.exec.Position().Height) + 1; h <= to; h++ {
		ref, ok, err := getChain(r.store, h)
		if err != nil {
			return n, err
		}
		if !ok {
			return n, gap("no committed block at height %d", h)
		}
		p, err := getBlock(r.store, ref)
		if err != nil {
			return n, err
		}
		if p == nil {
			return n, gap("block %v is not there", ref)
		}
		x, err := r.apply(p.Block, nil)
		if err != nil {
			return n, err
		}
		n++
		if done != nil {
			if err := done(p.Block, &x); err != nil {
				return n, err
			}
		}
		if x.Checkpoint == nil {
			continue
		}
		var root pbft.Digest
		if r.isSnapshot(h) {
			// One that was written before the crash need not be written again, unless it only
			// names its state: the application may have gone back below that since.
			if root, ok = r.folder.root(h); !ok || r.parts.keeper != nil {
				snap, err := r.exec.Snapshot()
				if err != nil {
					return n, err
				}
				if root, err = r.writeSnapshot(&snapshotJob{info: *x.Checkpoint, snap: snap, life: r.repair.life}, nil); err != nil {
					return n, err
				}
			}
		}
		checkpointed(r.statement(x.Checkpoint, root))
	}
	return n, nil
}
