package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/bloom"
	"github.com/cockroachdb/pebble/vfs"
	db "github.com/cometbft/cometbft-db"
	"github.com/gofrs/flock"
)

// The files db_pebble*.go and their tests are all that know which database is on the disk.

// pebbleDB is a database on a disk.
type pebbleDB struct {
	db    *db.PebbleDB
	cache *pebble.Cache
	log   *pebbleLogger
	dir   string
	room  func() error // says why nothing is to be written; nil: never
}

// damage says so if err is that files in dir are damaged: a checksum is wrong, say, or the
// disk cannot read what it has, however often it is asked ([rereading]).
func damage(dir string, err error) error {
	if err == nil || !pebble.IsCorruptionError(err) && !errors.Is(err, syscall.EIO) {
		return err
	}
	return &filesError{dir, err}
}

// filesError says that the database cannot read its files.
type filesError struct {
	dir string
	err error
}

func (e *filesError) Error() string {
	return fmt.Sprintf("%v: %v: in %s: %v", ErrCorrupt, errFiles, e.dir, e.err)
}

// Unwrap returns [ErrCorrupt], errFiles and the cause.
func (e *filesError) Unwrap() []error { return []error{ErrCorrupt, errFiles, e.err} }

// tableNumber is how the database names its tables in what it says of them.
var tableNumber = regexp.MustCompile(`\b[0-9]{6,}\b`)

// damagedFile is the file of which err says that it is damaged, "" if it does not say.
func damagedFile(err error) string {
	var e *filesError
	if !errors.As(err, &e) {
		return ""
	}
	number := tableNumber.FindString(e.err.Error())
	if number == "" {
		return ""
	}
	// The database has a folder of its own in dir.
	if found, err := filepath.Glob(filepath.Join(e.dir, "*", number+".sst")); err == nil && len(found) == 1 {
		return found[0]
	}
	return filepath.Join(e.dir, number+".sst")
}

// backgroundDamage is damage for what the database met in its own work, where a disk that
// does not answer may be one that does not write: no repair helps then.
func backgroundDamage(dir string, err error) error {
	if !pebble.IsCorruptionError(err) {
		return err
	}
	return damage(dir, err)
}

// memTable is how much the database gathers in memory before it writes a file.
const memTable = 32 << 20

func openPebble(dir string, cfg *Config, files vfs.FS, broken func(error)) (p *pebbleDB, err error) {
	return openPebbleAs(dir, cfg, files, broken, false)
}

