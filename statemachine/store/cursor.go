package store

import "github.com/tidwall/btree"

// cursor walks over records in ascending or descending order of their names. It panics
// with a *[Failure] if the database fails.
type cursor interface {
	valid() bool
	name() string
	record() record
	next()
	close()
}

// before tells whether a comes before b in a walk.
func before(a, b string, reverse bool) bool { return a != b && (a < b) != reverse }

// mapCursor walks over a tree that does not change.
type mapCursor[V any] struct {
	it       btree.MapIter[string, V]
	from, to string
	open     bool // no upper bound
	reverse  bool
	ok       bool
}

func newMapCursor[V any](m *btree.Map[string, V], from, to []byte, reverse bool) *mapCursor[V] {
	c := &mapCursor[V]{it: m.Iter(), from: string(from), to: string(to), open: to == nil, reverse: reverse}
	switch {
	case !reverse:
		c.ok = c.it.Seek(c.from)
	case c.open:
		c.ok = c.it.Last()
	case c.it.Seek(c.to):
		c.ok = c.it.Prev()
	default:
		c.ok = c.it.Last()
	}
	c.bound()
	return c
}

func (c *mapCursor[V]) bound() {
	if c.ok && (c.reverse && c.it.Key() < c.from || !c.reverse && !c.open && c.it.Key() >= c.to) {
		c.ok = false
	}
}

func (c *mapCursor[V]) valid() bool  { return c.ok }
func (c *mapCursor[V]) name() string { return c.it.Key() }
func (c *mapCursor[V]) entry() V     { return c.it.Value() }
func (c *mapCursor[V]) close()       {}

func (c *mapCursor[V]) next() {
	if c.reverse {
		c.ok = c.it.Prev()
	} else {
		c.ok = c.it.Next()
	}
	c.bound()
}

type recordCursor struct{ *mapCursor[record] }

func (c recordCursor) record() record { return c.entry() }

// dbCursor walks over one space of the database.
type dbCursor struct {
	it   dbIterator
	at   string
	fail func(op string, err error)
	// lenient takes a malformed record for the value that it looks like.
	lenient bool
}

func (c *dbCursor) valid() bool {
	if c.it == nil || !c.it.valid() {
		return false
	}
	if c.at == "" {
		c.at = string(c.it.key()[1:])
	}
	return true
}

func (c *dbCursor) name() string { return c.at }

func (c *dbCursor) record() record {
	r, err := decodeRecord(append([]byte(nil), c.it.value()...))
	if err != nil && !c.lenient {
		c.fail("read", err)
	}
	return r
}

func (c *dbCursor) next() { c.at = ""; c.it.next() }

func (c *dbCursor) close() {
	if c.it == nil {
		return
	}
	err := c.it.close()
	c.it = nil
	if err != nil {
		c.fail("iterate", err)
	}
}

// layered walks over two layers; where both have a name, over has it.
type layered struct {
	over, under cursor
	reverse     bool
}

func (c *layered) valid() bool { return c.over.valid() || c.under.valid() }

// upper tells whether the walk is at over's.
func (c *layered) upper() bool {
	return c.over.valid() && (!c.under.valid() || !before(c.under.name(), c.over.name(), c.reverse))
}

func (c *layered) top() cursor {
	if c.upper() {
		return c.over
	}
	return c.under
}

func (c *layered) name() string   { return c.top().name() }
func (c *layered) record() record { return c.top().record() }

func (c *layered) next() {
	if !c.upper() {
		c.under.next()
		return
	}
	if c.under.valid() && c.under.name() == c.over.name() {
		c.under.next()
	}
	c.over.next()
}

func (c *layered) close() {
	defer c.under.close()
	c.over.close()
}

// earlier walks over the keys in a walk over the history, with what each had at a
// height, where it has changed since.
type earlier struct {
	history cursor
	height  uint64
	fail    func(op string, err error)

	ok  bool
	key string
	rec record
}

// newEarlier takes over history.
func newEarlier(history cursor, height uint64, fail func(string, error)) *earlier {
	c := &earlier{history: history, height: height, fail: fail}
	c.next()
	return c
}

func (c *earlier) valid() bool    { return c.ok }
func (c *earlier) name() string   { return c.key }
func (c *earlier) record() record { return c.rec }
func (c *earlier) close()         { c.history.close() }

// next finds the next key's entry of the lowest height above that of the walk.
func (c *earlier) next() {
	c.ok = false
	lowest := uint64(0)
	for ; c.history.valid(); c.history.next() {
		key, height, err := splitHistoryName([]byte(c.history.name()))
		if err != nil {
			c.fail("read", err)
		}
		switch {
		case c.ok && key != c.key:
			return
		case height <= c.height, c.ok && height > lowest:
		default:
			c.ok, c.key, c.rec, lowest = true, key, c.history.record(), height
		}
	}
}

// asOf walks over what the keys had at a height: their last record if that is not
// younger, else what the history says.
type asOf struct {
	last    cursor
	earlier cursor
	height  uint64
	reverse bool
	// lost is called where a younger record has no history.
	lost func(key string)

	ok  bool
	key string
	rec record
}

func newAsOf(last, earlier cursor, height uint64, reverse bool, lost func(string)) *asOf {
	c := &asOf{last: last, earlier: earlier, height: height, reverse: reverse, lost: lost}
	c.next()
	return c
}

func (c *asOf) valid() bool    { return c.ok }
func (c *asOf) name() string   { return c.key }
func (c *asOf) record() record { return c.rec }

func (c *asOf) close() {
	defer c.earlier.close()
	c.last.close()
}

func (c *asOf) next() {
	for c.ok = false; !c.ok && (c.last.valid() || c.earlier.valid()); {
		c.step()
	}
}

// step looks at one key.
func (c *asOf) step() {
	if !c.last.valid() || c.earlier.valid() && before(c.earlier.name(), c.last.name(), c.reverse) {
		c.take(c.earlier.name(), c.earlier.record())
		c.earlier.next()
		return
	}
	key, r := c.last.name(), c.last.record()
	c.last.next()
	same := c.earlier.valid() && c.earlier.name() == key
	switch {
	case r.height <= c.height:
		c.take(key, r)
	case same:
		c.take(key, c.earlier.record())
	default:
		c.lost(key)
	}
	if same {
		c.earlier.next()
	}
}

func (c *asOf) take(key string, r record) {
	c.ok, c.key, c.rec = !r.deleted, key, r
}
