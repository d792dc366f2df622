package replica

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/vfs"
	db "github.com/cometbft/cometbft-db"

	"github.com/parley-bft/parley/internal/diskspace"
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

	// disk replaces the system's files, in tests. memTable is how much one log of the
	// database holds, and segment one of the journal, in bytes.
	disk     vfs.FS
	memTable uint64
	segment  int64
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
	synced atomic.Uint64
	close  sync.Once
	// note tells which of the database's logs must be there, and disk is where.
	note logsNote
	disk vfs.FS
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

func (s *diskStore) guardSpace() error {
	if err := diskspace.Check(s.cfg.Dir, s.cfg.Reserve, s.cfg.FreeSpace); err != nil {
		return s.fail("write", err)
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
		// First, where checkWAL looks for it. It also makes a batch without records
		// one that the database does not skip.
		c := walMark(s.synced.Add(1))
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
			cerr = errors.Join(s.db.Close(), s.saveNumber(), s.watch.Close())
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
