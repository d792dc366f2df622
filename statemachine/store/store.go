package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
	"github.com/tidwall/btree"
)

// Config says where a store is and what it keeps.
type Config struct {
	// Dir is the folder of the database; it is made if it is not there. Empty keeps
	// everything in memory.
	Dir string
	// Keep is how many heights below the last one can still be read.
	Keep uint64
}

// DefaultConfig is a store in memory that keeps the last 128 heights.
func DefaultConfig() Config { return Config{Keep: 128} }

// Validate names the first field that is out of range, its value and the remedy.
func (c Config) Validate() error {
	if c.Keep > 1<<32 {
		return fmt.Errorf("%w: Keep is %d: set 0 to %d", ErrConfig, c.Keep, 1<<32)
	}
	return nil
}

// Store is the state of an application. Begin, Commit, Digest, Restore, SetHeight and
// Close belong to one goroutine, and so do transactions; everything else may be called
// from any goroutine at any time.
type Store struct {
	cfg   Config
	block *overlay

	mu      sync.Mutex
	content *btree.Map[string, []byte]
	trie    merkle.Trie
	dirty   map[string]struct{} // about which the trie is out of date
	last    uint64
	begun   bool     // something was committed or restored
	states  []*state // kept, in ascending order of height
	closed  bool
}

// state is the content after a block.
type state struct {
	height  uint64
	content *btree.Map[string, []byte]
	tree    *merkle.View // nil if nobody asked for the digest
}

// Open opens the store, or makes it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		return nil, errors.New("store: on disk: not yet")
	}
	s := &Store{cfg: cfg}
	s.replace(new(btree.Map[string, []byte]))
	s.block = newOverlay((*current)(s))
	return s, nil
}

// replace makes content the state, of unknown height.
func (s *Store) replace(content *btree.Map[string, []byte]) {
	s.content, s.trie, s.last = content, merkle.Trie{}, 0
	s.dirty = make(map[string]struct{})
	content.Scan(func(k string, _ []byte) bool { s.dirty[k] = struct{}{}; return true })
	s.states = []*state{{content: content.Copy()}}
}

// current is what a block begins with.
type current Store

func (c *current) get(key []byte) ([]byte, bool) { return c.content.Get(string(key)) }

func (c *current) cursor(from, to []byte, reverse bool) cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &contentCursor{newMapCursor(c.content.Copy(), from, to, reverse)}
}

type contentCursor struct{ *mapCursor[[]byte] }

func (c *contentCursor) value() []byte { return c.entry() }

// Block returns the transaction of the next block. What it and those within it have
// written is kept by [Store.Commit].
func (s *Store) Block() Txn { return s.block.block() }

// Commit makes what the transaction of the block holds the state after the block of
// the given height, which must be above the last one (heights between have the state of
// the last one). The state before the first block
// may be committed as height 0. Transactions within it that are open are discarded.
func (s *Store) Commit(height uint64) error {
	for len(s.block.levels) > 1 {
		s.block.levels[1].Discard()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.begun && height <= s.last:
		return fmt.Errorf("store: height %d is committed after %d", height, s.last)
	}
	s.block.writes.Scan(func(k string, w write) bool {
		s.dirty[k] = struct{}{}
		if w.deleted {
			s.content.Delete(k)
		} else {
			s.content.Set(k, w.value)
		}
		return true
	})
	s.block.reset()
	s.begun, s.last = true, height
	s.states = append(s.states, &state{height: height, content: s.content.Copy()})
	s.prune()
	return nil
}

// prune lets go of states that are not needed to read a height that is kept.
func (s *Store) prune() {
	oldest := s.last - min(s.cfg.Keep, s.last)
	n := 0
	for n+1 < len(s.states) && s.states[n+1].height <= oldest {
		n++
	}
	s.states = slices.Delete(s.states, 0, n)
}

// Digest is the digest of the last committed state. It costs hashing for the keys that
// changed since it was last asked for, and nothing if it was asked for since the last
// block; proofs are there for the heights at which it was asked for.
func (s *Store) Digest() (crypto.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return crypto.Digest{}, ErrClosed
	}
	st := s.states[len(s.states)-1]
	if st.tree == nil {
		for k := range s.dirty {
			if v, ok := s.content.Get(k); ok {
				s.trie.Set(proof.Path([]byte(k)), proof.ValueDigest(v))
			} else {
				s.trie.Delete(proof.Path([]byte(k)))
			}
		}
		clear(s.dirty)
		st.tree = s.trie.View()
	}
	return proof.StateDigest(st.tree.Root()), nil
}

// Heights returns the oldest and the last height that can be read.
func (s *Store) Heights() (oldest, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heights()
}

func (s *Store) heights() (oldest, last uint64) {
	return max(s.states[0].height, s.last-min(s.cfg.Keep, s.last)), s.last
}

// At returns the state after the block of a height. The error is a *[HeightError] or
// ErrClosed.
func (s *Store) At(height uint64) (*View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, last := s.heights()
	switch {
	case s.closed:
		return nil, ErrClosed
	case height > last:
		return nil, &HeightError{height, oldest, last, ErrFuture}
	case height < oldest:
		return nil, &HeightError{height, oldest, last, ErrPruned}
	}
	i, _ := slices.BinarySearchFunc(s.states, height+1, func(st *state, h uint64) int { return cmp.Compare(st.height, h) })
	return &View{s: s, height: height, st: s.states[i-1]}, nil
}

// Last returns the state after the last block. Before the first block and after
// [Store.Restore], until [Store.SetHeight], its height is 0.
func (s *Store) Last() (*View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	return &View{s: s, height: s.last, st: s.states[len(s.states)-1]}, nil
}

// SetHeight says of which height the state is that was restored.
func (s *Store) SetHeight(height uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.states) == 1 && s.last == 0 {
		s.last, s.states[0].height, s.begun = height, height, true
	}
}

// Close closes the store. Views cannot be read any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// isNew tells whether nothing was ever committed or restored.
func (s *Store) isNew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.begun && s.content.Len() == 0
}
