package store

import (
	"errors"
	"fmt"
	"iter"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// loader puts a whole state into a fresh database. The keys come in their own order and
// the tree is built in that of their paths, so they go through a scratch database, which
// sorts them: memory does not depend on the size of the state.
type loader struct {
	s *Store

	db, scratch database // scratch sorts the leaves by their paths
	b, sb       batch
	last        string
	seen        func(path *crypto.Digest) // of each leaf; may be nil
}

// loadBatch is about how many bytes are written at once.
const loadBatch = 4 << 20

func newLoader(s *Store) (l *loader, err error) {
	l = &loader{s: s}
	if l.db, err = s.disks.fresh(); err == nil {
		l.scratch, err = s.disks.scratch()
	}
	if err != nil {
		return nil, errors.Join(s.fail("make a database", err), l.abandon())
	}
	l.b, l.sb = l.db.newBatch(), l.scratch.newBatch()
	return l, nil
}

var errOrder = errors.New("keys out of order")

// entry adds an entry; its key is above that of the one before.
func (l *loader) entry(key string, value []byte) error {
	if key <= l.last {
		return fmt.Errorf("%w at %q", errOrder, key)
	}
	rec := record{value: value}
	l.b.set(lastKey(key), rec.encode())
	l.last = key
	return errors.Join(spill(&l.b, l.db), l.sort(key, value))
}

// sort adds a leaf.
func (l *loader) sort(key string, value []byte) error {
	path, digest := proof.Path([]byte(key)), proof.ValueDigest(value)
	if l.seen != nil {
		l.seen(&path)
	}
	l.sb.set(path[:], append(digest[:], key...))
	return spill(&l.sb, l.scratch)
}

// finish builds the tree, whose seal h gets, and returns its digest.
func (l *loader) finish(h head) (d crypto.Digest, err error) {
	if err := l.sb.write(false); err != nil {
		return d, err
	}
	root, err := l.tree(h.version)
	if err != nil {
		return d, err
	}
	h.seals = []seal{{h.last, h.version, root}}
	l.b.set([]byte{spaceHead}, h.encode())
	return proof.StateDigest(rootOf(root)), l.b.write(true)
}

// loaded is the head of a state that was loaded as that of a height, if begun is set.
func loaded(height uint64, begun bool) head {
	return head{begun: begun, last: height, oldest: height, version: 1}
}

// spill writes a batch that is large enough.
func spill(b *batch, db database) error {
	if (*b).size() < loadBatch {
		return nil
	}
	err := (*b).write(false)
	*b = db.newBatch()
	return err
}

func (l *loader) tree(version uint64) (root *child, err error) {
	build := builder{version: version, emit: func(id *nodeID, n *node) error {
		l.b.set(id.key(), n.append(nil))
		return spill(&l.b, l.db)
	}}
	it, err := l.scratch.iterate([]byte{0}, nil, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.close()) }()
	for ; it.valid(); it.next() {
		c := child{leaf: true}
		copy(c.place[:], it.key())
		v := it.value()
		c.name = string(v[copy(c.digest[:], v):])
		if err := build.add(c); err != nil {
			return nil, err
		}
	}
	return build.finish()
}

// adopt makes the fresh database the one in use.
func (l *loader) adopt() error {
	s := l.s
	if !s.shut() {
		return errors.Join(ErrClosed, l.abandon())
	}
	defer s.users.open()
	if err := errors.Join(s.db.close(), s.disks.adopt(), l.scratch.close(), s.disks.drop()); err != nil {
		return s.fail("replace the state", err)
	}
	s.flushes.Add(1)
	return s.use(l.db)
}

// abandon forgets what was loaded.
func (l *loader) abandon() error {
	var err error
	for _, db := range []database{l.db, l.scratch} {
		if db != nil {
			err = errors.Join(err, db.close())
		}
	}
	return errors.Join(err, l.s.disks.drop())
}

// Import replaces everything by the entries of seq, which come in ascending order of
// their keys, as the state after the block of a height. It is made for more than fits
// into a block.
func (s *Store) Import(height uint64, seq iter.Seq2[[]byte, []byte]) error {
	if err := s.err(); err != nil {
		return err
	}
	s.block.reset()
	l, err := newLoader(s)
	if err != nil {
		return err
	}
	for k, v := range seq {
		if checkKey(k); err == nil {
			err = l.entry(string(k), v)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		_, err = l.finish(loaded(height, true))
	}
	if err != nil {
		if !errors.Is(err, errOrder) {
			err = s.fail("import", err)
		}
		return errors.Join(err, l.abandon())
	}
	return l.adopt()
}

// clear makes the store an empty one.
func (s *Store) clear() error {
	l, err := newLoader(s)
	if err != nil {
		return err
	}
	if _, err := l.finish(loaded(0, false)); err != nil {
		return errors.Join(s.fail("clear", err), l.abandon())
	}
	return l.adopt()
}
