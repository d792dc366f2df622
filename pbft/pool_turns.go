package pbft

import "math"

// Clients are served round robin: a block takes one request of each client in turn
// until it is full, and who was served goes to the end of the ring. A client's own
// requests stay in the order in which they came. With c clients waiting and b requests
// to a block, the first of any client is at the latest in the c/b-th block (rounded up)
// that is cut after it came, whatever others send.
//
// The ring turns with the blocks that are proposed, at backups as well, so that the
// next primary goes on about where the last one stopped.

// blockOverhead is what a block's encoding adds to its requests.
const blockOverhead = headerSize + 4 + signatureSize

// peek returns the waiting requests that fit into one block, in turn from every
// client; full when a limit cut them off, emptied when nothing else is left waiting.
// Requests that it comes across and whose deadline lies below now (block time) are
// forgotten: they cannot be executed. It changes no turns; propose does.
func (p *pool) peek(maxBytes, maxRequests int, now Time) (requests []*Request, full, emptied bool) {
	return p.cut(maxBytes, maxRequests, now, math.MaxInt)
}

// cut is peek, but of a client that owes a share or more (pool_debt.go) it takes nothing,
// and if there is one half of congestedBlock is full.
func (p *pool) cut(maxBytes, maxRequests int, now Time, share int) (requests []*Request, full, emptied bool) {
	p.shares.missing = 0
	if p.waiting == 0 {
		return nil, false, true
	}
	b := cut{maxBytes: maxBytes, maxRequests: maxRequests, size: blockOverhead}
	b.requests = make([]*Request, 0, min(p.waiting, maxRequests))
	left := p.cursors[:0]
	fits, held := true, false
	for e := p.turns.head; e != nil && fits; {
		next, c := e.next, e.of // the client leaves the ring if all that it has is late
		c.debt.taken = 0
		if p.owes(c, share) {
			held = true
		} else if q := p.timely(c.waiting.head, now); q != nil {
			if fits = b.take(q.of); fits && q.next != nil {
				left = append(left, q.next)
			}
		}
		e = next
	}
	p.cursors = left
	// Further rounds, among those that have more.
	for len(left) > 0 && fits {
		round := left
		left = left[:0]
		for _, q := range round {
			if p.owes(q.of.client, share) {
				held = true
				continue
			}
			if q = p.timely(q, now); q == nil {
				continue
			}
			if fits = b.take(q.of); !fits {
				break
			}
			if q.next != nil {
				left = append(left, q.next)
			}
		}
	}
	clear(p.cursors)
	full = !fits || len(b.requests) == maxRequests || b.size >= maxBytes
	if held && !full {
		half := congestedBlock/2 - b.size - requestWork*len(b.requests)
		full = half <= 0
		p.shares.missing = max(0, min(half, maxBytes-b.size, requestWork*(maxRequests-len(b.requests))))
	}
	return b.requests, full, fits && !held
}

// mayFill tells whether what waits, late requests included, fills a block: if not, peek
// need not be asked. Whatever peek leaves out for its size would not fit beside the rest.
func (p *pool) mayFill(maxBytes, maxRequests int) bool {
	return p.shares.missing == 0 && (p.waiting >= maxRequests || blockOverhead+p.bytes >= maxBytes)
}

// cut is a block in the making.
type cut struct {
	maxBytes, maxRequests int
	requests              []*Request
	size                  int
}

func (b *cut) take(q *pooled) (fits bool) {
	if len(b.requests) == b.maxRequests || b.size+q.request.Size() > b.maxBytes {
		return false
	}
	b.size += q.request.Size()
	q.client.debt.taken += q.work()
	b.requests = append(b.requests, q.request)
	return true
}

// timely is the first from q on in its client's queue that is not late; the late ones
// before it are forgotten.
func (p *pool) timely(q *joint[pooled], now Time) *joint[pooled] {
	for q != nil && q.of.request.Deadline < now {
		next := q.next
		p.drop(q.of)
		q = next
	}
	return q
}
