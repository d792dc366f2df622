package store

import "sync"

// nodeCache keeps nodes of the database in memory, at most about limit bytes. It has two
// generations: what is used moves to the young one, and when that is half the limit it
// becomes the old one, and the old one goes.
type nodeCache struct {
	limit int

	mu         sync.Mutex
	young, old map[nodeID]*node
	bytes      int // of the young one
}

func newNodeCache(limit int) *nodeCache {
	return &nodeCache{limit: limit, young: make(map[nodeID]*node)}
}

func (c *nodeCache) get(id *nodeID) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.young[*id]
	if n == nil {
		if n = c.old[*id]; n != nil {
			c.put(id, n)
		}
	}
	return n
}

func (c *nodeCache) add(id *nodeID, n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(id, n)
}

func (c *nodeCache) put(id *nodeID, n *node) {
	size := n.bytes() + 128
	if c.bytes+size > c.limit/2 {
		c.old, c.young, c.bytes = c.young, make(map[nodeID]*node, len(c.young)), 0
	}
	if _, there := c.young[*id]; !there {
		c.bytes += size
	}
	c.young[*id] = n
}

// drop forgets nodes that nobody will ask for any more.
func (c *nodeCache) drop(id *nodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.young[*id]; ok {
		c.bytes -= n.bytes() + 128
		delete(c.young, *id)
	}
	delete(c.old, *id)
}