// openPebbleAs may open a database that does not compact. A compaction (of Pebble 1.1.5) that
// meets a damaged block takes it for the end of the table, and what was behind it is gone.
func openPebbleAs(dir string, cfg *Config, files vfs.FS, broken func(error), still bool) (p *pebbleDB, err error) {
	defer func() {
		// It makes the folder, so what is missing is a file of its own: about some it says so,
		// about others it panics. Neither is an error about a path that somebody gave.
		if r := runtime.Error(nil); errors.As(err, &r) || errors.Is(err, fs.ErrNotExist) {
			err = &filesError{dir, fmt.Errorf("the database cannot make sense of them: %v", err)}
		}
	}()
	defer rescue(&err)
	files = newRereading(cfg.Logger).fs(files)
	l := &pebbleLogger{cfg.Logger, broken}
	cache := pebble.NewCache(cfg.DatabaseCacheBytes)
	opts := &pebble.Options{
		Cache: cache, Logger: l, FS: files,
		MemTableSize: memTable, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, LBaseMaxBytes: 128 << 20,
		MaxOpenFiles: 4096, DisableAutomaticCompactions: still,
		EventListener:            &pebble.EventListener{BackgroundError: func(err error) { broken(backgroundDamage(dir, err)) }},
		MaxConcurrentCompactions: func() int { return max(1, runtime.GOMAXPROCS(0)/2) },
	}
	opts.Levels = make([]pebble.LevelOptions, 7)
	for i := range opts.Levels {
		l := &opts.Levels[i]
		l.BlockSize, l.IndexBlockSize = 4<<10, 4<<10
		l.TargetFileSize = 4 << 20 << min(i, 3)
		l.Compression = pebble.NoCompression // most of it is hashes
		if i < 6 {                           // what is asked for is there, so the last level needs none
			l.FilterPolicy, l.FilterType = bloom.FilterPolicy(10), pebble.TableFilter
		}
		l.EnsureDefaults()
	}
	d, err := db.NewPebbleDBWithOpts("state", dir, opts)
	if err != nil {
		cache.Unref()
		return nil, damage(dir, err)
	}
	p = &pebbleDB{db: d, cache: cache, log: l, dir: dir}
	// The database does not make its own folder's name durable.
	for _, parent := range []string{dir, files.PathDir(dir)} {
		if err := syncFolder(files, parent); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func syncFolder(files vfs.FS, dir string) error {
	d, err := files.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (p *pebbleDB) get(key []byte) (v []byte, err error) {
	defer rescue(&err)
	v, err = p.db.Get(key)
	return v, damage(p.dir, err)
}

func (p *pebbleDB) iterate(from, to []byte, reverse bool) (it dbIterator, err error) {
	defer rescue(&err)
	var i db.Iterator
	if reverse {
		i, err = p.db.ReverseIterator(from, to)
	} else {
		i, err = p.db.Iterator(from, to)
	}
	if err != nil {
		return nil, damage(p.dir, err)
	}
	return &pebbleIterator{i: i, dir: p.dir}, nil
}

func (p *pebbleDB) newBatch() batch { return &pebbleBatch{b: p.db.NewBatch(), room: p.room} }

func (p *pebbleDB) close() (err error) {
	defer rescue(&err)
	defer p.cache.Unref()
	return p.db.Close()
}

// pebbleIterator remembers an error and is at its end then.
type pebbleIterator struct {
	i   db.Iterator
	dir string
	err error
}

func (i *pebbleIterator) valid() (ok bool) {
	defer rescue(&i.err)
	return i.err == nil && i.i.Valid()
}

func (i *pebbleIterator) key() []byte   { return i.i.Key() }
func (i *pebbleIterator) value() []byte { return i.i.Value() }

func (i *pebbleIterator) next() {
	defer rescue(&i.err)
	i.i.Next()
}

func (i *pebbleIterator) close() (err error) {
	defer rescue(&err)
	// Both say the same if a file is damaged.
	first := damage(i.dir, i.i.Error())
	if cerr := i.i.Close(); first == nil {
		first = damage(i.dir, cerr)
	}
	return errors.Join(i.err, first)
}

// pebbleBatch remembers an error until it is written.
type pebbleBatch struct {
	b     db.Batch
	room  func() error
	bytes int
	err   error
}

func (b *pebbleBatch) set(key, value []byte) {
	b.bytes += len(key) + len(value)
	if b.err == nil {
		b.err = b.b.Set(key, value)
	}
}

func (b *pebbleBatch) delete(key []byte) {
	b.bytes += len(key)
	if b.err == nil {
		b.err = b.b.Delete(key)
	}
}

func (b *pebbleBatch) size() int { return b.bytes }

func (b *pebbleBatch) write(sync bool) (err error) {
	defer rescue(&err)
	if b.err == nil && b.room != nil {
		b.err = b.room()
	}
	switch {
	case b.err != nil:
		return errors.Join(b.err, b.b.Close())
	case sync:
		return b.b.WriteSync()
	}
	return b.b.Write()
}

// folder makes databases in folders of one folder: CURRENT names the one in use.
type folder struct {
	dir    string
	cfg    Config
	files  vfs.FS // of the databases
	broken func(error)
	lock   *flock.Flock
	inUse  int
	next   int // 0: none
}

const (
	currentFile = "CURRENT"
	lockFile    = "LOCK"
	scratchDir  = "scratch"
)

func newDisks(cfg Config, broken func(error)) (disks, error) {
	switch {
	case cfg.Disk != nil:
		return cfg.Disk.open(), nil
	case cfg.Dir == "":
		return new(inMemory), nil
	}
	f, err := lockFolder(cfg)
	if err != nil {
		return nil, err
	}
	f.broken = broken
	if err := f.find(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// lockFolder takes the folder for this store, before anything in it is looked at.
func lockFolder(cfg Config) (*folder, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	f := &folder{dir: cfg.Dir, cfg: cfg, files: vfs.Default, lock: flock.New(filepath.Join(cfg.Dir, lockFile)), inUse: 1}
	switch ok, err := f.lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock the folder %s: %w", cfg.Dir, err)
	case !ok:
		return nil, fmt.Errorf("%w: %s: another process, or another store of this one, has it open: stop that one first, or give each a folder of its own", ErrLocked, cfg.Dir)
	}
	return f, nil
}

// find finds the database in use, and sweeps the folder.
func (f *folder) find() error {
	b, err := os.ReadFile(filepath.Join(f.dir, currentFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := f.point(f.inUse); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if f.inUse, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil || f.inUse < 1 {
			return fmt.Errorf("%w: %s says %q", ErrCorrupt, filepath.Join(f.dir, currentFile), b)
		}
	}
	return f.sweep()
}

// Discard empties the folder of a store that is not open, whatever is in it: the next
// [Open] makes a store that is empty. It is for a folder that cannot be opened any more,
// or whose disk is not trusted; the state then comes from a snapshot or from other
// replicas. The error wraps [ErrLocked] if the store is open.
func Discard(dir string) (err error) {
	f, err := lockFolder(Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	// Under a name that is new, so that a crash does not leave half of the old.
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			f.inUse = max(f.inUse, n+1)
		}
	}
	return errors.Join(f.point(f.inUse), f.sweep())
}

func (f *folder) path(n int) string { return filepath.Join(f.dir, strconv.Itoa(n)) }

// sweep removes what a crash left.
func (f *folder) sweep() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if e.Name() == scratchDir || err == nil && n != f.inUse {
			if err := os.RemoveAll(filepath.Join(f.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// point makes n the one in use, durably.
func (f *folder) point(n int) error {
	name := filepath.Join(f.dir, currentFile)
	tmp, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(tmp, n)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	return errors.Join(syncFolder(f.files, f.dir), syncFolder(f.files, filepath.Dir(f.dir)))
}

func (f *folder) current() (database, error) {
	return f.open(f.path(f.inUse))
}

func (f *folder) again() (database, error) {
	return openPebbleAs(f.path(f.inUse), &f.cfg, f.files, f.broken, true)
}

func (f *folder) fresh() (database, error) {
	f.next = f.inUse + 1
	if err := os.RemoveAll(f.path(f.next)); err != nil {
		return nil, err
	}
	return f.open(f.path(f.next))
}

func (f *folder) scratch() (database, error) {
	dir := filepath.Join(f.dir, scratchDir)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return f.open(dir)
}

func (f *folder) adopt() error {
	if err := errors.Join(syncFolder(f.files, f.path(f.next)), f.point(f.next)); err != nil {
		return err
	}
	f.inUse, f.next = f.next, 0
	return nil
}

func (f *folder) drop() error { f.next = 0; return f.sweep() }

// close lets others have the folder.
func (f *folder) close() error { return f.lock.Close() }
