package main

import (
	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/bloom"
	db "github.com/cometbft/cometbft-db"
)

// The database alone, without a digest, history or proofs: what nothing on it can beat.
func init() {
	systems["pebble"] = func(dir string) (system, error) {
		d, err := openDB(dir)
		return &plain{d: d, writes: make(map[string][]byte)}, err
	}
}

// openDB opens the database with the options that the store uses.
func openDB(dir string) (*db.PebbleDB, error) {
	opts := &pebble.Options{
		Cache: pebble.NewCache(128 << 20), MemTableSize: 32 << 20, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, LBaseMaxBytes: 128 << 20, MaxOpenFiles: 4096,
	}
	opts.Levels = make([]pebble.LevelOptions, 7)
	for i := range opts.Levels {
		l := &opts.Levels[i]
		l.TargetFileSize, l.Compression = 4<<20<<min(i, 3), pebble.NoCompression
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.EnsureDefaults()
	}
	return db.NewPebbleDBWithOpts("plain", dir, opts)
}

type plain struct {
	d      *db.PebbleDB
	writes map[string][]byte
}

func (p *plain) load(n int) error {
	for i := 0; i < n; {
		b := p.d.NewBatch()
		for end := min(n, i+20_000); i < end; i++ {
			k := key(i, n)
			if err := b.Set(k, value(k, 0)); err != nil {
				return err
			}
		}
		if err := b.Write(); err != nil {
			return err
		}
	}
	return nil
}

func (p *plain) get(key []byte) ([]byte, error) { return p.d.Get(key) }
func (p *plain) set(key, value []byte)          { p.writes[string(key)] = value }

func (p *plain) commit(uint64) ([]byte, error) {
	b := p.d.NewBatch()
	for k, v := range p.writes {
		if err := b.Set([]byte(k), v); err != nil {
			return nil, err
		}
	}
	clear(p.writes)
	return nil, b.Write()
}

func (p *plain) proof([]byte) ([]byte, error)     { return nil, nil }
func (p *plain) old(uint64, []byte) (bool, error) { return false, nil }

func (p *plain) walk(from []byte, n int) (bool, error) {
	it, err := p.d.Iterator(from, nil)
	if err != nil {
		return true, err
	}
	for ; n > 0 && it.Valid(); n-- {
		_ = append([]byte(nil), it.Value()...)
		it.Next()
	}
	return true, it.Close()
}

func (p *plain) close() error { return p.d.Close() }
