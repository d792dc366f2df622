package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// descent compares a certified tree, which peers have, with the one that is here, and tells
// a visitor where they differ. It begins at the roots and goes down where digests differ,
// so it asks for little more than what differs. Each part is checked as it comes, against
// the digest that its parent has for it.
type descent struct {
	want  Sync
	stats *SyncStats
	load  func(c *child) *node // of the tree here; panics with a *[Failure]
	visit visitor

	todo []item // the next one is the last
	// assembly is the long value that is being put together, nil if there is none.
	assembly *assembly
	peers    []peer
	next     int   // the peer whose turn it is
	why      error // what the last peer said that gave nothing
	jobs     []*job
	post     post
}

// visitor is told what a descent finds: each key at which the trees differ is in one call
// of absent or of leaf. All calls come from one goroutine.
type visitor interface {
	// absent: the leaves at and below c are here and not there.
	absent(c *child)
	// leaf: what is there is not what is here under the same key, if anything is. The
	// value is given if it came along (known); else the result says whether to ask for it.
	leaf(here, there *child, value []byte, known bool) (ask bool)
	// value is the one of a leaf for which leaf has asked.
	value(there *child, value []byte)
	// same tells whether to pass over what is the same here and there.
	same(c *child) bool
	// skip tells whether to pass over everything whose path is not below low.
	skip(low *crypto.Digest) bool
	// full tells that it is enough for once.
	full() bool
}

// item is a part of the tree that is wanted.
type item struct {
	turns  []byte        // where it is there: the digit at each node on the way
	digest crypto.Digest // of an inner node; that of the top is not known
	leaf   *child        // or the leaf whose value is wanted
	here   *child        // what has the same keys here, as far as any has
	low    crypto.Digest // no path at or below it is less
	held   *held         // a part whose place this one tells
	long   *pieceList    // what the leaf's value is made of, once that is known
	piece  int           // the number of the piece that is wanted, from 1 on
}

// held is a part that is there, whose place is not known yet.
type held struct {
	item item
	part part
}

func (it *item) top() bool { return len(it.turns) == 0 }

// withValues: a part that has nothing here comes with its values.
func (it *item) withValues() bool { return it.here == nil && it.leaf == nil && it.held == nil }

var (
	errNothing = errors.New("it does not have that")
	errPart    = errors.New("a part of the state is said not to be there")
)

const (
	// batchSize is how many parts one request is for.
	batchSize = 256
	// maxJobs is how many requests are under way.
	maxJobs = 16
)

func newDescent(want Sync, stats *SyncStats) *descent {
	if want.Timeout == 0 {
		want.Timeout = 10 * time.Second
	}
	return &descent{want: want, stats: stats, peers: make([]peer, len(want.Peers)), why: errNothing}
}

// run walks from the root, or as far as the visitor wants to know at once.
func (w *descent) run(ctx context.Context, here *child) (done bool, err error) {
	w.todo, w.jobs, w.assembly = nil, nil, nil
	if w.want.Digest == proof.StateDigest(crypto.Digest{}) {
		if here != nil {
			w.visit.absent(here)
		}
		return !w.visit.full(), nil
	}
	if here != nil && w.want.Digest == proof.StateDigest(rootOf(here)) && w.visit.same(here) {
		return true, nil
	}
	w.todo = []item{{here: here}}
	return w.ask(ctx)
}

// check tells whether a part is what was asked for.
func (w *descent) check(it *item, p *part) error {
	switch {
	case p.kind == answerNone:
		return errPart
	case it.piece > 0:
		if !it.isPiece(p) {
			return fmt.Errorf("not piece %d of the value of key %x", it.piece, it.leaf.name)
		}
	case p.kind == answerPiece:
		return fmt.Errorf("a piece of a value, where none was asked for")
	case it.leaf != nil:
		if !p.isLeaf() || p.leaf != *it.leaf {
			return fmt.Errorf("not the leaf of key %x", it.leaf.name)
		}
	case it.top():
		if got := proof.StateDigest(p.digest()); got != w.want.Digest {
			return fmt.Errorf("a root that makes digest %v", got)
		}
	case p.isLeaf() || p.digest() != it.digest:
		return fmt.Errorf("not the node with digest %v", it.digest)
	}
	return nil
}

// merge compares a part with what is here.
func (w *descent) merge(it *item, p *part) {
	switch {
	case it.piece > 0:
		w.mergePiece(it, p)
	case !p.isLeaf():
		w.stats.Nodes++
		w.node(it, p, p.node.someLeaf())
	case p.kind == answerLong && it.leaf != nil:
		long := *it
		long.long = &pieceList{p.size, p.pieces}
		w.todo = append(w.todo, long)
	case p.kind == answerLong: // the only one, which is asked for by its key now
		w.leaf(it.turns, it.here, &p.leaf, nil, false)
	case it.leaf != nil:
		w.stats.Values++
		w.visit.value(it.leaf, p.val)
	default: // the only one
		w.stats.Values++
		w.leaf(it.turns, it.here, &p.leaf, p.val, true)
	}
}

