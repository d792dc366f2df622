package main

import (
	"context"

	"github.com/parley-bft/parley/statemachine/store"
)

func init() {
	systems["parley"] = func(dir string) (system, error) {
		cfg := store.DefaultConfig()
		cfg.Dir, cfg.Keep = dir, keep
		s, err := store.Open(context.Background(), cfg)
		if err != nil {
			return nil, err
		}
		return &parley{s: s}, nil
	}
}

type parley struct{ s *store.Store }

func (p *parley) load(n int) error {
	return p.s.Import(0, func(yield func(k, v []byte) bool) {
		for i := range n {
			if k := key(i, n); !yield(k, value(k, 0)) {
				return
			}
		}
	})
}

func (p *parley) get(key []byte) ([]byte, error) {
	v, ok := p.s.Block().Get(key)
	if !ok {
		return nil, fault("key %x is not there", key)
	}
	return v, nil
}

func (p *parley) set(key, value []byte) { p.s.Block().Set(key, value) }

func (p *parley) commit(height uint64) ([]byte, error) {
	if err := p.s.Commit(height); err != nil {
		return nil, err
	}
	if height%uint64(*every) != 0 {
		return nil, nil
	}
	d, err := p.s.Digest()
	return d[:], err
}

func (p *parley) proof(key []byte) ([]byte, error) {
	v, err := p.s.Last()
	if err != nil {
		return nil, err
	}
	pr, err := v.Prove(key)
	if err != nil {
		return nil, err
	}
	d, err := v.Digest()
	if err != nil {
		return nil, err
	}
	return pr.Encode(), pr.Verify(d, key)
}

func (p *parley) old(height uint64, key []byte) (bool, error) {
	v, err := p.s.At(height)
	if err != nil {
		return true, err
	}
	return true, store.Catch(func() { v.Get(key) })
}

func (p *parley) walk(from []byte, n int) (bool, error) {
	v, err := p.s.Last()
	if err != nil {
		return true, err
	}
	return true, store.Catch(func() {
		for range v.Range(from, nil) {
			if n--; n == 0 {
				return
			}
		}
	})
}

func (p *parley) close() error { return p.s.Close() }
