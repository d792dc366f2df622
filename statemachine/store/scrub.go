package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// DamageKind says what is wrong with a part of a store.
type DamageKind uint8

// The kinds of damage.
const (
	// DamagedValue: a key's value is not the one that the tree has a digest of.
	DamagedValue DamageKind = iota + 1
	// MissingValue: the tree has a key that has no value.
	MissingValue
	// UnknownValue: a key has a value, and the tree does not have the key.
	UnknownValue
	// DamagedNode: a node of the tree is not there, or is not the one of which its parent
	// has the digest. What is below it cannot be checked.
	DamagedNode
)

// String names the kind.
func (k DamageKind) String() string {
	switch k {
	case DamagedValue:
		return "value is not the one of the digest"
	case MissingValue:
		return "value is missing"
	case UnknownValue:
		return "value is not in the tree"
	case DamagedNode:
		return "node of the tree is damaged"
	}
	return fmt.Sprintf("damage %d", uint8(k))
}

// Damage is one part of a store that is not what it should be.
type Damage struct {
	Kind DamageKind
	Key  []byte // nil of a node
	Err  error  // of a node: what is wrong with it
	path crypto.Digest
}

// ScrubReport is what a [Store.Scrub] found.
type ScrubReport struct {
	Height        uint64 // of the state that was read
	Nodes, Values int
	Bytes         int64 // of keys and values
	// Damages are in the order of the keys' hashes, nodes first; More says that there are
	// others.
	Damages []Damage
	More    bool
}

// Scrub reads every node and every value of the last state that has a digest, and
// compares them with their digests: with what the database has, not with what is kept
// in memory of it. It changes nothing, may run beside everything, and ends with ctx. It
// lists at most limit damages (and at most 65536).
//
// Damage is not an error of Scrub, nor that the store has failed because of damage; an
// error is a *[HeightError], [ErrIncomplete],
// [ErrClosed], that of ctx, or a *[Failure] if the database cannot be read, because a checksum of
// its own is wrong, say. [Store.Sync] repairs all of it, but for a disk that fails.
//
// It costs one walk over all values and one over all nodes, and as many again as there
// are lists of 65536 damages; 3 MiB of memory for sums, and 10 MiB where
// something is wrong. History is not checked: no digest covers it.
func (s *Store) Scrub(ctx context.Context, limit int) (r ScrubReport, err error) {
	return s.scrub(ctx, limit, nil)
}

// scrub is Scrub that calls rest, if that is not nil, every 1024 values or nodes.
func (s *Store) scrub(ctx context.Context, limit int, rest func(context.Context)) (r ScrubReport, err error) {
	s.mu.RLock()
	height := s.last
	if n := len(s.tree.seals); n > 0 {
		height = s.tree.seals[n-1].height
	}
	s.mu.RUnlock()
	v, release, err := s.inspectAt(height)
	if err != nil {
		return r, err
	}
	defer release()
	sc, err := v.scrubber(ctx, limit)
	if err != nil {
		return r, err
	}
	sc.rest = rest
	err = sc.run()
	r = sc.report
	r.Height = height
	return r, err
}

// scrubber compares all values of a state with all leaves of its tree. The values come
// in the order of their keys and the leaves in that of their paths, so it first compares
// sums: for each of 65536 parts of the paths that over its values with that over its
// leaves. A part whose sums differ is then compared leaf by leaf. So memory does not
// depend on the size of the state, and what is in order is read once.
type scrubber struct {
	ctx   context.Context
	root  *child
	fetch func(c *child) (*node, error) // from the database
	each  func(f func(key string, r record))
	skip  func(key string) bool // nil: no key. Its value and its leaf are passed over
	limit int
	rest  func(context.Context)

	report ScrubReport
	lost   []*child // damaged nodes
	young  uint64   // the greatest height in a record
	salt   [16]byte
	sums   []sum
	counts []int
	buf    []byte
}

