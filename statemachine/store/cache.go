package store

import "sync"

// generations is a cache of at most about limit bytes. What is used moves to the young
// generation, and when that is half the limit it becomes the old one, and the old one
// goes.
type generations[K comparable, V any] struct {
	limit      int
	size       func(k *K, v *V) int
	young, old map[K]V
	bytes      int // of the young one
}

func newGenerations[K comparable, V any](limit int, size func(k *K, v *V) int) *generations[K, V] {
	return &generations[K, V]{limit: limit, size: size, young: make(map[K]V)}
}

func (c *generations[K, V]) get(k K) (V, bool) {
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			c.put(k, v)
		}
	}
	return v, ok
}

// put replaces what was there.
func (c *generations[K, V]) put(k K, v V) {
	size := c.size(&k, &v)
	if c.bytes+size > c.limit/2 {
		c.old, c.young, c.bytes = c.young, make(map[K]V), 0
	}
	if was, there := c.young[k]; there {
		c.bytes -= c.size(&k, &was)
	}
	c.bytes += size
	c.young[k] = v
}

func (c *generations[K, V]) drop(k K) {
	if was, there := c.young[k]; there {
		c.bytes -= c.size(&k, &was)
		delete(c.young, k)
	}
	delete(c.old, k)
}

// nodeBytes is about what a node in memory takes beside its encoding.
const nodeBytes = 96

// nodeCache keeps encoded nodes of the database in memory, for any number of goroutines.
type nodeCache struct {
	mu    sync.Mutex
	nodes *generations[nodeID, string]
}

func newNodeCache(limit int) *nodeCache {
	return &nodeCache{nodes: newGenerations(limit, func(_ *nodeID, enc *string) int { return len(*enc) + nodeBytes })}
}

// get returns "" if the node is not there.
func (c *nodeCache) get(id *nodeID) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	enc, _ := c.nodes.get(*id)
	return enc
}

func (c *nodeCache) add(id *nodeID, enc string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes.put(*id, enc)
}

// drop forgets a node that nobody will ask for any more.
func (c *nodeCache) drop(id *nodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes.drop(*id)
}

// newRecordCache keeps last records that are in the database, for the goroutine that the
// store belongs to.
func newRecordCache(limit int) *generations[string, record] {
	return newGenerations(limit, func(key *string, r *record) int { return len(*key) + len(r.value) + recordBytes })
}