// someLeaf returns the path of a leaf below n, if it is known.
func (n *node) someLeaf() *crypto.Digest {
	for i := range n.children {
		if n.children[i].leaf {
			return &n.children[i].place
		}
	}
	return nil
}

// node compares an inner node, below which the path at is, with what is here.
func (w *descent) node(it *item, p *part, at *crypto.Digest) {
	if it.held != nil {
		h := it.held
		if at == nil {
			w.probe(it.turns, p, h)
			return
		}
		it, p = &h.item, &h.part
	}
	here, ok := w.align(it.here, &p.node, at)
	if !ok {
		w.probe(it.turns, p, &held{*it, *p})
		return
	}
	low := it.low
	if at != nil {
		low = commonPrefix(at, int(p.node.digit))
	}
	ds := p.node.digits()
	for d, c := range here {
		if c != nil && p.node.present>>d&1 == 0 {
			w.visit.absent(c)
		}
	}
	for i := len(ds) - 1; i >= 0; i-- { // pushed in the opposite order, so that the first is on top
		c, mine := &p.node.children[i], here[ds[i]]
		turns := append(bytes.Clone(it.turns), byte(ds[i]))
		switch {
		case c.leaf:
			w.leaf(turns, mine, c, p.vals[i], p.kind == answerValues)
		case mine != nil && !mine.leaf && mine.digest == c.digest && w.visit.same(mine):
		default:
			w.todo = append(w.todo, item{turns: turns, digest: c.digest, here: mine, low: withDigit(low, int(p.node.digit), ds[i])})
		}
	}
}

// withDigit sets a digit of a prefix whose digits from there on are zero.
func withDigit(p crypto.Digest, at, digit int) crypto.Digest {
	p[at/2] |= byte(digit) << (4 * (1 - at%2))
	return p
}

// align says what is here of each child of n, which is there. What has no place below
// n is absent there. ok is false if that depends on where n is, and at is nil.
func (w *descent) align(c *child, n *node, at *crypto.Digest) (here [16]*child, ok bool) {
	for c != nil {
		if c.leaf || c.digit > n.digit {
			here[merkle.Digit(&c.place, int(n.digit))] = c
			return here, true
		}
		if c.digit < n.digit && at == nil {
			return here, false
		}
		mine := w.load(c)
		if c.digit == n.digit {
			for i, d := range mine.digits() {
				here[d] = &mine.children[i]
			}
			return here, true
		}
		c = w.turn(mine, at)
	}
	return here, true
}

// turn returns the child of n on the way to a path. The others are absent there.
func (w *descent) turn(n *node, path *crypto.Digest) (next *child) {
	for i, d := range n.digits() {
		if d == merkle.Digit(path, int(n.digit)) {
			next = &n.children[i]
		} else {
			w.visit.absent(&n.children[i])
		}
	}
	return next
}

// probe asks for the first child of p, an inner one, as none of its children is a leaf:
// by a leaf below it the place of h is known.
func (w *descent) probe(turns []byte, p *part, h *held) {
	turns = append(bytes.Clone(turns), byte(p.node.digits()[0]))
	w.todo = append(w.todo, item{turns: turns, digest: p.node.children[0].digest, low: h.item.low, held: h})
}

// leaf compares a leaf that is there with what is here.
func (w *descent) leaf(turns []byte, here, there *child, value []byte, known bool) {
	for here != nil && !here.leaf {
		here = w.turn(w.load(here), &there.place)
	}
	if here != nil && here.place != there.place {
		w.visit.absent(here)
		here = nil
	}
	if here != nil && here.digest == there.digest && w.visit.same(here) {
		return
	}
	if known {
		w.stats.Values++
	}
	if w.visit.leaf(here, there, value, known) && !known {
		w.todo = append(w.todo, item{turns: turns, leaf: there, low: there.place})
	}
}

// cut takes the next items that are to be asked for.
func (w *descent) cut() *job {
	if w.assembly != nil {
		return w.cutPiece()
	}
	var items []item
	for len(w.todo) > 0 && len(items) < batchSize {
		it := w.todo[len(w.todo)-1]
		if it.long != nil && len(items) > 0 {
			break
		}
		w.todo = w.todo[:len(w.todo)-1]
		switch {
		case w.visit.skip(&it.low):
		case it.long != nil:
			w.begin(it)
			return w.cutPiece()
		default:
			items = append(items, it)
		}
	}
	if len(items) == 0 {
		return nil
	}
	j := &job{items: items}
	w.jobs = append(w.jobs, j)
	return j
}

// again puts items back that were not answered.
func (w *descent) again(items []item) {
	for _, it := range slices.Backward(items) {
		if it.piece > 0 {
			w.assembly.todo = append(w.assembly.todo, it.piece-1)
		} else {
			w.todo = append(w.todo, it)
		}
	}
}