const (
	scrubParts = 1 << 16
	// scrubBatch is how many leaves are compared one by one at once.
	scrubBatch = 1 << 16
	// maxDamages is how many damages are listed at most, and maxLost of how many nodes.
	maxDamages = 1 << 16
	maxLost    = 1 << 10
)

// sum is a sum of hashes, lane by lane.
type sum [4]uint64

func newScrubber(ctx context.Context, limit int) *scrubber {
	sc := &scrubber{ctx: ctx, limit: min(max(limit, 0), maxDamages), sums: make([]sum, scrubParts), counts: make([]int, scrubParts)}
	_, _ = rand.Read(sc.salt[:]) // never fails
	return sc
}

// scrubber is for the state of a quiet view.
func (v *View) scrubber(ctx context.Context, limit int) (*scrubber, error) {
	t, err := v.seal()
	if err != nil {
		return nil, err
	}
	sc := newScrubber(ctx, limit)
	sc.root, sc.fetch = t.root, v.inspect
	sc.each = func(f func(key string, r record)) {
		v.enter()
		defer v.s.users.leave()
		c := v.cursor(nil, nil, false)
		v.check()
		defer c.close()
		for ; c.valid(); c.next() {
			if r := c.record(); !r.deleted {
				f(c.name(), r)
			}
		}
	}
	return sc, nil
}

// stopped unwinds a scrub that is cancelled.
type stopped struct{ error }

func (sc *scrubber) poll(n int) {
	if n%1024 == 0 {
		if sc.rest != nil {
			sc.rest(sc.ctx)
		}
		if err := sc.ctx.Err(); err != nil {
			panic(stopped{err})
		}
	}
}

// run scrubs.
func (sc *scrubber) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			s, ok := p.(stopped)
			if !ok {
				panic(p)
			}
			err = s.error
		}
	}()
	return Catch(sc.scrub)
}

func (sc *scrubber) scrub() {
	r := &sc.report
	sc.values(func(key string, rec record) {
		sc.poll(r.Values)
		r.Values++
		r.Bytes += int64(len(key) + len(rec.value))
		sc.young = max(sc.young, rec.height)
		path, digest := proof.Path([]byte(key)), proof.ValueDigest(rec.value)
		sc.counts[part16(&path)]++
		sc.add(&path, &digest, false)
	})
	sc.walk(sc.root, nil, func(c *child) {
		sc.counts[part16(&c.place)]++
		sc.add(&c.place, &c.digest, true)
	}, true)
	if len(sc.lost) > maxLost {
		r.More = true
		return
	}
	bad := make([]bool, scrubParts)
	for i := range sc.sums {
		bad[i] = sc.sums[i] != sum{}
	}
	for _, c := range sc.lost { // what they have below them is not known
		if c.digit <= 4 {
			from := part16(&c.place)
			clear(bad[from : from+1<<(4*(4-int(c.digit)))])
		}
	}
	for from := 0; from < scrubParts && !r.More; {
		batch, n, to := make([]bool, scrubParts), 0, from
		for ; to < scrubParts && (n == 0 || n < scrubBatch); to++ {
			if bad[to] {
				batch[to] = true
				n += sc.counts[to]
			}
		}
		if from = to; n > 0 {
			sc.compare(batch)
		}
	}
}

// values calls f for the values, and walk for the leaves, that are not to be passed over.
func (sc *scrubber) values(f func(key string, rec record)) {
	sc.each(func(key string, rec record) {
		if sc.skip == nil || !sc.skip(key) {
			f(key, rec)
		}
	})
}

// part16 is the part that a path is in.
func part16(path *crypto.Digest) int { return int(path[0])<<8 | int(path[1]) }

