package main

import (
	db "github.com/cometbft/cometbft-db"
	"github.com/cosmos/iavl"
	idb "github.com/cosmos/iavl/db"
)

// IAVL on the same database with the same options; it keeps as many versions.
func init() {
	systems["iavl"] = func(dir string) (system, error) {
		d, err := openDB(dir)
		if err != nil {
			return nil, err
		}
		// As many nodes as take about the memory of the others' caches.
		return &avl{d: d, t: iavl.NewMutableTree(shim{d}, 500_000, false, iavl.NewNopLogger())}, nil
	}
}

// shim is the database as IAVL wants it.
type shim struct{ *db.PebbleDB }

func (s shim) Close() error                               { return nil }
func (s shim) NewBatch() idb.Batch                        { return &shimBatch{s.PebbleDB.NewBatch(), 0} }
func (s shim) NewBatchWithSize(int) idb.Batch             { return s.NewBatch() }
func (s shim) Iterator(a, b []byte) (idb.Iterator, error) { return s.PebbleDB.Iterator(a, b) }
func (s shim) ReverseIterator(a, b []byte) (idb.Iterator, error) {
	return s.PebbleDB.ReverseIterator(a, b)
}

type shimBatch struct {
	db.Batch
	n int
}

func (b *shimBatch) Set(k, v []byte) error     { b.n += len(k) + len(v); return b.Batch.Set(k, v) }
func (b *shimBatch) Delete(k []byte) error     { b.n += len(k); return b.Batch.Delete(k) }
func (b *shimBatch) GetByteSize() (int, error) { return b.n, nil }

type avl struct {
	d    *db.PebbleDB
	t    *iavl.MutableTree
	last int64
}

// load makes a balanced tree of the sorted entries.
func (a *avl) load(n int) error {
	im, err := a.t.Import(1)
	if err != nil {
		return err
	}
	var build func(from, to int) (int8, error)
	build = func(from, to int) (int8, error) {
		if to-from == 1 {
			k := key(from, n)
			return 0, im.Add(&iavl.ExportNode{Key: k, Value: value(k, 0), Version: 1})
		}
		middle := (from + to) / 2
		l, err := build(from, middle)
		if err != nil {
			return 0, err
		}
		r, err := build(middle, to)
		if err != nil {
			return 0, err
		}
		h := max(l, r) + 1
		return h, im.Add(&iavl.ExportNode{Key: key(middle, n), Version: 1, Height: h})
	}
	if _, err := build(0, n); err != nil {
		return err
	}
	if err := im.Commit(); err != nil {
		return err
	}
	a.last, err = a.t.Load() // makes the index of keys, too
	return err
}

func (a *avl) get(key []byte) ([]byte, error) { return a.t.Get(key) }

func (a *avl) set(key, value []byte) {
	if _, err := a.t.Set(key, value); err != nil {
		panic(err)
	}
}

func (a *avl) commit(height uint64) ([]byte, error) {
	d, v, err := a.t.SaveVersion()
	if err != nil {
		return nil, err
	}
	a.last = v
	if old := v - keep; old > 1 && height%16 == 0 {
		err = a.t.DeleteVersionsTo(old)
	}
	return d, err
}

func (a *avl) proof(key []byte) ([]byte, error) {
	p, err := a.t.GetMembershipProof(key)
	if err != nil {
		return nil, err
	}
	if ok, err := a.t.VerifyMembership(p, key); err != nil || !ok {
		return nil, fault("proof: %v", err)
	}
	return p.Marshal()
}

func (a *avl) old(height uint64, key []byte) (bool, error) {
	_, err := a.t.GetVersioned(key, int64(height)+1)
	return true, err
}

func (a *avl) walk(from []byte, n int) (bool, error) {
	it, err := a.t.Iterator(from, nil, true)
	if err != nil {
		return true, err
	}
	for ; n > 0 && it.Valid(); n-- {
		_ = append([]byte(nil), it.Value()...)
		it.Next()
	}
	return true, it.Close()
}

func (a *avl) close() error {
	if err := a.t.Close(); err != nil {
		return err
	}
	return a.d.Close()
}
