package pbft

import "math"

// When the cluster is given more than it can do, a block takes as long as there is in
// it, and a client that asks for ten times as much as the others makes them wait for
// it. So while the host says that this is so (Core.SetCongested), clients owe for what
// blocks have of them, and pay a share with each block. Nothing of a client that owes a
// share or more goes into a block.
//
// Thus a client has at least a share of every block as long as something of it waits,
// and on average no more, however much it sends. When only clients that owe wait, the
// others, who had their answers just now, get as long to ask for more as the last block
// took, and a tick; then the one who owes least has one request. Who alone has asked for
// anything lately owes nothing, and no debt holds a client back for longer than a quarter
// of the age that is held against a primary (pool_ages.go).
//
// While they are held back what they have waiting fills no block, so others' requests
// would never be pipelined. A block is full then with half of congestedBlock.
//
// A share is twice what clients have of a block on average, within bounds: so much less
// than what a block may hold is no loss, since the work for a block itself is then small
// beside that for its operations; more than that nobody has because of what others ask.
const (
	// congestedBlock is divided among the clients: a share is up to that, and at least
	// half of it. No share is smaller than leastShare.
	congestedBlock = 512 << 10
	leastShare     = 8 << 10
	// requestWork is what a request costs beside its bytes, in bytes: its signature
	// above all.
	requestWork = 1024
	// recentBlocks is for how many blocks a client counts.
	recentBlocks = 8
)

// shares is what the pool knows of how clients share blocks. It is empty unless the
// cluster is congested.
type shares struct {
	congested bool
	patience  uint64 // ticks after which a debt holds nobody back
	block     uint64 // counts blocks
	usual     int    // what a client has of a block on average, up to a share
	// recent are the clients that had something of a recent block, or owe for it.
	recent series[poolClient]
	// missing is what has to come of clients that owe nothing, at least, before another
	// cut is full, after one that was not since it held debtors back; 0 if not known. With
	// a tick or a block debts change.
	missing int
}

// debt is what a client owes.
type debt struct {
	bytes int
	place joint[poolClient] // among the recent ones
	block uint64            // that it had something of last; 0 for none
	had   int               // of that
	taken int               // of the block that is being cut
}

// work is what a request counts.
func (q *pooled) work() int { return q.request.Size() + requestWork }

// share is what a client may have of one block.
func (p *pool) share() int {
	n := max(p.turns.n, p.shares.recent.n)
	if !p.shares.congested || n <= 1 {
		return math.MaxInt
	}
	most := congestedBlock / n
	return max(min(2*p.shares.usual, most), most/2, leastShare)
}

// owes tells whether c has to wait, with what the block that is being cut has of it.
// A debt that is forgotten after the patience is one of earlier blocks: no client has
// more than a share of this one.
func (p *pool) owes(c *poolClient, share int) bool {
	owed := c.debt.bytes
	if p.now >= p.since(c)+p.shares.patience {
		owed = 0
	}
	return owed+c.debt.taken >= share
}

// leastDebt is what the one owes who owes least of those of whom something waits.
func (p *pool) leastDebt() int {
	least := math.MaxInt - 1
	for e := p.turns.head; e != nil; e = e.next {
		least = min(least, e.of.debt.bytes)
	}
	return least
}

// charge notes that a block has q in it.
func (p *pool) charge(q *pooled) {
	if !p.shares.congested {
		return
	}
	d := &q.client.debt
	if d.block == 0 {
		p.shares.recent.push(&d.place)
	}
	if d.block != p.shares.block {
		d.block, d.had = p.shares.block, 0
	}
	d.had += q.work()
	d.bytes += q.work()
}

// repay lets everybody pay a share: a block was noted.
func (p *pool) repay(share int) {
	s := &p.shares
	if s.recent.n == 0 {
		return
	}
	sum, n := 0, s.recent.n
	for e := s.recent.head; e != nil; {
		next, c := e.next, e.of
		d := &c.debt
		if d.block == s.block {
			sum += min(d.had, share)
		}
		d.bytes = max(0, d.bytes-share)
		if d.bytes == 0 && s.block >= d.block+recentBlocks || !s.congested {
			s.recent.remove(e)
			d.bytes, d.block = 0, 0
			p.forgetClient(c)
		}
		e = next
	}
	s.usual += (sum/n - s.usual) / 8
	s.block++
}

// SetCongested tells whether blocks take much longer than they have to, as the host
// measures it: then no client has more than its share of them. Local: replicas may
// differ.
func (c *Core) SetCongested(yes bool) {
	if s := &c.pool.shares; s.congested != yes {
		s.congested, s.missing = yes, 0
	}
}
