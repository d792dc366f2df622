package main

import (
	"crypto/sha256"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/ethdb/memorydb"
	"github.com/ethereum/go-ethereum/ethdb/pebble"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/ethereum/go-ethereum/trie/trienode"
	"github.com/ethereum/go-ethereum/triedb"
	"github.com/ethereum/go-ethereum/triedb/pathdb"
)

// go-ethereum's trie on its path database, as its clients keep their state. Keys are
// hashed, so there is no order, and values stand in the trie: there is no second index.
func init() {
	systems["geth"] = func(dir string) (system, error) {
		d, err := pebble.New(dir, 128, 1024, "", false)
		if err != nil {
			return nil, err
		}
		disk := rawdb.NewDatabase(d)
		cfg := *pathdb.Defaults
		cfg.TrieCleanSize, cfg.StateCleanSize, cfg.WriteBufferSize = 128<<20, 0, 32<<20
		cfg.StateHistory, cfg.SnapshotNoBuild = keep, true
		return &mpt{disk: disk, db: triedb.NewDatabase(disk, &triedb.Config{PathDB: &cfg}), root: types.EmptyRootHash}, nil
	}
}

type mpt struct {
	disk  ethdb.Database
	db    *triedb.Database
	root  common.Hash
	t     *trie.Trie
	block uint64
}

func place(key []byte) []byte { d := sha256.Sum256(key); return d[:] }

func (m *mpt) open() error {
	if m.t != nil {
		return nil
	}
	var err error
	m.t, err = trie.New(trie.StateTrieID(m.root), m.db)
	return err
}

func (m *mpt) load(n int) error {
	for i := range n {
		if err := m.open(); err != nil {
			return err
		}
		k := key(i, n)
		if err := m.t.Update(place(k), value(k, 0)); err != nil {
			return err
		}
		if i%20_000 == 0 || i == n-1 {
			if _, err := m.commit(0); err != nil {
				return err
			}
		}
	}
	// Else the last 128 of these, for a million keys all, would stay in memory.
	return m.db.Commit(m.root, false)
}

func (m *mpt) get(key []byte) ([]byte, error) {
	if err := m.open(); err != nil {
		return nil, err
	}
	return m.t.Get(place(key))
}

func (m *mpt) set(key, value []byte) {
	if err := m.open(); err != nil {
		panic(err)
	}
	if err := m.t.Update(place(key), value); err != nil {
		panic(err)
	}
}

func (m *mpt) commit(uint64) ([]byte, error) {
	root, nodes := m.t.Commit(false)
	m.t = nil
	if nodes == nil {
		return root[:], nil
	}
	m.block++
	err := m.db.Update(root, m.root, m.block, trienode.NewWithNodeSet(nodes), triedb.NewStateSet())
	m.root = root
	return root[:], err
}

func (m *mpt) proof(key []byte) ([]byte, error) {
	if err := m.open(); err != nil {
		return nil, err
	}
	set := memorydb.New()
	if err := m.t.Prove(place(key), set); err != nil {
		return nil, err
	}
	if _, err := trie.VerifyProof(m.root, place(key), set); err != nil {
		return nil, err
	}
	var b []byte
	it := set.NewIterator(nil, nil)
	defer it.Release()
	for it.Next() {
		b = append(b, it.Value()...)
	}
	return b, nil
}

func (m *mpt) old(uint64, []byte) (bool, error) { return false, nil }
func (m *mpt) walk([]byte, int) (bool, error)   { return false, nil }

func (m *mpt) close() error {
	if err := m.db.Close(); err != nil {
		return err
	}
	return m.disk.Close()
}
