package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-bft/parley/statemachine"
	"github.com/stretchr/testify/require"
)

// manual is a clock that a test moves.
func manual(w Sync) (Sync, chan time.Time) {
	ticks := make(chan time.Time)
	w.ticks, w.Timeout = ticks, time.Hour
	return w, ticks
}

// passing has one peer after the other answer, in the order in which they were asked, and
// time pass when nobody is being asked. So it comes out the same each time.
func passing(w Sync) Sync {
	w.Exchange = &inTurn{peers: w.Peers}
	return w
}

// inTurn is a [statemachine.StateExchange] whose peers answer at once, or when a test lets them.
type inTurn struct {
	peers []Peer
	asked []question
	// choose, if not nil, says which question is answered next; -1: none, and time passes.
	choose func(asked []question) int
	most   int // questions that were asked and not answered
}

type question struct {
	peer    int
	request []byte
}

func (x *inTurn) Ask(peer int, request []byte, _ int) {
	x.asked = append(x.asked, question{peer, request})
	x.most = max(x.most, len(x.asked))
}

func (x *inTurn) CallOff(peer int) {
	x.asked = slices.DeleteFunc(x.asked, func(q question) bool { return q.peer == peer })
}

func (x *inTurn) Next() (statemachine.StateEvent, error) {
	i := min(0, len(x.asked)-1)
	if x.choose != nil {
		i = x.choose(x.asked)
	}
	if i < 0 {
		return statemachine.StateEvent{Peer: -1}, nil
	}
	q := x.asked[i]
	x.asked = slices.Delete(x.asked, i, i+1)
	answer, err := x.peers[q.peer].Ask(context.Background(), q.request)
	return statemachine.StateEvent{Peer: q.peer, Answer: answer, Err: err}, nil
}

// A peer that never answers holds up nobody: what it was asked for is given to another
// one when it is late, and it is called off.
func TestSyncWithAPeerThatNeverAnswers(t *testing.T) {
	for _, first := range []bool{true, false} {
		a := storeOf(t, memory(3), 9, numbered(5000, "there"))
		b := storeOf(t, memory(3), 9, numbered(5000, "here"))
		asked := make(chan struct{}, 100)
		released := make(chan error, 100)
		stuck := peerFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
			asked <- struct{}{}
			<-ctx.Done()
			released <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		peers := []Peer{stuck, honest(a), honest(a)}
		if !first {
			peers = []Peer{honest(a), honest(a), stuck}
		}
		want, ticks := manual(wants(t, a, peers...))
		want.Lied = func(int, error) { t.Error("nobody lied") }
		done := make(chan error, 1)
		var stats SyncStats
		go func() {
			var err error
			stats, err = b.Sync(context.Background(), want)
			done <- err
		}()
		<-asked
		for range lateTicks {
			ticks <- time.Time{}
		}
		require.NoError(t, <-done)
		require.Empty(t, asked, "it was asked once")
		require.ErrorIs(t, <-released, context.Canceled, "and called off")
		require.Equal(t, content(t, a), content(t, b))
		require.Equal(t, 5000, stats.Changed)
	}
}

// of is where a peer's question is, -1 if it has none.
func of(asked []question, peer int) int {
	return slices.IndexFunc(asked, func(q question) bool { return q.peer == peer })
}

// While one peer thinks, the others get one request after the other.
func TestSyncDoesNotWaitForASlowPeer(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(20000, "there"))
	b := storeOf(t, memory(3), 9, numbered(20000, "here"))
	const fast, slow = 0, 1
	thinks, meanwhile := false, 0
	want := wants(t, a, honest(a), honest(a))
	want.Exchange = &inTurn{peers: want.Peers, choose: func(asked []question) int {
		if i := of(asked, slow); i >= 0 && !thinks {
			r, err := decodeRequest(asked[i].request)
			thinks = err == nil && len(r.asks) == batchSize // there is more to ask for
		}
		if thinks && meanwhile < 20 {
			meanwhile++
			require.GreaterOrEqual(t, of(asked, slow), 0, "it was called off")
			require.GreaterOrEqual(t, of(asked, fast), 0, "the other one has nothing to do")
			return of(asked, fast)
		}
		return min(0, len(asked)-1)
	}}
	_, err := b.Sync(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, 20, meanwhile)
	require.Equal(t, content(t, a), content(t, b))
}

