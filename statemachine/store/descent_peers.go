package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A descent gives each peer one request at a time, and the next one as soon as it has
// answered, so a slow peer holds up nobody but itself. A request that is late is given to
// another peer as well; the first answer that is true counts, and the others are called
// off.

// job is a request that is under way, at one peer or at several.
type job struct {
	items []item
	tries []*try
	done  bool // answered, or given up
}

// try is a job at a peer.
type try struct {
	peer   int
	cancel context.CancelFunc
	ticks  int // since it was sent
}

// lateTicks is for how many ticks a peer may have a request before it is late, and
// ticksPerTimeout how many make the time after which it is given up.
const (
	lateTicks       = 2
	ticksPerTimeout = 16
)

func (t *try) late() bool { return t.ticks >= lateTicks }

// late tells that all who have the job have had it for long.
func (j *job) late() bool {
	for _, t := range j.tries {
		if !t.late() {
			return false
		}
	}
	return true
}

func (j *job) has(peer int) bool {
	return slices.ContainsFunc(j.tries, func(t *try) bool { return t.peer == peer })
}

// answer is what came of a try.
type answer struct {
	job   *job
	try   *try
	parts []part
	lie   error
	err   error
	got   int
}

// peer is what is known of one.
type peer struct {
	state peerState
	busy  *try
}

type peerState uint8

const (
	peerGood   peerState = iota
	peerSilent           // once
	peerOut              // lied, or was silent again
)

// ask asks until nothing is left to be asked for. When it returns nobody is asking.
func (w *descent) ask(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer w.asking.Wait()
	defer cancel()
	w.answers = make(chan *answer, len(w.peers))
	for i := range w.peers {
		w.peers[i].busy = nil
	}
	ticks := w.want.ticks
	if ticks == nil {
		t := time.NewTicker(max(w.want.Timeout/ticksPerTimeout, 1))
		defer t.Stop()
		ticks = t.C
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !w.visit.full() {
			w.assign(ctx)
		}
		switch {
		case len(w.jobs) > 0:
		case w.visit.full():
			return false, nil
		case len(w.todo) == 0:
			return true, nil
		case slices.ContainsFunc(w.peers, func(p peer) bool { return p.busy != nil }): // called off, and back soon
		default:
			return false, fmt.Errorf("%w: %w", ErrPeers, w.why)
		}
		select {
		case a := <-w.answers:
			w.take(a)
		case <-ticks:
			w.tick()
		case <-ctx.Done():
		}
	}
}

// assign gives work to the peers that have none.
func (w *descent) assign(ctx context.Context) {
	for {
		p, ok := w.idle()
		if !ok {
			return
		}
		i := slices.IndexFunc(w.jobs, func(j *job) bool { return j.late() && !j.has(p) })
		var j *job
		switch {
		case i >= 0:
			j = w.jobs[i]
		case len(w.jobs) < maxJobs:
			j = w.cut()
		}
		if j == nil {
			return
		}
		w.next = (p + 1) % len(w.peers)
		w.give(ctx, j, p)
	}
}

// idle returns the next peer that is to be asked: one that was good so far, or one that
// was silent, if no other is left that answers.
func (w *descent) idle() (int, bool) {
	n := len(w.peers)
	wanted := peerSilent
	for i := range w.peers {
		if p := &w.peers[i]; p.state == peerGood && (p.busy == nil || !p.busy.late()) {
			wanted = peerGood
		} else if p.state == peerSilent && p.busy != nil && !p.busy.late() && wanted == peerSilent {
			wanted = peerOut // it is being asked
		}
	}
	if wanted == peerOut {
		return 0, false
	}
	for i := range n {
		if p := (w.next + i) % n; w.peers[p].state == wanted && w.peers[p].busy == nil {
			return p, true
		}
	}
	return 0, false
}

// give sends a job to a peer.
func (w *descent) give(ctx context.Context, j *job, p int) {
	q := request{height: w.want.Height, digest: w.want.Digest}
	for i := range j.items {
		it := &j.items[i]
		// A part that has nothing here comes with its values.
		q.asks = append(q.asks, ask{turns: it.turns, values: it.here == nil && it.leaf == nil && it.held == nil})
	}
	req := q.encode()
	w.stats.Requests++
	w.stats.Sent += int64(len(req))
	ctx, cancel := context.WithTimeout(ctx, w.want.Timeout)
	t := &try{peer: p, cancel: cancel}
	j.tries = append(j.tries, t)
	w.peers[p].busy = t
	w.asking.Go(func() {
		defer cancel()
		w.answers <- w.send(ctx, j, t, req)
	})
}

// send asks and checks the answer.
func (w *descent) send(ctx context.Context, j *job, t *try, req []byte) *answer {
	a := &answer{job: j, try: t}
	b, err := w.want.Peers[t.peer].Ask(ctx, req)
	a.got = len(b)
	switch {
	case err != nil:
		a.err = err
		return a
	case len(b) == 0:
		a.err = errNothing
		return a
	}
	if a.parts, a.lie = decodeAnswer(b, len(j.items)); a.lie != nil {
		return a
	}
	for i := range a.parts {
		if a.lie = w.check(&j.items[i], &a.parts[i]); a.lie != nil {
			return a
		}
	}
	if len(a.parts) == 0 {
		a.err = errNothing
	}
	return a
}

// take takes in an answer; what it does not have is to be asked for again.
func (w *descent) take(a *answer) {
	w.stats.Received += int64(a.got)
	j, p := a.job, &w.peers[a.try.peer]
	p.busy = nil
	j.tries = slices.DeleteFunc(j.tries, func(t *try) bool { return t == a.try })
	switch {
	case a.lie != nil:
		p.state, w.why = peerOut, a.lie
		if w.want.Lied != nil {
			w.want.Lied(a.try.peer, a.lie)
		}
	case a.err == nil:
		p.state = peerGood
		if j.done {
			return
		}
		w.end(j)
		w.again(j.items[len(a.parts):])
		for i := len(a.parts) - 1; i >= 0; i-- {
			w.merge(&j.items[i], &a.parts[i])
		}
		return
	case j.done && !a.try.late(): // called off, and not for its own fault
	default:
		if w.why = a.err; p.state == peerSilent {
			p.state = peerOut
		} else {
			p.state = peerSilent
		}
	}
	if !j.done && len(j.tries) == 0 {
		w.end(j)
		w.again(j.items)
	}
}

// end takes a job off the list and calls off those who still have it.
func (w *descent) end(j *job) {
	j.done = true
	w.jobs = slices.DeleteFunc(w.jobs, func(x *job) bool { return x == j })
	for _, t := range j.tries {
		t.cancel()
	}
}

// tick lets time pass. When it is enough for once, nobody waits for what is late.
func (w *descent) tick() {
	for _, p := range w.peers {
		if p.busy != nil {
			p.busy.ticks++
		}
	}
	if !w.visit.full() {
		return
	}
	for _, j := range slices.Clone(w.jobs) {
		if j.late() {
			w.end(j)
		}
	}
}
