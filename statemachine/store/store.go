package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/internal/diskspace"
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
	// retain is the lowest height that [Store.Retain] was told of.
	retain atomic.Uint64
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
	// returned: Restore went back to a height, which may be another one than the snapshot's.
	returned bool
	pend     pending
	tree     tree
	pins     map[uint64]int // heights that are not to be pruned
	// snapshots are the heights of the last snapshots, which are not pruned either.
	snapshots []uint64
	dead      []nodeID // to be deleted from the database
	durable   uint64   // the height that the disk has
	// syncing is the sync that runs beside blocks; nil: none does.
	syncing *laterSync
	feed    feedLog

	// lost is what a repair that has not ended could not keep.
	lost *losses
	// onDamage hears of damage.
	onDamage atomic.Pointer[func(error)]
}

// Open opens the store, or makes it. One whose database opens, and turns out to be damaged
// where it says what it holds, has failed, and is incomplete: a [Store.Sync] with a scrub
// makes it good.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, pins: make(map[uint64]int)}
	s.retain.Store(retainNothing)
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
		if !errors.Is(err, ErrCorrupt) {
			return nil, errors.Join(err, db.close(), s.disks.close())
		}
		s.adoptHead(db, &head{begun: true, incomplete: true}, feedLog{})
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
	s.adoptHead(db, &h, fed)
	return nil
}

// adoptHead makes db the database, of which h says what it holds.
func (s *Store) adoptHead(db database, h *head, fed feedLog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = nil
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
		err = diskspace.Explain(s.cfg.Dir, err)
		f = &Failure{Op: op, Err: err}
	}
	if s.failed.CompareAndSwap(nil, f) {
		s.damaged(f)
	}
	return s.failed.Load()
}

// damaged says so to who wants to hear of damage.
func (s *Store) damaged(err error) {
	if heard := s.onDamage.Load(); heard != nil && errors.Is(err, ErrCorrupt) {
		(*heard)(err)
	}
}

// remedy says what to do about damage, as far as it is a matter of the store: who runs it
// knows where else the state is to be had.
func (s *Store) remedy() string {
	if !s.cfg.onDisk() {
		return "the memory of this machine may be bad: a restart gets the state from a snapshot or other replicas"
	}
	return fmt.Sprintf("check the disk that has %s; the state can be had from other replicas", cmp.Or(s.cfg.Dir, "it"))
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
	if !s.shut() {
		return nil
	}
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
