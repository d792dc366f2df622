package statemachine

import "github.com/parley-bft/parley/crypto"

// Meter counts what the operations of one block read, so that no block costs every replica
// seconds: a short operation may ask for a thousand entries, and a block has room for
// thousands of operations. The unit of work is an entry that is read, and a KiB of what it
// has ([WorkOf]); it takes about a microsecond. An operation has at most [Limits.MaxOpWork],
// and all of a block together [Limits.MaxBlockWork]; but what every operation needs it has
// whatever others do in the same block ([Meter.begin]). What is over either ends as a
// rejection, [CodeTooMuchWork] or [CodeBlockWorked], with nothing changed.
//
// No client has all of a block's work while others want some: it has a quarter, or that of one
// operation if this is more. What is refused counts for the client, too, since it was done.
//
// The count must be the same on all replicas. It is one of what the operation asks for, and
// not of what a replica does for it: what is in a cache counts like what is not.
//
// An application on statemachine/store need not know of it. Others count by [Meter.Take],
// before they change anything. A nil Meter, as that of a block that no executor made, counts
// nothing and permits everything. It belongs to whoever applies the block.
type Meter struct {
	limits *Limits
	block  int64                      // that is left
	taken  map[crypto.PublicKey]int64 // by each client, of the block's
	client crypto.PublicKey           // of the operation at hand
	op     int64                      // that this has taken
	free   int64                      // of these nothing comes out of the block's
	within bool                       // an operation is at hand
	own    bool                       // the application counts itself
}

// clientParts is into how many parts the work of a block is divided: a client has one of them.
const clientParts = 4

// share is what one client may take of the block's work.
func (m *Meter) share() int64 { return max(m.limits.MaxOpWork, m.limits.MaxBlockWork/clientParts) }

// take counts work of the operation at hand, beyond what is free, for its client, and returns
// how much that is.
func (m *Meter) take(work int64) (over int64) {
	before := max(0, m.op-m.free)
	m.op += work
	if over = max(0, m.op-m.free) - before; over > 0 {
		if m.taken == nil {
			m.taken = make(map[crypto.PublicKey]int64)
		}
		m.taken[m.client] += over
	}
	return over
}

// Every operation has freeWork, and one more for so many bytes of its own.
const (
	freeWork      = 16
	freeWorkBytes = 8
)

func (l *Limits) meter() *Meter { return &Meter{limits: l, block: l.MaxBlockWork} }

// WorkOf is what it takes to read an entry of so many bytes, key and value.
func WorkOf(bytes int) int64 { return 1 + int64(bytes)>>10 }

// Meter returns the meter of the block's operations, which may be nil.
func (b *Block) Meter() *Meter { return b.meter }

// begin begins with another operation.
func (m *Meter) begin(op *Op) {
	if m != nil {
		m.client, m.op, m.free, m.within, m.own = op.Client, 0, freeWork+int64(len(op.Data))/freeWorkBytes, true, false
	}
}

// end ends it: what is done between operations is nobody's.
func (m *Meter) end() {
	if m != nil {
		m.within = false
	}
}

// Take counts work of the operation at hand. If that was too much it returns
// [CodeTooMuchWork] or [CodeBlockWorked], and the operation is to be rejected with that.
func (m *Meter) Take(work int64) ResultCode {
	if m == nil || !m.within {
		return CodeOK
	}
	over := m.take(work)
	switch {
	case m.op > m.limits.MaxOpWork:
		return CodeTooMuchWork
	case over > 0 && (over > m.block || m.taken[m.client] > m.share()):
		return CodeBlockWorked
	}
	m.block -= over
	return CodeOK
}

// Charge counts work that was done already, and that cannot be taken back.
func (m *Meter) Charge(work int64) {
	if m != nil && m.within {
		m.block = max(0, m.block-m.take(work))
	}
}

// Exhausted tells whether nothing is left of the block's work, or of the client's share of it.
func (m *Meter) Exhausted() bool {
	return m != nil && m.within && (m.block == 0 || m.taken[m.client] >= m.share())
}

// CountsItself says that the application counts what the operation at hand does: as by gas.
// [Meter.Read] then counts nothing.
func (m *Meter) CountsItself() {
	if m != nil {
		m.own = true
	}
}

// Read is [Meter.Take] of an entry of so many bytes, for the storage of an application.
func (m *Meter) Read(bytes int) ResultCode {
	if m == nil || m.own {
		return CodeOK
	}
	return m.Take(WorkOf(bytes))
}
