package client

import "time"

// patience knows how long it takes lately until the first reply comes: not until there are
// enough, which a slow one among those who answer could put off, more and more. A cluster that is given more than it
// can do answers late, and clients that repeat at their usual pace, to all replicas,
// would then load it with little else.
type patience struct{ usual time.Duration }

// took notes how long after the first attempt a first reply came, whichever attempt
// brought it: else a client whose every request is repeated would never learn.
func (p *patience) took(d time.Duration) {
	if p.usual == 0 {
		p.usual = d
		return
	}
	p.usual += (d - p.usual) / 8
}

// lackingAtLeast is for how long replies that are still to come are waited for, at
// least, before more replicas are asked for theirs; lackingAtFirst as long as no outcome
// is known.
const (
	lackingAtLeast = 20 * time.Millisecond
	lackingAtFirst = 100 * time.Millisecond
)

// lacking is how much longer than usual: twice as long. Less would make clients of a busy
// cluster ask for what is on its way.
func (p *patience) lacking() time.Duration {
	if p.usual == 0 {
		return lackingAtFirst
	}
	return max(2*p.usual, lackingAtLeast)
}

// pause is how long to wait after a first attempt: three times as long as usual, but
// not below retry, nor above four times that: a dead primary must be noticed.
func (p *patience) pause(retry, most time.Duration) time.Duration {
	return min(max(retry, min(3*p.usual, 4*retry)), most)
}
