package store

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// tree is the authenticated side of the store.
type tree struct {
	version uint64              // of the last update
	seals   []seal              // the heights that have a tree, ascending
	dirty   map[string]struct{} // keys that changed since the last one
}

// seal is a height at which somebody asked for the digest.
type seal struct {
	height  uint64
	version uint64 // of the nodes that it has, at most
	root    *child // nil: empty
}

// root is the root of the last sealed tree.
func (t *tree) root() *child {
	if len(t.seals) == 0 {
		return nil
	}
	return t.seals[len(t.seals)-1].root
}

// at returns the seal of a height.
func (t *tree) at(height uint64) (seal, bool) {
	for i := len(t.seals) - 1; i >= 0 && t.seals[i].height >= height; i-- {
		if t.seals[i].height == height {
			return t.seals[i], true
		}
	}
	return seal{}, false
}

// rootOf is the root's digest; that of the empty tree is zero.
func rootOf(c *child) (d crypto.Digest) {
	if c != nil {
		d = c.root()
	}
	return d
}

// seal brings the tree up to date with the last committed state. It panics with a
// *[Failure].
func (s *Store) seal() {
	t := &s.tree
	if n := len(t.seals); n > 0 && t.seals[n-1].height == s.last && len(t.dirty) == 0 {
		return
	}
	entries := make([]entry, 0, len(t.dirty))
	for key := range t.dirty {
		r := (*present)(s).find(key)
		e := entry{path: proof.Path([]byte(key)), name: key, deleted: r.deleted}
		if !r.deleted {
			e.digest = proof.ValueDigest(r.value)
		}
		entries = append(entries, e)
	}
	sortEntries(entries)
	u := update{load: s.mustLoad, version: t.version + 1}
	root := u.run(t.root(), entries)

	s.mu.Lock()
	defer s.mu.Unlock()
	clear(t.dirty)
	t.version++
	t.seals = append(t.seals, seal{s.last, t.version, root})
	s.pend.addNodes(u.made)
	if len(u.stale) > 0 {
		s.pend.noteNodes(s.last, u.stale)
	}
	s.prune()
}

// mustLoad returns an inner node, for the goroutine that the store belongs to and those
// that work for it.
func (s *Store) mustLoad(c *child) *node {
	n, err := s.load(c)
	if err != nil {
		s.stop("read the tree", err)
	}
	return n
}

// load returns an inner node.
func (s *Store) load(c *child) (*node, error) {
	id := c.id()
	if enc, ok := s.pend.nodes[id]; ok {
		return decodeNode(enc, &id.prefix)
	}
	return s.fetch(c, &id)
}

// fetch is load for nodes that are in the database.
func (s *Store) fetch(c *child, id *nodeID) (*node, error) {
	if enc := s.cache.get(id); enc != "" {
		return decodeNode(enc, &id.prefix)
	}
	n, enc, err := s.readNode(c, id)
	if err == nil {
		s.cache.add(id, enc)
	}
	return n, err
}

// readNode reads a node from the database and holds it against its digest.
func (s *Store) readNode(c *child, id *nodeID) (n *node, enc string, err error) {
	return readNode(s.db, c, id)
}

func readNode(db database, c *child, id *nodeID) (n *node, enc string, err error) {
	b, err := db.get(id.key())
	if err != nil {
		return nil, "", err
	}
	name := id.prefix[:(id.digit+1)/2]
	if b == nil {
		return nil, "", fmt.Errorf("%w: node %x of version %d is not there", ErrCorrupt, name, id.version)
	}
	enc = string(b)
	if n, err = decodeNode(enc, &id.prefix); err != nil {
		return nil, "", fmt.Errorf("%w: node %x of version %d: %w", ErrCorrupt, name, id.version, err)
	}
	if err := n.verify(); err != nil {
		return nil, "", fmt.Errorf("%w: node %x of version %d: %w", ErrCorrupt, name, id.version, err)
	}
	if d, _ := n.hash(make([]byte, 0, 1200)); d != c.digest {
		return nil, "", fmt.Errorf("%w: node %x of version %d has digest %v, not %v", ErrCorrupt, name, id.version, d, c.digest)
	}
	return n, enc, nil
}
