package chaos

import "time"

// tail is how much longer a message takes that Network.Tail hits.
const tail = 50

// delay draws how long a message takes on a link; nil is a link of a client.
func (n *network) delay(l *link) time.Duration {
	o := &n.s.opts.Network
	d := o.Delay + n.s.exp(o.Jitter)
	if l != nil && l.stretch > 1 {
		d = time.Duration(float64(d) * l.stretch)
	}
	if n.s.storming && o.Tail > 0 && n.s.rng.Float64() < o.Tail {
		d *= tail
	}
	return d
}

// fate draws when copies of a message arrive: none, one or two.
func (n *network) fate(l *link) (copies [2]time.Duration, many int) {
	o := &n.s.opts.Network
	lossy := n.s.storming
	if !lossy || o.Loss == 0 || n.s.rng.Float64() >= o.Loss {
		copies[many] = n.delay(l)
		many++
	}
	if lossy && o.Duplicate > 0 && n.s.rng.Float64() < o.Duplicate {
		copies[many] = n.delay(l) + 4*n.s.exp(o.Jitter)
		many++
	}
	return copies, many
}

// delayBound is how long a message may take at most once the network is good.
func (o *Options) delayBound() time.Duration {
	return (o.Network.Delay + 5*o.Network.Jitter) * time.Duration(max(o.Network.Uneven, 1))
}
