package pbft

// While there is room in the pool anybody may use it. When it is full, the clients of
// whom something waits are entitled to equal shares of it: a request that leaves its
// client within its share takes the place of the newest requests of whoever has the
// most, and any other is refused. What is displaced may be sent again.
//
// Who stays within its share is thus never refused because of what others sent. For
// let n clients, the newcomer's among them, have a share of s = max/n bytes each, and
// let the newcomer's hold at most s with the new request. If that does not fit, the
// n-1 others hold more than max-s >= (n-1)*s, so one of them holds more than s: the one
// with the most, which is found on top of a heap. So nobody is displaced who is within
// his share, and nothing is displaced in vain. One insertion costs O(log n), and as
// much again for each request that it displaces, which was inserted once.
//
// Requests are counted by bytes only: the least size of a request makes that a bound on
// their number too. What was proposed lies in blocks anyway and is not counted, so a
// primary's full pipeline is nobody's loss.

// makeRoom displaces what it takes for size bytes more of c, which is nil for a client
// of whom nothing is here; false if c is not entitled to it.
func (p *pool) makeRoom(c *poolClient, size int) bool {
	n, mine := len(p.heap), size
	if c != nil {
		mine += c.bytes
	}
	if mine == size {
		n++
	}
	if mine > p.maxBytes/n {
		return false
	}
	for p.bytes+size > p.maxBytes {
		q := p.heap[0].waiting.tail.of
		p.drop(q)
		p.displaced = append(p.displaced, q.request)
	}
	return true
}

// The heap is binary, of clients by bytes waiting, and each knows its place.

func (p *pool) enrol(c *poolClient) {
	c.rank = len(p.heap)
	p.heap = append(p.heap, c)
	p.grown(c)
}

func (p *pool) strike(c *poolClient) {
	end := len(p.heap) - 1
	last := p.heap[end]
	p.heap[end] = nil
	p.heap = p.heap[:end]
	if last == c {
		return
	}
	p.heap[c.rank], last.rank = last, c.rank
	p.grown(last)
	p.shrunk(last)
}

// grown moves c up as far as it belongs.
func (p *pool) grown(c *poolClient) {
	for c.rank > 0 {
		up := p.heap[(c.rank-1)/2]
		if up.bytes >= c.bytes {
			return
		}
		p.swap(c, up)
	}
}

// shrunk moves c down as far as it belongs.
func (p *pool) shrunk(c *poolClient) {
	for {
		i := 2*c.rank + 1
		if i >= len(p.heap) {
			return
		}
		if i+1 < len(p.heap) && p.heap[i+1].bytes > p.heap[i].bytes {
			i++
		}
		if p.heap[i].bytes <= c.bytes {
			return
		}
		p.swap(c, p.heap[i])
	}
}

func (p *pool) swap(a, b *poolClient) {
	a.rank, b.rank = b.rank, a.rank
	p.heap[a.rank], p.heap[b.rank] = a, b
}
