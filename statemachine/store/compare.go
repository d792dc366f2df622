package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// compareBytes is how long the values that a comparison lists may be together, those
// here and those there.
const compareBytes = 64 << 20

// Compare lists the first keys, in the order of their hashes, at which the state after
// the block at want.Height differs from a certified one that peers have: at most limit
// (and at most 65536), and no more than 64 MiB of values from either side, unless the first
// one alone is longer. more says that there are others. It changes nothing and may run
// beside everything; while it runs the height is not pruned.
//
// It asks for what differs in the trees, as [Store.Sync] does, and stops as soon as the first
// differences are known. Each value that it lists is held against the digest that
// the tree here has for it. With [Sync.Scrub] it first reads the whole state as
// [Store.Scrub] does, so that a value that was changed beneath the tree, where no digest
// differs, is among the differences.
//
// Errors: a *[HeightError], [ErrIncomplete], [ErrClosed], [ErrPeers], that of ctx; one
// that wraps [ErrCorrupt] if the tree here is damaged, which only [Store.Sync] repairs; a
// *[Failure]. None of them makes the store fail that has not failed before, and one that
// has failed because of damage is compared all the same.
func (s *Store) Compare(ctx context.Context, want Sync, limit int) (differences []statemachine.StateDifference, more bool, stats SyncStats, err error) {
	v, release, err := s.inspectAt(want.Height)
	if err != nil {
		return nil, false, stats, err
	}
	defer release()
	t, err := v.seal()
	if err != nil {
		return nil, false, stats, err
	}
	c := &comparer{v: v, limit: min(max(limit, 0), maxDamages)}
	if want.Scrub {
		if err := c.scrub(ctx); err != nil {
			return nil, false, stats, err
		}
	}
	w := newDescent(want, &stats)
	w.load, w.visit = c.load, c
	failed := Catch(func() {
		if _, err = w.run(ctx, t.root); err == nil {
			differences = c.list()
		}
	})
	if failed != nil {
		err = failed
	}
	return differences, c.more, stats, err
}

// comparer gathers the first differences.
type comparer struct {
	v       *View
	limit   int
	damaged []crypto.Digest // the paths at which the storage changed something, ascending

	found btree.Map[string, difference] // by path
	bytes int                           // of the values there
	// more: nothing from end on is listed, and there is something.
	more bool
	end  crypto.Digest
}

// difference is a key at which the trees differ, or the storage has changed something.
type difference struct {
	key          string
	here         crypto.Digest // of the value, in the tree here
	isHere       bool
	there        []byte
	isThere, got bool // got: the value there is known
}

// load returns a node of the tree here. The store may be closed while peers are asked.
func (c *comparer) load(x *child) *node {
	c.v.enter()
	defer c.v.s.users.leave()
	return c.v.load(x)
}

// scrub has differences begin with what is damaged here.
func (c *comparer) scrub(ctx context.Context) error {
	sc, err := c.v.scrubber(ctx, c.limit)
	if err != nil {
		return err
	}
	if err := sc.run(); err != nil {
		return err
	}
	r := &sc.report
	if len(sc.lost) > 0 {
		err := ErrCorrupt
		if len(r.Damages) > 0 {
			err = r.Damages[0].Err
		}
		return fmt.Errorf("compare the state: %w: let the state be synchronised, which makes the tree anew", err)
	}
	for _, d := range r.Damages {
		c.damaged = append(c.damaged, d.path)
		if d.Kind == UnknownValue { // no leaf leads to it, at least here
			c.note(&d.path, difference{key: string(d.Key)})
		}
	}
	if r.More { // what is behind the last one is not known to be the next
		end := crypto.Digest{}
		if n := len(c.damaged); n > 0 {
			end = c.damaged[n-1]
			for i := len(end) - 1; i >= 0; i-- {
				if end[i]++; end[i] != 0 {
					break
				}
			}
		}
		c.cutAt(end)
	}
	return nil
}

func (c *comparer) cutAt(end crypto.Digest) {
	if !c.more || slices.Compare(end[:], c.end[:]) < 0 {
		c.more, c.end = true, end
	}
}

// note adds a difference, or replaces what is known of it.
func (c *comparer) note(path *crypto.Digest, d difference) {
	if c.skip(path) {
		return
	}
	was, _ := c.found.Set(string(path[:]), d)
	c.bytes += len(d.there) - len(was.there)
	for c.found.Len() > c.limit || c.bytes > compareBytes && c.found.Len() > 1 {
		last, gone, _ := c.found.PopMax()
		c.bytes -= len(gone.there)
		c.cutAt(crypto.Digest([]byte(last)))
	}
}

// absent notes the leaves at and below x, as many as matter.
func (c *comparer) absent(x *child) {
	if c.skip(&x.place) {
		return
	}
	if x.leaf {
		c.note(&x.place, difference{key: x.name, here: x.digest, isHere: true})
		return
	}
	n := c.load(x)
	for i := range n.children {
		c.absent(&n.children[i])
	}
}

func (c *comparer) leaf(here, there *child, value []byte, known bool) bool {
	if c.skip(&there.place) {
		return false
	}
	d := difference{key: there.name, there: value, isThere: true, got: known}
	if here != nil {
		d.here, d.isHere = here.digest, true
	}
	c.note(&there.place, d)
	return true
}

func (c *comparer) value(there *child, value []byte) {
	if d, ok := c.found.Get(string(there.place[:])); ok {
		d.there, d.got = value, true
		c.note(&there.place, d)
	}
}

// same tells whether nothing at and below x is damaged here.
func (c *comparer) same(x *child) bool {
	i, found := slices.BinarySearchFunc(c.damaged, x.place, func(a, b crypto.Digest) int { return slices.Compare(a[:], b[:]) })
	switch {
	case x.leaf:
		return !found
	case i == len(c.damaged):
		return true
	}
	return merkle.FirstDifference(&x.place, &c.damaged[i]) < int(x.digit)
}

func (c *comparer) skip(low *crypto.Digest) bool {
	return c.more && slices.Compare(low[:], c.end[:]) >= 0
}

func (c *comparer) full() bool { return false }

// list adds what is here.
func (c *comparer) list() (out []statemachine.StateDifference) {
	c.v.enter()
	defer c.v.s.users.leave()
	bytes := 0
	c.found.Scan(func(path string, d difference) bool {
		r := c.v.find(d.key)
		if bytes += len(r.value); bytes > compareBytes && len(out) > 0 {
			c.more = true
			return false
		}
		damaged := d.isHere == r.deleted
		if d.isHere && !r.deleted {
			damaged = proof.ValueDigest(r.value) != d.here
		}
		x := statemachine.StateDifference{
			Key: []byte(d.key), There: d.there, IsHere: !r.deleted, IsThere: d.isThere,
			Damaged: damaged, Written: c.v.changed(d.key, r),
		}
		if x.IsHere {
			x.Here = r.value
		}
		out = append(out, x)
		return true
	})
	return out
}
