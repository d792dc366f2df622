package replica

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/vfs"
	db "github.com/cometbft/cometbft-db"

	"github.com/parley-bft/parley/pbft"
)

// DiskStoreConfig says where a store is and how careful it is about space.
type DiskStoreConfig struct {
	Dir string
	// Reserve is how many bytes must stay free on the file system; below, the
	// store fails with ErrDiskFull before the system does. 0 turns the guard off.
	Reserve uint64
	// FreeSpace returns the bytes that are free where dir is; nil asks the system.
	FreeSpace func(dir string) (uint64, error)
	Logger    *slog.Logger

	// disk replaces the system's files, in tests.
	disk vfs.FS
}

// diskStore is the database behind a Store.
type diskStore struct {
	cfg   DiskStoreConfig
	db    *db.PebbleDB
	watch io.Closer // for operations that take too long

	failed atomic.Pointer[error]
	// broken is closed with the first failure.
	broken chan struct{}
	// unsynced: something was written that no sync has covered.
	unsynced atomic.Bool
	// syncs makes synced writes wait for each other; synced counts them (walMark).
	syncs  sync.Mutex
	synced uint64
	close  sync.Once
	// Reads and iterators must not be open when the database closes.
	users sync.RWMutex
	shut  bool
}

var _ Store = (*diskStore)(nil)

// brokenClose is how long the database may take to close after it has failed. What
// it still holds then goes with the process; what was synced is on the disk.
const brokenClose = 2 * time.Second

// slowDisk is how long one operation of the disk may take before it is logged.
const slowDisk = 5 * time.Second

// openDiskStore opens or makes the store in cfg.Dir, whose directory chain must
// have been made durable before (see [makeDirs]).
func openDiskStore(cfg DiskStoreConfig) (_ *diskStore, err error) {
	if cfg.FreeSpace == nil {
		cfg.FreeSpace = freeSpace
	}
	s := &diskStore{cfg: cfg, broken: make(chan struct{})}
	if err := s.guardSpace(); err != nil {
		return nil, err
	}
	// Ours and not the default, which goes on watching after an open that failed.
	if cfg.disk == nil {
		cfg.disk = vfs.Default
	}
	disk, watch := vfs.WithDiskHealthChecks(cfg.disk, slowDisk, func(info vfs.DiskSlowInfo) {
		if cfg.Logger != nil {
			cfg.Logger.Warn("the disk is slow", "operation", info.OpType.String(), "file", info.Path, "for", info.Duration)
		}
	})
	s.watch = watch
	defer func() {
		if err != nil {
			_ = watch.Close()
		}
	}()
	opts := &pebble.Options{
		FS: disk,
		// Blocks are large and written once, so a larger memtable means fewer of
		// them are rewritten by a flush before they are pruned.
		MemTableSize: 32 << 20,
		Logger:       storeLogger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail("background work", err) },
		},
	}
	if err := s.checkWAL(opts); err != nil {
		return nil, err
	}
	if err := s.run("open", func() (err error) {
		s.db, s.synced, err = s.open(opts)
		return err
	}); err != nil {
		return nil, err
	}
	d := s.db
	// The database's own directory is an entry in ours, and must survive too.
	if err := syncDir(cfg.Dir); err != nil {
		_ = d.Close()
		return nil, storeFailure("open", cfg.Dir, err)
	}
	return s, nil
}

// database is the folder that the database makes in ours.
func (s *diskStore) database() string { return filepath.Join(s.cfg.Dir, "log.db") }

// open returns the database and how many synced writes it has.
func (s *diskStore) open(opts *pebble.Options) (d *db.PebbleDB, synced uint64, err error) {
	defer s.rescue("open", &err)
	d, err = db.NewPebbleDBWithOpts("log", s.cfg.Dir, opts)
	if err != nil {
		return nil, 0, s.openFailure(err)
	}
	key := hostKey(HostKey{Kind: hostSync})
	b, err := d.Get(key)
	if err == nil && b != nil {
		value, fault := unseal(key, b)
		n, ok := parseWALMark(value)
		switch {
		case fault != "":
			err = &CorruptError{Folder: s.database(), Key: keyName(key), Detail: fault}
		case !ok && len(value) != 0: // stores of the first days have no number yet
			err = &CorruptError{Folder: s.database(), Key: keyName(key), Detail: "not the number of synced writes"}
		default:
			return d, n, nil
		}
	}
	if err != nil {
		return nil, 0, errors.Join(s.openFailure(err), d.Close())
	}
	return d, 0, nil
}