// Each peer has one request at a time, and all together not more than so many.
func TestSyncIsBoundedInFlight(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(20000, "there"))
	b := storeOf(t, memory(3), 9, numbered(20000, "here"))
	var peers []Peer
	for range 3 * maxJobs {
		peers = append(peers, honest(a))
	}
	want := wants(t, a, peers...)
	x := &inTurn{peers: peers}
	x.choose = func(asked []question) int {
		for i := range asked {
			require.Equal(t, i, of(asked, asked[i].peer), "peer %d has two requests", asked[i].peer)
		}
		return min(0, len(asked)-1)
	}
	want.Exchange = x
	_, err := b.Sync(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.Equal(t, maxJobs, x.most)
}

// Whom a descent asks: a liar never again; one that has nothing only if nobody else is left,
// and not for ever.
func TestWhoIsAsked(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(5000, "there"))
	count := func(n *int, p Peer) Peer {
		return peerFunc(func(ctx context.Context, q []byte) ([]byte, error) { *n++; return p.Ask(ctx, q) })
	}
	silent := peerFunc(func(context.Context, []byte) ([]byte, error) { return nil, nil })
	lying := peerFunc(func(context.Context, []byte) ([]byte, error) { return []byte("lie"), nil })
	gone := errors.New("gone")
	var good, quiet, liar, late int
	b := storeOf(t, memory(3), 9, numbered(5000, "here"))
	want, _ := manual(wants(t, a, count(&quiet, silent), count(&liar, lying), count(&good, honest(a))))
	told := 0
	want.Lied = func(peer int, _ error) { require.Equal(t, 1, peer); told++ }
	_, err := b.Sync(t.Context(), want)
	require.NoError(t, err)
	require.LessOrEqual(t, quiet, 1)
	require.LessOrEqual(t, liar, 1)
	require.Equal(t, liar, told)

	b = storeOf(t, memory(3), 9, numbered(5000, "here"))
	quiet, good = 0, 0
	cut := peerFunc(func(context.Context, []byte) ([]byte, error) { // answers once
		if late++; late == 1 {
			return a.Serve((&request{height: 9, digest: wants(t, a).Digest, asks: []ask{{}}}).encode())
		}
		return nil, gone
	})
	_, err = b.Sync(t.Context(), passing(wants(t, a, count(&good, cut), count(&quiet, silent))))
	require.ErrorIs(t, err, ErrPeers)
	require.GreaterOrEqual(t, good, 1+enoughFails)
	require.LessOrEqual(t, good, 1+3*enoughFails)
	require.GreaterOrEqual(t, quiet, enoughFails)
	require.LessOrEqual(t, quiet, 3*enoughFails)

	b = storeOf(t, memory(3), 9, numbered(5000, "here"))
	want, _ = manual(wants(t, a))
	_, err = b.Sync(t.Context(), want)
	require.ErrorIs(t, err, ErrPeers, "there are none")
}

// fails has a descent hear that peer i gave nothing, for a reason.
func (w *descent) fails(i int, why error) {
	t := &try{peer: i, cancel: func() {}}
	j := &job{tries: []*try{t}}
	w.jobs, w.peers[i].busy = append(w.jobs, j), t
	w.take(&answer{job: j, try: t, err: why})
}

// idleAfter is for how many ticks nobody is to be asked, and who is then.
func (w *descent) idleAfter() (ticks, peer int) {
	for ; ; ticks++ {
		if p, ok := w.idle(); ok {
			return ticks, p
		}
		w.tick()
	}
}

var errSilent = errors.New("no answer")

// Pauses double, up to a bound, and one true answer ends them.
func TestPausesOfPeersThatGiveNothing(t *testing.T) {
	w := newDescent(Sync{Peers: make([]Peer, 2)}, new(SyncStats))
	w.visit = &syncer{s: open(t, memory(0))}
	w.fails(0, errSilent)
	for range 100 {
		_, p := w.idleAfter()
		require.Equal(t, 1, p, "nobody else is asked as long as it gives something")
		w.tick()
	}
	w.fails(0, errSilent)
	for k := range 8 {
		w.fails(1, errNothing)
		w.peers[0].rest = 1000
		ticks, p := w.idleAfter()
		require.Equal(t, restTicks<<min(k, maxRests), ticks)
		require.Equal(t, 1, p)
	}
	w.peers[0].rest = 0
	_, p := w.idleAfter()
	require.Equal(t, 0, p, "it failed less often")
	tr := &try{peer: 1, cancel: func() {}}
	j := &job{tries: []*try{tr}}
	w.peers[1].busy = tr
	w.take(&answer{job: j, try: tr})
	require.Equal(t, peer{}, w.peers[1])
}

