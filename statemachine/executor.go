package statemachine

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// Executor runs committed blocks on an application, each request at most once.
//
// Execute, Checkpoint, Snapshot and Restore belong to one goroutine.
// [Executor.Admissible], [Executor.Lookup], [Executor.Quarantine] and
// [Executor.Position] may be called from any goroutine at any time; they wait at
// most for the bookkeeping of a block, never for the application.
type Executor struct {
	app    StateMachine
	limits Limits

	// mu guards table, at and quarantined. It is not held while the application
	// runs. Only the executing goroutine writes table, so that one reads without.
	mu          sync.RWMutex
	table       *sessions
	at          Position
	quarantined map[crypto.Digest]struct{}

	leaves []crypto.Digest // since the last checkpoint
	tree   receipttree.Builder
	broken error

	ran ran // of the last blocks, which requests ran

	// Scratch memory of Execute.
	ops     []Op
	started []started
	repeats []started
}

// started is a request that runs in the block at hand.
type started struct {
	request int // its position in the block
	answer  *answer
	from    int // its first operation in the block's operations
}

// Position says how far the executor has come.
type Position struct {
	Height uint64
	Time   Time
	Block  crypto.Digest
}

// CheckpointInfo is what a checkpoint says of execution.
type CheckpointInfo struct {
	Height         uint64
	Time           Time
	BlockDigest    crypto.Digest
	AppDigest      crypto.Digest
	SessionsDigest crypto.Digest
	// ResultsRoot is the root over Leaves: everything executed or turned down in
	// (previous checkpoint, Height].
	ResultsRoot crypto.Digest
	// Leaves belong to the receiver.
	Leaves []crypto.Digest
}

// Execution is what came of one block.
type Execution struct {
	// Replies has one reply for each request of the block, in order.
	Replies []Reply
	// Checkpoint is set if the block asked for one.
	Checkpoint *CheckpointInfo
}

// NewExecutor returns an executor at height 0 around an application in its
// initial state. It panics if limits are not valid: call Validate first.
func NewExecutor(app StateMachine, limits Limits) *Executor {
	if err := limits.Validate(); err != nil {
		panic(err)
	}
	return &Executor{app: app, limits: limits, table: newSessions(limits)}
}

// Limits returns what NewExecutor was given.
func (e *Executor) Limits() Limits { return e.limits }

// Position returns the last executed block.
func (e *Executor) Position() Position {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.at
}

// Execute runs the next block: its height must be one above the last, its time
// not below the last. Errors: ErrOutOfOrder, with nothing changed; a
// *[PanicError]; ErrHalted; ErrResultCount; ErrBroken. After any but the first the
// replica must stop: its state may be half changed, and only a restart from a
// snapshot (or Restore) makes it good.
//
// The requests must be authentic. Execute keeps nothing of b.
func (e *Executor) Execute(b RequestBlock) (Execution, error) {
	if e.broken != nil {
		return Execution{}, fmt.Errorf("%w: %w", ErrBroken, e.broken)
	}
	if b.Height != e.at.Height+1 {
		return Execution{}, fmt.Errorf("%w: block %d:%v after %d:%v", ErrOutOfOrder, b.Height, b.Digest, e.at.Height, e.at.Block)
	}
	if b.Time < e.at.Time {
		return Execution{}, fmt.Errorf("%w: time of block %d:%v is %d, below its parent's %d", ErrOutOfOrder, b.Height, b.Digest, b.Time, e.at.Time)
	}
	x := Execution{Replies: make([]Reply, len(b.Requests))}
	e.start(&b, x.Replies)
	results, err := e.apply(&b)
	if err != nil {
		e.broken = err
		return Execution{}, err
	}
	e.ran.add(b.Height, len(b.Requests), e.started)
	e.complete(&b, x.Replies, results)
	if b.Checkpoint {
		if x.Checkpoint, err = e.Checkpoint(); err != nil {
			return Execution{}, err
		}
	}
	return x, nil
}

// start decides about every request, in order, and marks in the table those that
// will run, so that a later copy in the same block does not.
func (e *Executor) start(b *RequestBlock, replies []Reply) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.table
	e.ops, e.started, e.repeats = e.ops[:0], e.started[:0], e.repeats[:0]
	for i := range b.Requests {
		r := &b.Requests[i]
		v := t.judge(r, b.Time, e.isQuarantined(r))
		s := v.session
		if v.status == 0 && s == nil {
			if s = t.admit(r, b.Time); s == nil {
				v.status = Busy
			}
		}
		if v.status != 0 {
			replies[i] = Reply{Client: r.Client, Seq: r.Seq, Request: r.Digest, Status: v.status, Height: b.Height}
			if v.status == Duplicate && v.answer.done {
				replies[i] = v.answer.reply(r.Client, Duplicate)
			} else if v.status == Duplicate {
				e.repeats = append(e.repeats, started{request: i, answer: v.answer})
			}
			continue
		}
		a := t.begin(s, r, v.floor, b.Height)
		e.started = append(e.started, started{request: i, answer: a, from: len(e.ops)})
		for j, data := range r.Ops {
			e.ops = append(e.ops, Op{Client: r.Client, Seq: r.Seq, Index: j, Data: data})
		}
	}
}

func (e *Executor) isQuarantined(r *Request) bool {
	if len(e.quarantined) == 0 {
		return false
	}
	_, yes := e.quarantined[r.Digest]
	return yes
}

