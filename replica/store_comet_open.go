package replica

import (
	"errors"
	"path/filepath"
	"syscall"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/vfs"
	db "github.com/cometbft/cometbft-db"
)

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
	lost, err := headless(s.database())
	if err != nil {
		return storeFailure("open", s.database(), err)
	}
	if lost {
		return storeFailure("open", s.cfg.Dir, &CorruptError{Folder: s.database(), Key: "CURRENT", Detail: "it is gone, and what it named is there"})
	}
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
