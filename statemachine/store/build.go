package store

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
)

// builder makes a tree of leaves that come in the order of their paths, in memory for one
// path. It is how a whole state gets its tree.
type builder struct {
	version uint64
	emit    func(id *nodeID, n *node) error

	last *child  // that was added, or nil
	open []level // the nodes on its path, from the top down
	buf  []byte
}

// level is a node that may get more children.
type level struct {
	digit    int
	children []child
}

// add adds a leaf; its path is above that of the one before.
func (b *builder) add(c child) error {
	if b.last != nil {
		part := merkle.FirstDifference(&b.last.place, &c.place)
		cur, err := b.closeTo(part)
		if err != nil {
			return err
		}
		if n := len(b.open); n == 0 || b.open[n-1].digit < part {
			b.open = append(b.open, level{digit: part})
		}
		top := &b.open[len(b.open)-1]
		top.children = append(top.children, cur)
	}
	b.last = &c
	return nil
}

// closeTo ends the nodes that part below a digit, and returns what stands there.
func (b *builder) closeTo(digit int) (child, error) {
	cur := *b.last
	for n := len(b.open); n > 0 && b.open[n-1].digit > digit; n = len(b.open) {
		l := b.open[n-1]
		b.open = b.open[:n-1]
		n := &node{digit: uint8(l.digit), children: append(l.children, cur)}
		for i := range n.children {
			n.present |= 1 << merkle.Digit(&n.children[i].place, l.digit)
		}
		cur = child{place: commonPrefix(&n.children[0].place, l.digit), version: b.version, digit: uint8(l.digit)}
		var d crypto.Digest
		d, b.buf = n.hash(b.buf)
		cur.digest = d
		id := cur.id()
		if err := b.emit(&id, n); err != nil {
			return cur, err
		}
	}
	return cur, nil
}

// finish returns the root, or nil if there was no leaf.
func (b *builder) finish() (*child, error) {
	if b.last == nil {
		return nil, nil
	}
	c, err := b.closeTo(-1)
	return &c, err
}