// A descent gives up when all have given nothing so often and one of them says that it has
// nothing, and not before: silence alone is no reason.
func TestWhenItIsOfNoUse(t *testing.T) {
	for name, c := range map[string]struct {
		why  [3]error // of each peer; nil lies
		last [3]error
		use  bool
	}{
		"all have nothing":       {why: [3]error{errNothing, errNothing, errNothing}},
		"all are silent":         {why: [3]error{errSilent, errSilent, errSilent}, use: true},
		"one has nothing":        {why: [3]error{errSilent, errNothing, errSilent}},
		"and then it is silent":  {why: [3]error{errSilent, errNothing, errSilent}, last: [3]error{nil, errSilent}, use: true},
		"it had been silent":     {why: [3]error{errSilent, errSilent, errSilent}, last: [3]error{nil, errNothing}},
		"all lie":                {},
		"the honest are silent":  {why: [3]error{errSilent, nil, errSilent}, use: true},
		"the honest has nothing": {why: [3]error{nil, errNothing, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDescent(Sync{Peers: make([]Peer, 3)}, new(SyncStats))
			w.visit = &syncer{s: open(t, memory(0))}
			for k := range enoughFails {
				require.False(t, w.spent(), "after %d failures of each", k)
				for i, why := range c.why {
					if why != nil {
						w.fails(i, why)
					} else if k == enoughFails-1 {
						w.peers[i].lied = true
					}
				}
			}
			for i, why := range c.last {
				if why != nil {
					w.fails(i, why)
				}
			}
			require.Equal(t, !c.use, w.spent())
		})
	}
}

// A peer that was silent gets more time, and so do those who might be asked in its place.
func TestSilentPeersGetMoreTime(t *testing.T) {
	started, release := make(chan struct{}, 1), make(chan struct{})
	stuck := peerFunc(func(context.Context, []byte) ([]byte, error) { started <- struct{}{}; <-release; return nil, nil })
	w := newDescent(Sync{Peers: []Peer{stuck}}, new(SyncStats))
	w.visit, w.post = &syncer{s: open(t, memory(0))}, newPost(t.Context(), w)
	for range 5 {
		w.fails(0, errSilent)
	}
	j := &job{items: []item{{}}}
	w.jobs = append(w.jobs, j)
	w.give(j, 0)
	<-started
	for range lateTicks<<maxSlow - 1 {
		w.tick()
		require.False(t, j.late())
	}
	w.tick()
	require.True(t, j.late())
	close(release)
	w.post.close()
}

// Peers that answer nothing for long, and then do: nothing is given up.
func TestSyncOutlastsSilence(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(5000, "there"))
	b := storeOf(t, memory(3), 9, numbered(5000, "here"))
	var n atomic.Int64
	mute := func(says []byte, why error, from, to int64) Peer {
		return peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
			if k := n.Add(1); k >= from && k < to {
				return says, why
			}
			return a.Serve(q)
		})
	}
	// All are silent; and one has nothing and is alone while the others give a part now and then.
	want := wants(t, a, mute(nil, errSilent, 0, 20), mute(nil, errSilent, 0, 20), mute(nil, errSilent, 0, 20))
	_, err := b.Sync(t.Context(), passing(want))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))

	c := storeOf(t, memory(3), 9, numbered(5000, "here"))
	turns := 0
	slow := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
		if turns++; turns%enoughFails != 0 {
			return nil, errSilent
		}
		return a.Serve(q)
	})
	want = wants(t, a, peerFunc(func(context.Context, []byte) ([]byte, error) { return nil, nil }), slow)
	_, err = c.Sync(t.Context(), passing(want))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, c))
}

// Two peers that are slow in turn: what is late at one is answered by the other, whoever is first,
// and what comes twice counts once.
func TestLateAnswersCountOnce(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(3000, "there"))
	b := storeOf(t, memory(3), 9, numbered(3000, "here"))
	gate := make(chan struct{})
	entered := make(chan int, 2)
	var once [2]sync.Once
	slow := func(i int) Peer {
		return peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
			answer, err := a.Serve(q)
			once[i].Do(func() { entered <- i; <-gate })
			return answer, err
		})
	}
	want, ticks := manual(wants(t, a, slow(0), slow(1)))
	done := make(chan error, 1)
	go func() { _, err := b.Sync(context.Background(), want); done <- err }()
	<-entered // one has the root, the only thing that is to be asked for
	for range lateTicks {
		ticks <- time.Time{}
	}
	<-entered // and so has the other
	close(gate)
	require.NoError(t, <-done)
	require.Equal(t, content(t, a), content(t, b))
}

