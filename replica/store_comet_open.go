package replica

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/vfs"
	db "github.com/cometbft/cometbft-db"
)

// openDiskStore opens or makes the store in cfg.Dir, whose directory chain must
// have been made durable before (see [makeDirs]).
func openDiskStore(cfg DiskStoreConfig) (_ *diskStore, err error) {
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
	s.watch, s.disk = watch, orderedDisk{disk}
	defer func() {
		if err != nil {
			_ = watch.Close()
		}
	}()
	opts := &pebble.Options{
		FS: s.disk,
		// Blocks are large and written once, so a larger memtable means fewer of
		// them are rewritten by a flush before they are pruned.
		MemTableSize: cmp.Or(cfg.memTable, 32<<20),
		Logger:       storeLogger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail("background work", err) },
			WALCreated:      s.logMade,
			WALDeleted: func(info pebble.WALDeleteInfo) {
				if info.Err == nil {
					s.note.drop(uint64(info.FileNum))
				}
			},
		},
	}
	if err := s.checkWAL(opts); err != nil {
		return nil, err
	}
	if err := s.run("open", func() (err error) {
		var number uint64
		s.db, number, err = s.open(opts)
		s.synced.Store(number)
		return err
	}); err != nil {
		return nil, err
	}
	if err := s.opened(); err != nil {
		_ = s.db.Close()
		return nil, err
	}
	return s, nil
}

// opened checks how many synced writes the database came up with.
func (s *diskStore) opened() error {
	if err := s.err(); err != nil {
		return err
	}
	number := s.synced.Load()
	s.note.mu.Lock()
	defer s.note.mu.Unlock()
	if number < s.note.durable {
		return storeFailure("open", s.cfg.Dir, &CorruptError{Folder: s.database(), Key: "synced writes",
			Detail: fmt.Sprintf("%d are there, and %d were", number, s.note.durable)})
	}
	s.note.durable, s.note.opened = number, true
	s.note.first(s.note.logs[0].number)
	// The database's own directory is an entry in ours, and must survive too.
	if err := syncFolder(s.disk, s.cfg.Dir); err != nil {
		return storeFailure("open", s.cfg.Dir, err)
	}
	return nil
}

// logMade notes a log before the database writes to it.
func (s *diskStore) logMade(info pebble.WALCreateInfo) {
	if info.Err != nil {
		return // the database gives up
	}
	if info.RecycledFileNum != 0 {
		s.note.drop(uint64(info.RecycledFileNum))
	}
	s.note.mu.Lock()
	defer s.note.mu.Unlock()
	if number := uint64(info.FileNum); !s.note.opened {
		s.note.first(number)
	} else {
		// The last synced write may be under way still.
		s.note.add(number, max(s.synced.Load(), 1)-1)
	}
	if err := s.note.save(s.disk, s.cfg.Dir); err != nil {
		s.fail("note a log", err)
	}
}

// saveNumber notes how many synced writes a store has that is closed.
func (s *diskStore) saveNumber() error {
	if s.err() != nil {
		return nil // the last one may have failed
	}
	s.note.mu.Lock()
	defer s.note.mu.Unlock()
	s.note.durable = s.synced.Load()
	return s.note.save(s.disk, s.cfg.Dir)
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
	dir := s.database()
	corrupt := func(key, detail string) error {
		return storeFailure("open", s.cfg.Dir, &CorruptError{Folder: dir, Key: key, Detail: detail})
	}
	files, err := listDatabase(s.disk, dir)
	if err != nil {
		return storeFailure("open", dir, err)
	}
	if files.headless() {
		return corrupt("CURRENT", "it is gone, and what it named is there")
	}
	if !files.current {
		if err := s.note.remove(s.disk, s.cfg.Dir); err != nil {
			return storeFailure("open", s.cfg.Dir, err)
		}
		return nil
	}
	if err := s.note.load(s.disk, s.cfg.Dir); err != nil {
		return storeFailure("open", s.cfg.Dir, err)
	}
	if len(files.logs) == 0 && (files.tables || len(s.note.logs) > 0) {
		return corrupt("*.log", "all files of the write-ahead log are gone")
	}
	first, err := firstLog(s.disk, dir)
	if err != nil {
		return s.openFailure(err)
	}
	if number := s.note.missing(first, files); number != 0 {
		return corrupt(fmt.Sprintf("%06d.log", number), "this file of the write-ahead log is gone")
	}
	return s.scanLogs(first, files, opts)
}

// scanLogs refuses logs that lack synced writes which they must hold.
func (s *diskStore) scanLogs(first uint64, files databaseFiles, opts *pebble.Options) error {
	var seen walSeen // of the newest, the only one of which the database tolerates a torn end
	for i, l := range files.logs {
		newest := i == len(files.logs)-1
		durable, known := s.note.within(l.number)
		if !newest && (!known || l.number < first) {
			continue
		}
		var err error
		if seen, err = scanWAL(s.disk, s.database(), l); err != nil {
			return storeFailure("open", s.database(), err)
		}
		if known && !newest && seen.highest < durable {
			return storeFailure("open", s.cfg.Dir, &CorruptError{Folder: s.database(), Key: l.name,
				Detail: fmt.Sprintf("synced write %d is not in this file of the write-ahead log", durable)})
		}
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
