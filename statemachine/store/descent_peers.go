package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/statemachine"
)

// A descent gives each peer one request at a time, and the next one as soon as it has
// answered, so a slow peer holds up nobody but itself. A request that is late is given to
// another peer as well; the first answer that is true counts, and the others are called
// off.
//
// A peer may give nothing: it says that it does not have what it is asked for, perhaps not
// yet, or it is silent. It is then asked again after a pause that doubles, a silent one
// with a timeout that doubles, and only while nobody else answers in time. One true answer
// and it is like the others again, unless that is shorter than an honest peer would have cut
// it: of such answers a liar could give one after the other, each just in time, when nobody
// else has anything any more, and the descent would not end for as long as there are parts. It ends without a result ([ErrPeers]) when nobody who
// did not lie is left that gave anything the last few times, and somebody of these says
// that it has nothing. While all of them are silent it does not end: who answers nothing
// cannot be asked for the whole state either, so there is nothing better to do than to wait,
// as long as the caller's context lets it.

// job is a request that is under way, at one peer or at several.
type job struct {
	items []item
	tries []*try
	done  bool // answered, or given up
}

// try is a job at a peer.
type try struct {
	peer   int
	job    *job
	cancel func()
	ticks  int // since it was sent
	slow   int // how often its time was doubled
}

// lateTicks is for how many ticks a peer may have a request before it is late, and
// ticksPerTimeout how many make the time after which it is given up; both double, up to
// maxSlow times, for a peer that was silent. restTicks is the first pause of a peer that
// gave nothing, which doubles maxRests times, and enoughFails after how many times in a
// row it counts as one that has nothing.
const (
	lateTicks       = 2
	ticksPerTimeout = 16
	maxSlow         = 3
	restTicks       = 2
	maxRests        = 4
	enoughFails     = 3
)

func (t *try) late() bool { return t.ticks >= lateTicks<<t.slow }

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
	// short: less of what was asked for came than an honest peer would have sent.
	short bool
}

// peer is what is known of one.
type peer struct {
	busy *try
	lied bool // it is not asked any more
	// fails is how many times in a row it gave nothing, silent how many of the last of them it
	// did not answer, and rest for how many ticks it is left alone.
	fails, silent, rest int
}

// failed notes that a peer gave nothing; said tells that it said so.
func (p *peer) failed(said bool) {
	p.rest = restTicks << min(p.fails, maxRests)
	p.fails++
	if p.silent++; said {
		p.silent = 0
	}
}

// gave notes a true answer.
func (p *peer) gave() { p.fails, p.silent, p.rest = 0, 0, 0 }

// spent tells whether it is of no use to ask on.
func (w *descent) spent() bool {
	honest, absent := false, false
	for i := range w.peers {
		p := &w.peers[i]
		switch {
		case p.lied:
			continue
		case p.fails < enoughFails:
			return false
		}
		honest, absent = true, absent || p.silent == 0
	}
	return absent || !honest
}

// superseded tells whether a later state is wanted, and those who give anything of this one may
// all be liars. As long as others do, it goes on, since it may take longer to ask for the first
// keys than until the next state is wanted.
func (w *descent) superseded() bool {
	select {
	case <-w.want.Superseded:
	default:
		return false
	}
	var giving []int
	for i := range w.peers {
		if p := &w.peers[i]; !p.lied && p.fails == 0 {
			giving = append(giving, i)
		}
	}
	if w.want.MayAllLie != nil {
		return w.want.MayAllLie(giving)
	}
	return len(giving) <= len(w.peers)/3 // of all, with the replica that asks
}

