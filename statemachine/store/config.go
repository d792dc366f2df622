package store

import (
	"fmt"
	"log/slog"
)

// Config says where a store is and what it keeps.
type Config struct {
	// Dir is the folder of the database; it is made if it is not there. Empty keeps
	// everything in memory.
	Dir string
	// Disk, in place of Dir, is a simulated disk.
	Disk *MemoryDisk
	// Keep is how many heights below the last one can still be read, at least: those that
	// [Store.Retain] asks for are kept as well.
	Keep uint64
	// CacheBytes bounds what is kept in memory of what the database holds: three quarters
	// for nodes of the tree, whose upper levels should fit (45 MiB for 10 million keys), one
	// for last values.
	CacheBytes int64
	// FlushBytes is how much of what was committed is kept in memory before it is written
	// to the database. What is overwritten and pruned by then is never written.
	FlushBytes int64

	// FeedBytes and FeedBlocks bound what is kept of the changes of the last blocks, for
	// clients that watch (see "Changes"): so many bytes, of so many blocks that changed
	// something. FeedBytes of 0 keeps nothing. It is a matter of this replica alone.
	FeedBytes  int64
	FeedBlocks uint64

	// Reserve is how many bytes must stay free where Dir is; below, the store fails with
	// ErrDiskFull before the disk is full: 256 MiB. 0 turns the guard off. It is asked
	// before each batch, of about FlushBytes.
	Reserve uint64
	// FreeSpace returns the bytes that are free where dir is; nil asks the system.
	FreeSpace func(dir string) (uint64, error)

	// DatabaseCacheBytes bounds the database's own cache of what it has read.
	DatabaseCacheBytes int64
	// Logger hears what the database complains about; nil hears nothing.
	Logger *slog.Logger

	// syncBytes is about how much of a difference a Sync gathers before it puts it into
	// the database.
	syncBytes int
	// stepBytes is about how much one batch takes back when the store returns to a height, and
	// how much of what is not kept any more goes with one flush, beside FlushBytes.
	stepBytes int
	// disks replaces newDisks in tests.
	disks func(cfg Config, broken func(error)) (disks, error)
}

// onDisk tells whether what was flushed outlives the process.
func (c *Config) onDisk() bool { return c.Dir != "" || c.Disk != nil }

const (
	// MaxKeep is the largest [Config.Keep]: every flush writes the root of each height that
	// is kept, some 60 bytes.
	MaxKeep = 100_000
	// MaxFlushBytes is the largest [Config.FlushBytes]: it is written in one batch, of
	// which the database bears 4 GiB, and one block may come on top.
	MaxFlushBytes = 1 << 30
)

// MaxFeedBlocks is the largest [Config.FeedBlocks].
const MaxFeedBlocks = 1 << 20

// DefaultConfig is a store in memory that keeps the last 128 heights.
func DefaultConfig() Config {
	return Config{
		Keep:       128,
		syncBytes:  32 << 20,
		stepBytes:  8 << 20,
		CacheBytes: 128 << 20, FlushBytes: 8 << 20, DatabaseCacheBytes: 128 << 20,
		FeedBytes: 64 << 20, FeedBlocks: 1 << 17, Reserve: 256 << 20,
	}
}

// Validate names the first field that is out of range, its value and the remedy.
func (c Config) Validate() error {
	switch {
	case c.Dir != "" && c.Disk != nil:
		return fmt.Errorf("%w: Dir is %q, and there is a Disk: give one of them", ErrConfig, c.Dir)
	case c.syncBytes == 0:
		return fmt.Errorf("%w: it is not one that DefaultConfig made: begin with that", ErrConfig)
	case c.Keep > MaxKeep:
		return fmt.Errorf("%w: Keep is %d: set 0 to %d", ErrConfig, c.Keep, MaxKeep)
	case c.CacheBytes < 1<<20 || c.CacheBytes > 1<<40:
		return fmt.Errorf("%w: CacheBytes is %d: set %d to %d", ErrConfig, c.CacheBytes, 1<<20, 1<<40)
	case c.FlushBytes < 1<<10 || c.FlushBytes > MaxFlushBytes:
		return fmt.Errorf("%w: FlushBytes is %d: set %d to %d", ErrConfig, c.FlushBytes, 1<<10, MaxFlushBytes)
	case c.FeedBytes < 0 || c.FeedBytes > 1<<40:
		return fmt.Errorf("%w: FeedBytes is %d: set 0 to %d", ErrConfig, c.FeedBytes, 1<<40)
	case c.FeedBlocks < 1 || c.FeedBlocks > MaxFeedBlocks:
		return fmt.Errorf("%w: FeedBlocks is %d: set 1 to %d", ErrConfig, c.FeedBlocks, MaxFeedBlocks)
	case c.DatabaseCacheBytes < 1<<20 || c.DatabaseCacheBytes > 1<<40:
		return fmt.Errorf("%w: DatabaseCacheBytes is %d: set %d to %d", ErrConfig, c.DatabaseCacheBytes, 1<<20, 1<<40)
	}
	return nil
}
