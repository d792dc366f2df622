package store

import (
	"bytes"
	"runtime"
	"slices"
	"sync"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
)

// entry is a key whose leaf changes.
type entry struct {
	path    crypto.Digest
	name    string
	digest  crypto.Digest // of the value
	deleted bool
}

func sortEntries(es []entry) {
	slices.SortFunc(es, func(a, b entry) int { return bytes.Compare(a.path[:], b.path[:]) })
}

// newNode is a node that an update made.
type newNode struct {
	id  nodeID
	enc string
}

// update makes the tree of a version out of that before it. It changes no node: it makes
// new ones along the paths of the entries, and notes which ones these replace.
type update struct {
	load    func(c *child) *node
	version uint64

	made  []newNode
	stale []nodeID
	buf   []byte // scratch memory
	enc   []byte
}

// alone is the number of entries from which on the subtrees of the root are updated each
// on a goroutine of its own.
const alone = 256

// run returns the root of the updated tree, or nil if it is empty. The entries are
// sorted, and each has a path of its own.
func (u *update) run(root *child, es []entry) *child {
	if len(es) == 0 {
		return root
	}
	if root == nil || root.leaf || len(es) < alone || runtime.GOMAXPROCS(0) == 1 {
		return u.at(root, es)
	}
	part := min(merkle.FirstDifference(&root.place, &es[0].path), merkle.FirstDifference(&root.place, &es[len(es)-1].path))
	if part < int(root.digit) {
		return u.at(root, es)
	}
	return u.below(root, es, true)
}

// at returns what c, which may be nil, becomes: nil if nothing is left of it.
func (u *update) at(c *child, es []entry) *child {
	switch {
	case c == nil:
		return u.build(leavesOf(es, nil))
	case c.leaf:
		ls := leavesOf(es, c)
		if len(ls) == 1 && ls[0] == *c {
			return c
		}
		return u.build(ls)
	}
	part := min(merkle.FirstDifference(&c.place, &es[0].path), merkle.FirstDifference(&c.place, &es[len(es)-1].path))
	if part >= int(c.digit) {
		return u.below(c, es, false)
	}
	// Some leave the way to c. A node above it takes them, if any of them stays.
	var children []child
	mine, seen := merkle.Digit(&c.place, part), false
	for len(es) > 0 {
		d, k := group(es, part)
		if !seen && d > mine {
			children, seen = append(children, *c), true
		}
		var now *child
		if d == mine {
			seen = true
			now = u.at(c, es[:k])
		} else {
			now = u.build(leavesOf(es[:k], nil))
		}
		if now != nil {
			children = append(children, *now)
		}
		es = es[k:]
	}
	if !seen {
		children = append(children, *c)
	}
	return u.join(part, children)
}

// group is the digit of the first entry and how many have the same.
func group(es []entry, at int) (digit, n int) {
	digit = merkle.Digit(&es[0].path, at)
	for n = 1; n < len(es) && merkle.Digit(&es[n].path, at) == digit; n++ {
	}
	return digit, n
}

// below returns what the inner node c becomes; all entries are below it.
func (u *update) below(c *child, es []entry, parallel bool) *child {
	n := u.load(c)
	var now [16]*child
	for i := range n.children {
		now[merkle.Digit(&n.children[i].place, int(n.digit))] = &n.children[i]
	}
	before := now
	if parallel {
		u.each(&now, int(n.digit), es)
	} else {
		for len(es) > 0 {
			d, k := group(es, int(n.digit))
			now[d] = u.at(now[d], es[:k])
			es = es[k:]
		}
	}
	changed := false
	children := make([]child, 0, 16)
	for d := range now {
		if was := before[d]; now[d] != was && (now[d] == nil || was == nil || *now[d] != *was) {
			changed = true
		}
		if now[d] != nil {
			children = append(children, *now[d])
		}
	}
	if !changed {
		return c
	}
	u.stale = append(u.stale, c.id())
	return u.join(int(n.digit), slices.Clip(children))
}

// each updates the children of the root side by side. What comes of it does not depend
// on which is ready first.
func (u *update) each(now *[16]*child, digit int, es []entry) {
	var parts [16]update
	var panics [16]any
	var wg sync.WaitGroup
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for len(es) > 0 {
		d, k := group(es, digit)
		mine := es[:k]
		es = es[k:]
		parts[d] = update{load: u.load, version: u.version}
		room <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-room }()
			defer func() { panics[d] = recover() }()
			now[d] = parts[d].at(now[d], mine)
		}()
	}
	wg.Wait()
	for d := range parts {
		if panics[d] != nil {
			panic(panics[d])
		}
		u.made = append(u.made, parts[d].made...)
		u.stale = append(u.stale, parts[d].stale...)
	}
}

// leavesOf returns the leaves that es leaves, and also, unless an entry replaces it.
func leavesOf(es []entry, also *child) []child {
	ls := make([]child, 0, len(es)+1)
	for i := range es {
		e := &es[i]
		if also != nil {
			if order := bytes.Compare(also.place[:], e.path[:]); order <= 0 {
				if order < 0 {
					ls = append(ls, *also)
				}
				also = nil
			}
		}
		if !e.deleted {
			ls = append(ls, child{place: e.path, digest: e.digest, name: e.name, leaf: true})
		}
	}
	if also != nil {
		ls = append(ls, *also)
	}
	return ls
}

// build makes a subtree of leaves, in order; nil if there are none.
func (u *update) build(ls []child) *child {
	if len(ls) < 2 {
		return u.join(0, ls)
	}
	part := merkle.FirstDifference(&ls[0].place, &ls[len(ls)-1].place)
	var children []child
	for len(ls) > 0 {
		k, d := 1, merkle.Digit(&ls[0].place, part)
		for k < len(ls) && merkle.Digit(&ls[k].place, part) == d {
			k++
		}
		children = append(children, *u.build(ls[:k]))
		ls = ls[k:]
	}
	return u.join(part, children)
}

// join makes a node that parts at digit of children, if it needs one.
func (u *update) join(digit int, children []child) *child {
	switch len(children) {
	case 0:
		return nil
	case 1:
		return &children[0]
	}
	n := &node{digit: uint8(digit), children: children}
	for i := range children {
		n.present |= 1 << merkle.Digit(&children[i].place, digit)
	}
	c := &child{place: commonPrefix(&children[0].place, digit), version: u.version, digit: uint8(digit)}
	c.digest, u.buf = n.hash(u.buf)
	u.enc = n.append(u.enc[:0])
	u.made = append(u.made, newNode{c.id(), string(u.enc)})
	return c
}