// ask asks until nothing is left to be asked for. When it returns nobody is asking.
func (w *descent) ask(ctx context.Context) (done bool, err error) {
	for i := range w.peers {
		w.peers[i].busy = nil
	}
	w.post = newPost(ctx, w)
	defer w.post.close()
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if w.superseded() {
			return false, statemachine.ErrSuperseded
		}
		if !w.full() && !w.spent() { // whoever still has a request may have what is wanted
			w.assign()
		}
		switch {
		case len(w.jobs) > 0:
		case w.full():
			return false, nil
		case len(w.todo) == 0 && w.assembly == nil:
			return true, nil
		case slices.ContainsFunc(w.peers, func(p peer) bool { return p.busy != nil }): // called off, and back soon
		case w.spent():
			return false, fmt.Errorf("%w: %w", ErrPeers, w.why)
		}
		switch a, err := w.post.next(); {
		case err != nil:
			return false, err
		case a == nil:
			w.tick()
		default:
			w.take(a)
		}
	}
}

// assign gives work to the peers that have none.
func (w *descent) assign() {
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
		w.give(j, p)
	}
}

// idle returns the next peer that is to be asked: one that gave something the last time,
// or, if no such one is left that answers in time, of those that have rested the one that
// failed the least, one at a time.
func (w *descent) idle() (best int, ok bool) {
	trusted, doubtful := false, false // there is one that answers in time, or may
	for i := range w.peers {
		p := &w.peers[i]
		switch {
		case p.lied || p.busy != nil && p.busy.late():
		case p.fails == 0:
			trusted = true
		case p.busy != nil:
			doubtful = true
		}
	}
	if doubtful && !trusted {
		return 0, false
	}
	for i := range w.peers {
		k := (w.next + i) % len(w.peers)
		p := &w.peers[k]
		if p.lied || p.busy != nil || p.rest > 0 || trusted && p.fails > 0 {
			continue
		}
		if !ok || p.fails < w.peers[best].fails {
			best, ok = k, true
		}
	}
	return best, ok
}

// give sends a job to a peer.
func (w *descent) give(j *job, p int) {
	q := request{height: w.want.Height, digest: w.want.Digest}
	for i := range j.items {
		it := &j.items[i]
		a := ask{turns: it.turns, values: it.withValues()}
		if a.piece = it.piece; a.piece > 0 {
			a.digest = it.long.digests[it.piece-1]
		}
		q.asks = append(q.asks, a)
	}
	req := q.encode()
	w.stats.Requests++
	w.stats.Sent += int64(len(req))
	slow := min(w.peers[p].silent, maxSlow)
	t := &try{peer: p, job: j, slow: slow}
	j.tries = append(j.tries, t)
	w.peers[p].busy = t
	w.post.send(t, req)
}

// judge checks what came of a try.
func (w *descent) judge(t *try, b []byte, err error) *answer {
	j := t.job
	a := &answer{job: j, try: t, got: len(b)}
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
	a.short = len(b) < answerBytes && len(a.parts) < len(j.items) && served(j.items, a.parts) < maxServe
	return a
}

// errShort is what is held against a peer that sends true parts, and fewer than it could.
var errShort = errors.New("it gave fewer parts than fit into an answer")

// take takes in an answer; what it does not have is to be asked for again.
func (w *descent) take(a *answer) {
	w.stats.Received += int64(a.got)
	j, p := a.job, &w.peers[a.try.peer]
	p.busy = nil
	j.tries = slices.DeleteFunc(j.tries, func(t *try) bool { return t == a.try })
	switch {
	case a.lie != nil:
		p.lied, w.why = true, a.lie
		if w.want.Lied != nil {
			w.want.Lied(a.try.peer, a.lie)
		}
	case a.err == nil:
		if a.short {
			w.why = errShort
			p.failed(false)
		} else {
			p.gave()
		}
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
		w.why = a.err
		p.failed(errors.Is(a.err, errNothing))
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
	for i := range w.peers {
		p := &w.peers[i]
		p.rest = max(p.rest-1, 0)
		if p.busy != nil {
			p.busy.ticks++
		}
	}
	if !w.full() {
		return
	}
	for _, j := range slices.Clone(w.jobs) {
		if j.late() {
			w.end(j)
		}
	}
}