// add adds a key with a value to its sum, or takes it away. The salt is why nobody can
// prepare a state whose damage does not show.
func (sc *scrubber) add(path, digest *crypto.Digest, minus bool) {
	b := append(append(append(sc.buf[:0], sc.salt[:]...), path[:]...), digest[:]...)
	h := sha256.Sum256(b)
	sc.buf = b
	s := &sc.sums[part16(path)]
	for i := range s {
		if x := binary.LittleEndian.Uint64(h[8*i:]); minus {
			s[i] -= x
		} else {
			s[i] += x
		}
	}
}

// walk calls f for the leaves in the given parts (nil: all), in the order of their
// paths. Nodes that are damaged are noted the first time.
func (sc *scrubber) walk(c *child, parts []bool, f func(c *child), first bool) {
	switch {
	case c == nil:
		return
	case parts != nil && !wanted(c, parts):
		return
	case c.leaf:
		if sc.skip == nil || !sc.skip(c.name) {
			f(c)
		}
		return
	case len(sc.lost) > maxLost:
		return
	}
	n, err := sc.fetch(c)
	switch {
	case err == nil:
	case !isDamage(err):
		panic(&Failure{Op: "scrub", Err: err})
	case first:
		sc.lost = append(sc.lost, c)
		sc.note(Damage{Kind: DamagedNode, Err: err, path: c.place})
		return
	default:
		return
	}
	if first {
		sc.poll(sc.report.Nodes)
		sc.report.Nodes++
	}
	for i := range n.children {
		sc.walk(&n.children[i], parts, f, first)
	}
}

// wanted tells whether anything at or below c may be in one of the parts.
func wanted(c *child, parts []bool) bool {
	from := part16(&c.place)
	if c.leaf || c.digit >= 4 {
		return parts[from]
	}
	return slices.Contains(parts[from:from+1<<(4*(4-int(c.digit)))], true)
}

func (sc *scrubber) note(d Damage) {
	if len(sc.report.Damages) == sc.limit {
		sc.report.More = true
		return
	}
	sc.report.Damages = append(sc.report.Damages, d)
}

// compare compares the values of some parts with their leaves, one by one.
func (sc *scrubber) compare(parts []bool) {
	leaves := make(map[crypto.Digest]crypto.Digest)
	sc.walk(sc.root, parts, func(c *child) { leaves[c.place] = c.digest }, false)
	var found btree.Map[string, Damage] // by path; one more than may be listed
	n := 0
	add := func(kind DamageKind, key string, path crypto.Digest) {
		found.Set(string(path[:]), Damage{Kind: kind, Key: []byte(key), path: path})
		if found.Len() > sc.limit+1 {
			found.PopMax()
		}
	}
	sc.values(func(key string, rec record) {
		sc.poll(n)
		n++
		path := proof.Path([]byte(key))
		if !parts[part16(&path)] {
			return
		}
		want, known := leaves[path]
		delete(leaves, path)
		switch {
		case known && want != proof.ValueDigest(rec.value):
			add(DamagedValue, key, path)
		case !known && !sc.below(&path):
			add(UnknownValue, key, path)
		}
	})
	if len(leaves) > 0 {
		sc.walk(sc.root, parts, func(c *child) {
			if _, missing := leaves[c.place]; missing {
				add(MissingValue, c.name, c.place)
			}
		}, false)
	}
	found.Scan(func(_ string, d Damage) bool { sc.note(d); return true })
}

// below tells whether a path is below a node that is damaged.
func (sc *scrubber) below(path *crypto.Digest) bool {
	return belowOf(sc.lost, path) >= 0
}

// belowOf is the one of some nodes that a path is below, -1 if there is none. They are in
// the order of their places, and none is below another.
func belowOf(nodes []*child, path *crypto.Digest) int {
	i, found := slices.BinarySearchFunc(nodes, path, func(c *child, path *crypto.Digest) int { return bytes.Compare(c.place[:], path[:]) })
	if !found {
		i--
	}
	if i < 0 || merkle.FirstDifference(&nodes[i].place, path) < int(nodes[i].digit) {
		return -1
	}
	return i
}
