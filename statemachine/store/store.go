package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Store is the state of an application. Block and its transactions, Commit, Digest,
// Flush, Snapshot, Restore, SetHeight and Close belong to one goroutine; everything else
// may be called from any goroutine at any time.
type Store struct {
	cfg   Config
	disks disks
	block *overlay

	users  users
	failed atomic.Pointer[Failure]
	// oldest is the lowest height that can be read; whoever reads a lower one learns so
	// after the read.
	oldest atomic.Uint64
	// epoch counts the times at which all heights became others (Restore).
	epoch atomic.Uint64
	// flushes counts what changed the database.
	flushes atomic.Uint64
	// released: snapshots of lower heights are not needed any more.
	released atomic.Uint64
	// keeps: heights of snapshots stay until they are released, however many there are.
	keeps bool

	// mu is held for writing by whatever changes the fields below. The goroutine that
	// the store belongs to reads them without.
	mu    sync.RWMutex
	db    database
	cache *nodeCache
	// records are of the database; the goroutine that the store belongs to alone uses them.
	records *generations[string, record]
	last    uint64
	begun   bool // something was committed or restored
	// incomplete: the state is neither what it was nor yet what a Sync makes of it.
	incomplete bool
	// returned: Restore went back to a height, which may be below that of the snapshot.
	returned bool
	pend     pending
	tree     tree
	pins     map[uint64]int // heights that are not to be pruned
	// snapshots are the heights of the last snapshots, which are not pruned either.
	snapshots []uint64
	dead      []nodeID // to be deleted from the database
	durable   uint64   // the height that the disk has
	// syncing is closed when the sync that runs beside blocks has ended; nil: none does.
	syncing chan struct{}
	feed    feedLog
}

// Open opens the store, or makes it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, pins: make(map[uint64]int)}
	s.block = newOverlay((*present)(s))
	open := newDisks
	if cfg.disks != nil {
		open = cfg.disks
	}
	var err error
	if s.disks, err = open(cfg, s.broke); err != nil {
		return nil, s.fail("open", err)
	}
	db, err := s.disks.current()
	if err != nil {
		return nil, errors.Join(s.fail("open", err), s.disks.close())
	}
	if err := s.use(db); err != nil {
		return nil, errors.Join(err, db.close(), s.disks.close())
	}
	return s, nil
}

// use makes db the database, and what is in it the state.
func (s *Store) use(db database) error {
	b, err := db.get([]byte{spaceHead})
	if err != nil {
		return s.fail("open", err)
	}
	var h head
	if b != nil {
		if h, err = decodeHead(b); err != nil {
			return s.fail("open", err)
		}
	}
	fed, err := s.feedLoad(db)
	if err != nil {
		return s.fail("open", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.cache, s.dead = db, newNodeCache(int(s.cfg.CacheBytes/4*3)), nil
	s.records = newRecordCache(int(s.cfg.CacheBytes / 4))
	s.pend = newPending()
	s.last, s.durable, s.begun, s.incomplete = h.last, h.last, h.begun, h.incomplete
	s.tree = tree{version: h.version, seals: h.seals, dirty: make(map[string]struct{})}
	s.snapshots = h.snapshots
	s.returned = false
	s.feed = fed
	if h.incomplete {
		s.feedForget()
	}
	s.feedPrune()
	clear(s.pins)
	s.oldest.Store(h.oldest)
	s.epoch.Add(1)
	return nil
}

// broke notes that the database failed.
func (s *Store) broke(err error) { _ = s.fail("database", err) }

// fail notes the first failure, which all are from then on.
func (s *Store) fail(op string, err error) error {
	var f *Failure
	if !errors.As(err, &f) {
		if errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %s", err, s.remedy())
		}
		f = &Failure{Op: op, Err: err}
	}
	s.failed.CompareAndSwap(nil, f)
	return s.failed.Load()
}

// remedy says what to do about damage, as far as it is a matter of the store: who runs it
// knows where else the state is to be had.
func (s *Store) remedy() string {
	if s.cfg.Dir == "" {
		return "the memory of this machine may be bad: a restart gets the state from a snapshot or other replicas"
	}
	return fmt.Sprintf("check the disk that has %s; the state can be had from other replicas", s.cfg.Dir)
}

// stop is fail for where no error can be returned.
func (s *Store) stop(op string, err error) { panic(s.fail(op, err)) }

// err is the failure of the store, or that it is closed.
func (s *Store) err() error {
	if f := s.failed.Load(); f != nil {
		return f
	}
	if s.users.isShut() {
		return ErrClosed
	}
	return nil
}

// ready is err, or that the state is no state.
func (s *Store) ready() error {
	if err := s.err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.incomplete {
		return ErrIncomplete
	}
	return nil
}

// Block returns the transaction of the next block. What it and those within it have
// written is kept by [Store.Commit].
func (s *Store) Block() Txn { return s.block.block() }

// present is the last committed state, as a block begins with it.
type present Store

func (p *present) find(key string) record {
	s := (*Store)(p)
	if r, ok := s.pend.last.Get(key); ok {
		return r
	}
	if r, ok := s.records.get(key); ok {
		return r
	}
	r, err := s.stored(key)
	if err != nil {
		s.stop("read", err)
	}
	s.records.put(key, r)
	return r
}

// stored is the last record of a key in the database.
func (s *Store) stored(key string) (record, error) {
	b, err := s.db.get(lastKey(key))
	if err != nil || b == nil {
		return record{deleted: true}, err
	}
	return decodeRecord(b)
}

func (p *present) digest() (crypto.Digest, error) { return (*Store)(p).Digest() }

func (p *present) cursor(from, to []byte, reverse bool) cursor {
	s := (*Store)(p)
	s.mu.Lock()
	over := recordCursor{newMapCursor(s.pend.last.Copy(), from, to, reverse)}
	s.mu.Unlock()
	under, err := s.iterate(spaceLast, from, to, reverse)
	if err != nil {
		s.stop("iterate", err)
	}
	return &layered{over, under, reverse}
}

// iterate walks over the names in [from, to) of a space.
func (s *Store) iterate(space byte, from, to []byte, reverse bool) (*dbCursor, error) {
	end := []byte{space + 1}
	if to != nil {
		end = append([]byte{space}, to...)
	}
	it, err := s.db.iterate(append([]byte{space}, from...), end, reverse)
	if err != nil {
		return nil, err
	}
	return &dbCursor{it: it, fail: s.stop}, nil
}

// Heights returns the oldest and the last height that can be read.
func (s *Store) Heights() (oldest, last uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.oldest.Load(), s.last
}

// Durable returns the last height that is on the disk: what a crash leaves. After a
// restart blocks are executed again from there, or from the last snapshot.
func (s *Store) Durable() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.durable
}

