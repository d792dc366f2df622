package ed25519

import (
	"sync"

	"github.com/parley-bft/parley/crypto"
)

// generations is a bounded map that forgets what has not been used for long: a
// young and an old half. What is used moves to the young one; when that is full
// it becomes the old one, and the old one is forgotten. Compared with an exact
// LRU list, reading what is young takes a shared lock and writes nothing.
type generations[V any] struct {
	half int

	mu    sync.RWMutex
	young map[crypto.PublicKey]V
	old   map[crypto.PublicKey]V
}

func newGenerations[V any](size int) *generations[V] {
	return &generations[V]{half: max(1, size/2), young: make(map[crypto.PublicKey]V)}
}

// get returns the value of key and counts as a use of it.
func (g *generations[V]) get(key crypto.PublicKey) (V, bool) {
	g.mu.RLock()
	v, ok := g.young[key]
	if ok {
		g.mu.RUnlock()
		return v, true
	}
	v, ok = g.old[key]
	g.mu.RUnlock()
	if ok {
		g.put(key, v)
	}
	return v, ok
}

func (g *generations[V]) put(key crypto.PublicKey, v V) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.young[key]; !ok && len(g.young) >= g.half {
		g.old, g.young = g.young, make(map[crypto.PublicKey]V, g.half)
	}
	g.young[key] = v
}

// drop forgets key.
func (g *generations[V]) drop(key crypto.PublicKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.young, key)
	delete(g.old, key)
}