// apply calls the application.
func (e *Executor) apply(b *RequestBlock) (results []Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = e.panicked("Apply", b, v)
		}
	}()
	results = e.app.Apply(Block{Height: b.Height, Time: b.Time, Digest: b.Digest, Ops: e.ops, limits: &e.limits, meter: e.limits.meter()})
	if len(results) != len(e.ops) {
		return nil, fmt.Errorf("%w: %d for %d operations at height %d", ErrResultCount, len(results), len(e.ops), b.Height)
	}
	return results, nil
}

func (e *Executor) panicked(during string, b *RequestBlock, value any) error {
	if h, ok := value.(Halt); ok {
		return fmt.Errorf("%w: %s after height %d: %w", ErrHalted, during, e.at.Height, h)
	}
	p := &PanicError{Height: e.at.Height, During: during, Op: -1, Value: value, Stack: debug.Stack()}
	if b == nil {
		return p
	}
	p.Height = b.Height
	named, ok := value.(opPanic)
	if ok {
		p.Op, p.Value = named.index, named.value
	}
	for i, s := range e.started {
		end := len(e.ops)
		if i+1 < len(e.started) {
			end = e.started[i+1].from
		}
		if !ok || s.from <= p.Op && p.Op < end {
			p.Requests = append(p.Requests, b.Requests[s.request].Digest)
		}
	}
	return p
}

// complete records the results, fills in the replies and appends the leaves.
func (e *Executor) complete(b *RequestBlock, replies []Reply, results []Result) {
	next, room := 0, e.limits.room()
	for i := range b.Requests {
		r := &b.Requests[i]
		if next == len(e.started) || e.started[next].request != i {
			replies[i].Leaf = len(e.leaves)
			leaf := receipttree.Leaf{Height: b.Height, Request: r.Digest, Status: uint8(replies[i].Status)}
			e.addLeaf(leaf.Digest())
			continue
		}
		s := &e.started[next]
		next++
		a := s.answer
		room.next()
		own := bound(room, results[s.from:s.from+len(r.Ops)])
		replies[i] = Reply{
			Client: r.Client, Seq: r.Seq, Request: r.Digest, Status: Executed,
			Results: own, Height: b.Height, Leaf: len(e.leaves),
		}
		for j := range own {
			leaf := receiptLeaf(b.Height, &r.Digest, j, &own[j])
			e.addLeaf(leaf.Digest())
		}
		a.digest = answerDigest(a, e.leaves[replies[i].Leaf:])
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.started {
		s := &e.started[i]
		e.table.finish(s.answer, replies[s.request].Results)
	}
	// Copies of a request in the very block that ran it get its results too.
	for _, c := range e.repeats {
		replies[c.request].Results = c.answer.results
	}
	e.table.trim()
	e.at = Position{Height: b.Height, Time: b.Time, Block: b.Digest}
	clear(e.ops) // lets go of the block's bytes
	clear(e.started)
	clear(e.repeats)
}

// bound copies the results of one request and keeps them within the limits. Small ones are
// copied to stand together: one that is remembered does not keep alive whatever memory the
// application cut it from, and a large one costs no copy.
func bound(room *room, results []Result) []Result {
	own := make([]Result, len(results))
	together := 0
	for i, r := range results {
		own[i] = room.fit(r)
		switch n := len(own[i].Data); {
		case n == 0:
			own[i].Data = nil
		case n <= smallResult:
			together += n
		}
	}
	if together == 0 {
		return own
	}
	copied := make([]byte, 0, together)
	for i := range own {
		if n := len(own[i].Data); 0 < n && n <= smallResult {
			at := len(copied)
			copied = append(copied, own[i].Data...)
			own[i].Data = copied[at:len(copied):len(copied)]
		}
	}
	return own
}

func (e *Executor) addLeaf(d crypto.Digest) {
	e.leaves = append(e.leaves, d)
	e.tree.Add(d)
}

// Checkpoint is what [RequestBlock.Checkpoint] asks for, after the last block instead
// of with it: the block's replies need not wait for the digest of the state. Errors
// as of Execute.
func (e *Executor) Checkpoint() (*CheckpointInfo, error) {
	if e.broken != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, e.broken)
	}
	app, err := e.appDigest()
	if err != nil {
		e.broken = err
		return nil, err
	}
	c := &CheckpointInfo{
		Height: e.at.Height, Time: e.at.Time, BlockDigest: e.at.Block,
		AppDigest: app, SessionsDigest: e.table.digest(),
		ResultsRoot: e.tree.Root(), Leaves: e.leaves,
	}
	// The next interval will have about as many.
	e.leaves = make([]crypto.Digest, 0, len(c.Leaves)+len(c.Leaves)/8)
	e.tree.Reset()
	return c, nil
}

func (e *Executor) appDigest() (d crypto.Digest, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = e.panicked("Digest", nil, v)
		}
	}()
	return e.app.Digest(), nil
}

// Digests returns the digests of the application's state and of the session
// table, as a checkpoint after the last block would have them.
func (e *Executor) Digests() (app, sessions crypto.Digest, err error) {
	if e.broken != nil {
		return app, sessions, fmt.Errorf("%w: %w", ErrBroken, e.broken)
	}
	if app, err = e.appDigest(); err != nil {
		e.broken = err
		return app, sessions, err
	}
	return app, e.table.digest(), nil
}
