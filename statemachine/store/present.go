package store

import (
	"github.com/parley-bft/parley/crypto"
)

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