// openFailure tells what the system refuses from what was read and makes no sense.
func (s *diskStore) openFailure(err error) error {
	var refused syscall.Errno
	if errors.Is(err, ErrCorrupt) || errors.As(err, &refused) && refused != syscall.ENOENT {
		return storeFailure("open", s.database(), err)
	}
	return storeFailure("open", s.cfg.Dir, &CorruptError{Folder: s.database(), Key: "database", Detail: err.Error()})
}

// checkWAL refuses a database that would come up without writes that were synced.
// It asks before the database is opened to be written, which would destroy what
// tells.
func (s *diskStore) checkWAL(opts *pebble.Options) error {
	seen, err := scanWAL(s.database())
	if err != nil {
		return storeFailure("open", s.database(), err)
	}
	if !seen.suspicious() {
		return nil
	}
	look := *opts
	look.ReadOnly = true
	d, number, err := s.open(&look)
	if err != nil {
		return err
	}
	if err := d.Close(); err != nil {
		return storeFailure("open", s.database(), err)
	}
	if seen.lost(number) {
		return storeFailure("open", s.cfg.Dir, lostWrites(s.database(), number, seen.highest))
	}
	return nil
}

func (s *diskStore) guardSpace() error {
	if s.cfg.Reserve == 0 {
		return nil
	}
	free, err := s.cfg.FreeSpace(s.cfg.Dir)
	if err != nil {
		return s.fail("ask for free space", err)
	}
	if free < s.cfg.Reserve {
		return s.fail("write", &DiskFullError{Folder: s.cfg.Dir, Free: free, Reserve: s.cfg.Reserve})
	}
	return nil
}

var errStoreClosed = errors.New("store is closed")

// use keeps the database open until the returned function is called.
func (s *diskStore) use() (func(), error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	s.users.RLock()
	if s.shut {
		s.users.RUnlock()
		return nil, &StoreError{Op: "use", Folder: s.cfg.Dir, Err: errStoreClosed}
	}
	return s.users.RUnlock, nil
}

type change struct {
	key, value []byte
	delete     bool
}

func (s *diskStore) apply(n int, at func(int) change, sync bool) (err error) {
	done, err := s.use()
	if err != nil {
		return err
	}
	defer done()
	if !sync {
		if n == 0 {
			return nil
		}
		s.unsynced.Store(true)
	} else if !s.unsynced.Swap(false) && n == 0 {
		return nil
	}
	if err := s.guardSpace(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	written := false
	defer func() {
		if !written {
			_ = b.Close()
		}
	}()
	if sync {
		s.syncs.Lock()
		defer s.syncs.Unlock()
		s.synced++
		// First, where checkWAL looks for it. It also makes a batch without records
		// one that the database does not skip.
		c := walMark(s.synced)
		if err := b.Set(c.key, seal(c.key, c.value)); err != nil {
			return s.fail("write", err)
		}
	}
	for i := range n {
		c := at(i)
		if c.delete {
			err = b.Delete(c.key)
		} else {
			err = b.Set(c.key, seal(c.key, c.value))
		}
		if err != nil {
			return s.fail("write", err)
		}
	}
	written = true
	return s.commit(b, sync)
}

// commit writes a batch and closes it.
func (s *diskStore) commit(b db.Batch, sync bool) error {
	err := s.run("write", func() error {
		var err error
		if sync {
			err = b.WriteSync()
		} else {
			err = b.Write()
		}
		return errors.Join(err, b.Close())
	})
	if err != nil {
		return s.fail("write", err)
	}
	return s.err()
}

func (s *diskStore) Write(records []pbft.Record, sync bool) error {
	return s.apply(len(records), func(i int) change {
		r := &records[i]
		return change{recordKey(r.Key), r.Value, r.Delete}
	}, sync)
}

func (s *diskStore) WriteHost(records []HostRecord, sync bool) error {
	return s.apply(len(records), func(i int) change {
		r := &records[i]
		return change{hostKey(r.Key), r.Value, r.Delete}
	}, sync)
}

func (s *diskStore) get(key []byte, name fmt.Stringer) (value []byte, err error) {
	done, err := s.use()
	if err != nil {
		return nil, err
	}
	defer done()
	defer s.rescue("read", &err)
	b, err := s.db.Get(key)
	if err != nil {
		return nil, s.fail("read "+name.String(), err)
	}
	if b == nil {
		return nil, nil
	}
	value, fault := unseal(key, b)
	if fault != "" {
		return nil, s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: name.String(), Detail: fault})
	}
	return value, nil
}