// At returns the state after the block of a height. The error is a *[HeightError],
// [ErrClosed] or a *[Failure].
func (s *Store) At(height uint64) (*View, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at(height)
}

func (s *Store) at(height uint64) (*View, error) {
	oldest := s.oldest.Load()
	switch {
	case height > s.last:
		return nil, &HeightError{height, oldest, s.last, ErrFuture}
	case height < oldest:
		return nil, &HeightError{height, oldest, s.last, ErrPruned}
	}
	return s.view(height), nil
}

// Last returns the state after the last block. Before the first block and after
// [Store.Restore], until [Store.SetHeight], its height is 0.
func (s *Store) Last() (*View, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(s.last), nil
}

// view makes a view. mu is held.
func (s *Store) view(height uint64) *View {
	v := &View{s: s, height: height, epoch: s.epoch.Load(), last: s.pend.last.Copy()}
	if height == s.last {
		v.newest, v.flushes = true, s.flushes.Load()
	}
	v.history = s.pend.history.Copy()
	return v
}

// held is Last with a height that is not pruned until release is called.
func (s *Store) held() (v *View, release func(), err error) {
	if err := s.ready(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v = s.view(s.last)
	return v, s.pin(v), nil
}

// heldAt is At with a height that is not pruned until release is called.
func (s *Store) heldAt(height uint64) (v *View, release func(), err error) {
	if err := s.ready(); err != nil {
		return nil, nil, err
	}
	return s.hold(height)
}

// inspectAt is heldAt for those who look for damage, who do so also in a store that has
// failed because of it.
func (s *Store) inspectAt(height uint64) (v *View, release func(), err error) {
	if err := s.ready(); err != nil && !isDamage(err) {
		return nil, nil, err
	}
	if v, release, err = s.hold(height); err == nil {
		v.quiet = true
	}
	return v, release, err
}

func (s *Store) hold(height uint64) (v *View, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, err = s.at(height); err != nil {
		return nil, nil, err
	}
	return v, s.pin(v), nil
}

func (s *Store) pin(v *View) (release func()) {
	s.pins[v.height]++
	var once sync.Once
	return func() { once.Do(func() { s.unpin(v) }) }
}

func (s *Store) unpin(v *View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.epoch != s.epoch.Load() {
		return
	}
	if s.pins[v.height]--; s.pins[v.height] == 0 {
		delete(s.pins, v.height)
	}
}

// SetHeight says of which height the state is that was restored.
func (s *Store) SetHeight(height uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun && (!s.returned || height <= s.last) {
		s.returned = false
		return
	}
	// The state was this at an earlier height, too; what it was in between is not asked.
	s.last, s.begun, s.returned = height, true, false
	s.oldest.Store(height)
	if n := len(s.tree.seals); n > 0 {
		t := s.tree.seals[n-1]
		t.height = height
		s.tree.seals = append(s.tree.seals, t)
	}
	s.prune()
}

// isNew tells whether nothing was ever committed or restored.
func (s *Store) isNew() bool { return !s.begun && s.tree.root() == nil }

// Digest is the digest of the last committed state. It costs hashing for the keys that
// changed since it was last asked for, and nothing if it was asked for since the last
// block; proofs are there for the heights at which it was asked for.
func (s *Store) Digest() (d crypto.Digest, err error) {
	if err := s.ready(); err != nil {
		return d, err
	}
	if failed := Catch(s.seal); failed != nil {
		return d, failed
	}
	return proof.StateDigest(rootOf(s.tree.root())), nil
}

// Close waits for the reads that are under way, makes durable what was committed, and
// closes the store. Views cannot be read any more. A second Close does nothing.
func (s *Store) Close() error {
	if !s.users.shut() { // also waits for a sync
		return nil
	}
	s.synced()
	var err error
	if s.failed.Load() == nil {
		err = s.flush()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cerr := errors.Join(s.db.close(), s.disks.close()); cerr != nil && err == nil {
		err = fmt.Errorf("close the store: %w", cerr)
	}
	return err
}
