package chaos

// maxPast is how many messages of a link are kept to be replayed.
const maxPast = 64

// remember keeps a part of what a link carried, of all its past.
func (n *network) remember(l *link, k *packet) {
	if n.s.opts.Network.Replay == 0 || !n.s.storming {
		return
	}
	if len(l.past) < maxPast {
		l.past = append(l.past, k)
	} else if i := n.s.rng.IntN(4 * maxPast); i < maxPast {
		l.past[i] = k
	}
}

// replayed draws an old message to come again, or nil.
func (n *network) replayed(l *link) *packet {
	if p := n.s.opts.Network.Replay; p == 0 || !n.s.storming || len(l.past) == 0 || n.s.rng.Float64() >= p {
		return nil
	}
	n.s.report.Faults[replayedMessage]++
	n.s.begin(replayedMessage, "")
	return l.past[n.s.rng.IntN(len(l.past))]
}