func (s *diskStore) Get(key pbft.RecordKey) ([]byte, error) { return s.get(recordKey(key), key) }

func (s *diskStore) GetHost(key HostKey) ([]byte, error) { return s.get(hostKey(key), key) }

// scan calls yield for [from, to); values are unsealed lazily, only if yield asks.
func (s *diskStore) scan(from, to []byte, yield func(key []byte, value func() ([]byte, error)) error) (err error) {
	done, err := s.use()
	if err != nil {
		return err
	}
	defer done()
	defer s.rescue("read", &err)
	it, err := s.db.Iterator(from, to)
	if err != nil {
		return s.fail("read", err)
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = s.fail("read", cerr)
		}
	}()
	for ; it.Valid(); it.Next() {
		key := append([]byte(nil), it.Key()...)
		err := yield(key, func() ([]byte, error) {
			value, fault := unseal(key, append([]byte(nil), it.Value()...))
			if fault != "" {
				return nil, s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: keyName(key), Detail: fault})
			}
			return value, nil
		})
		if err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return s.fail("read", err)
	}
	return nil
}

func keyName(key []byte) string {
	if k, ok := parseHostKey(key); ok {
		return k.String()
	}
	if len(key) > 0 && key[0] == spaceRecords {
		if k, err := pbft.DecodeRecordKey(key[1:]); err == nil {
			return k.String()
		}
	}
	return fmt.Sprintf("key %x", key)
}

func (s *diskStore) Load(want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error {
	return s.scan([]byte{spaceRecords}, []byte{spaceRecords + 1}, func(key []byte, value func() ([]byte, error)) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: keyName(key), Detail: err.Error()})
		}
		if want != nil && !want(k) {
			return nil
		}
		v, err := value()
		if err != nil {
			return err
		}
		return yield(pbft.Record{Key: k, Value: v})
	})
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

func (s *diskStore) Seek(kind pbft.RecordKind, from uint64, yield func(pbft.Record) bool) error {
	lo, hi := seekRange(kind, from)
	err := s.scan(lo, hi, func(key []byte, value func() ([]byte, error)) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: keyName(key), Detail: err.Error()})
		}
		v, err := value()
		if err == nil && !yield(pbft.Record{Key: k, Value: v}) {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (s *diskStore) ScanHost(kind HostKind, from, to pbft.Height, yield func(HostKey, []byte) error) error {
	if from >= to {
		return nil
	}
	lo, hi := hostKey(HostKey{kind, from}), hostKey(HostKey{kind, to})
	return s.scan(lo, hi, func(key []byte, value func() ([]byte, error)) error {
		k, ok := parseHostKey(key)
		if !ok {
			return s.fail("read", &CorruptError{Folder: s.cfg.Dir, Key: keyName(key), Detail: "not a key of ours"})
		}
		v, err := value()
		if err != nil {
			return err
		}
		return yield(k, v)
	})
}

func (s *diskStore) Close() (err error) {
	s.close.Do(func() {
		ended := make(chan error, 1)
		go func() {
			var cerr error
			defer func() { ended <- cerr }()
			s.users.Lock()
			defer s.users.Unlock()
			s.shut = true
			defer s.rescue("close", &cerr)
			cerr = errors.Join(s.db.Close(), s.watch.Close())
		}()
		var enough <-chan time.Time // never, unless the database may be stuck
		if s.err() != nil {
			enough = time.After(brokenClose)
		}
		select {
		case cerr := <-ended:
			if cerr != nil {
				err = storeFailure("close", s.cfg.Dir, cerr)
			}
		case <-enough:
		}
	})
	return err
}