// A state that is lower than the one here, with records that are younger than it.
func TestSyncToALowerHeight(t *testing.T) {
	there := numbered(300, "v")
	a := storeOf(t, memory(3), 9, there)
	for _, scrub := range []bool{false, true} {
		b := open(t, memory(3))
		for h := uint64(1); h < 20; h++ {
			for i := range 300 {
				if uint64(i)%19 == h-1 {
					b.Block().Set(fmt.Append(nil, "key ", i), []byte("v"))
				}
			}
			b.Block().Set([]byte("more"), fmt.Append(nil, h))
			require.NoError(t, b.Commit(h))
		}
		want := wants(t, a, honest(a))
		want.Scrub = scrub
		stats, err := b.Sync(t.Context(), want)
		require.NoError(t, err)
		require.Equal(t, 1, stats.Changed)
		require.Equal(t, content(t, a), content(t, b))
		v, err := b.At(9)
		require.NoError(t, err)
		for h := uint64(10); h < 13; h++ {
			b.Block().Set([]byte("key 7"), fmt.Append(nil, h))
			require.NoError(t, b.Commit(h))
		}
		require.NoError(t, b.Flush()) // so that the view has to look at what the records say
		require.Equal(t, there.seq(nil, nil, false), entries(v.Range(nil, nil)))
		for _, k := range []string{"key 7", "key 12"} { // written at 8 and at 13
			got, ok := v.Get([]byte(k))
			require.True(t, ok)
			require.Equal(t, "v", string(got))
		}
	}
}

// When enough has come for once, what is late is not waited for, and what is not is.
func TestEnoughDoesNotWaitForWhatIsLate(t *testing.T) {
	var called []int
	w := newDescent(Sync{Peers: make([]Peer, 3)}, new(SyncStats))
	w.visit = &syncer{s: open(t, memory(0)), bytes: 1 << 40}
	for i := range w.peers {
		tr := &try{peer: i, cancel: func() { called = append(called, i) }, ticks: 1 - i%2}
		w.peers[i].busy = tr
		w.jobs = append(w.jobs, &job{tries: []*try{tr}})
	}
	w.tick()
	require.Equal(t, []int{0, 2}, called)
	require.Len(t, w.jobs, 1)
	require.Equal(t, 1, w.jobs[0].tries[0].peer)
}

// A peer whose request was called off because another one was faster is asked again.
func TestCalledOffIsNoFault(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(20000, "there"))
	b := storeOf(t, memory(3), 9, numbered(20000, "here"))
	const slow, other = 0, 1
	ticks, first, answered := 0, true, 0
	want := wants(t, a, honest(a), honest(a))
	want.Exchange = &inTurn{peers: want.Peers, choose: func(asked []question) int {
		switch {
		case first && of(asked, other) < 0: // until it is late, and the other one is asked as well
			ticks++
			return -1
		case first:
			first = false
			return of(asked, slow)
		case len(asked) > 0 && asked[0].peer == other:
			answered++
		}
		return min(0, len(asked)-1)
	}}
	_, err := b.Sync(context.Background(), want)
	require.NoError(t, err)
	require.Equal(t, lateTicks, ticks)
	require.Greater(t, answered, 5)
	require.Equal(t, content(t, a), content(t, b))
}

// Answers that are true of the state, and not of what was asked for.
func TestWrongParts(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(300, "there"))
	serve := func(q *request) []byte {
		b, err := a.Serve(q.encode())
		require.NoError(t, err)
		return b
	}
	for name, twist := range map[string]func(q *request) []byte{
		"nothing there":  func(q *request) []byte { return []byte{0, 0, 0, 1, answerNone} },
		"no parts":       func(q *request) []byte { return []byte{0, 0, 0, 0} },
		"always the top": func(q *request) []byte { q.asks = []ask{{}}; return serve(q) },
		"the first for the second": func(q *request) []byte {
			if len(q.asks) > 1 {
				q.asks[1] = q.asks[0]
			}
			return serve(q)
		},
		"another leaf": func(q *request) []byte {
			for i := range q.asks {
				if n := len(q.asks[i].turns); n > 1 {
					q.asks[i].turns[n-1] ^= 1
				}
			}
			return serve(q)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := storeOf(t, memory(3), 9, numbered(300, "here"))
			liar := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
				r, err := decodeRequest(q)
				require.NoError(t, err)
				return twist(r), nil
			})
			want := passing(wants(t, a, liar))
			lies := 0
			want.Lied = func(int, error) { lies++ }
			_, err := b.Sync(t.Context(), want)
			require.ErrorIs(t, err, ErrPeers)
			if name != "no parts" {
				require.Equal(t, 1, lies)
			}
		})
	}
}
