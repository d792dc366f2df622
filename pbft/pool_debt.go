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
// A share is a quarter more than what clients have of a block on average. Of clients that
// ask for the same nobody is held back then: who had less than a share of some blocks may
// have up to creditBlocks shares more of another. A client that asks for much more than the
// others has hardly more than they have. It cannot drag the average up by single large
// requests, since nobody counts for more than a few times of it; and the average does not fall
// because of who is held back, since they count for a share. Where clients ask for little,
// their shares together are leastBlock, so that the work for a block itself does not
// outweigh by much that for what is in it.
const (
	leastBlock   = 64 << 10
	leastShare   = 2 << 10
	creditBlocks = 2
	// firstUsual is what the average begins with.
	firstUsual = 32 << 10
	// countsFor is how many times the average one client counts for at most.
	countsFor = 4
	// congestedBlock is how much a block may well have in a congested cluster.
	congestedBlock = 512 << 10
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
	usual     int    // what a client has of a block on average
	// recent are the clients that had something of a recent block, or owe for it.
	recent series[poolClient]
	// missing is what has to come of clients that owe nothing, at least, before another
	// cut is full, after one that was not since it held debtors back; 0 if not known. With
	// a tick or a block debts change.
	missing int
	// held are the operations that wait of clients that owed a share after the last block.
	held int
}

// debt is what a client owes.
type debt struct {
	bytes int               // negative: it may have more
	place joint[poolClient] // among the recent ones
	block uint64            // that it had something of last; 0 for none
	had   int               // of that
	taken int               // of the block that is being cut
	holds bool              // a share or more was owed after the last block
}

// work is what a request counts.
func (q *pooled) work() int { return q.request.Size() + requestWork }

// share is what a client may have of one block.
func (p *pool) share() int {
	n := max(p.turns.n, p.shares.recent.n)
	if !p.shares.congested || n <= 1 {
		return math.MaxInt
	}
	return max(p.shares.usual+p.shares.usual/4, leastBlock/n, leastShare)
}

// owes tells whether c has to wait, with what the block that is being cut has of it.
// A debt that is forgotten after the patience is one of earlier blocks: no client has
// more than a share of this one.
func (p *pool) owes(c *poolClient, share int) bool {
	owed := c.debt.bytes
	if p.now >= p.since(c)+p.shares.patience {
		owed = min(owed, 0)
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
	most := max(countsFor*s.usual, congestedBlock/n)
	for e := s.recent.head; e != nil; {
		next, c := e.next, e.of
		d := &c.debt
		had := 0
		if d.block == s.block {
			had = min(d.had, most)
		}
		d.pay(share)
		if p.hold(c, d.bytes >= share); d.holds && c.waiting.n > 0 {
			had = share // which it waits for: else shares would shrink because of who is held back
		}
		sum += had
		if d.bytes <= 0 && s.block >= d.block+recentBlocks || !s.congested {
			s.recent.remove(e)
			d.bytes, d.block = 0, 0
			p.hold(c, false)
			p.forgetClient(c)
		}
		e = next
	}
	s.usual += (sum/n - s.usual) / 8
	s.block++
}

// pay takes a share off. Who is alone needs no credit: there is no bound to what he has.
func (d *debt) pay(share int) {
	if share == math.MaxInt {
		d.bytes = 0
		return
	}
	d.bytes = max(d.bytes-share, -creditBlocks*share)
}

// hold notes whether c is held back.
func (p *pool) hold(c *poolClient, yes bool) {
	switch {
	case c.debt.holds == yes:
	case yes:
		p.shares.held += c.operations
	default:
		p.shares.held -= c.operations
	}
	c.debt.holds = yes
}

// SetCongested tells whether blocks take much longer than they have to, as the host
// measures it: then no client has more than its share of them. Local: replicas may
// differ.
func (c *Core) SetCongested(yes bool) {
	p := &c.pool
	s := &p.shares
	if s.congested == yes {
		return
	}
	s.congested, s.missing = yes, 0
	for e := s.recent.head; e != nil && !yes; e = e.next {
		p.hold(e.of, false)
	}
}
