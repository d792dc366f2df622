package client

import (
	"math"
	"time"
)

// packing decides for how long operations that wait are held back, so that more of
// them share a request: each request costs every replica a signature check, and the
// log an entry.
//
// Callers that were answered together ask again together, a moment later. So after an
// outcome the next request waits until about as many operations are there as were
// answered, or until the moment has passed. And while another request is under way,
// requests keep a distance from each other. Both times are a small part of what an
// outcome takes anyway; who calls alone never waits.
//
// Callers in two requests that are answered by turns would stay apart for ever, each
// half too early for the other. So now and then the callers of one wait longer, for
// the outcome of the next, and from then on they are together; few callers do so for
// the sake of many at once.
type packing struct {
	linger  time.Duration // Config.Linger; 0 is a part of the usual time to an outcome
	lastCut time.Time

	answered int       // operations answered lately that were not made up for since
	until    time.Time // how long their callers have to come back
	back     float64   // the part of them that usually does

	outcomes int       // while other requests were under way
	unite    time.Time // until when to wait for the next outcome
}

const (
	// packingPart of the usual time to an outcome is what operations may be held back.
	packingPart = 4
	// lingerAtFirst is the distance while no outcome is known, lingerAtMost the
	// longest in a cluster that is slow, or was.
	lingerAtFirst = time.Millisecond
	lingerAtMost  = 100 * time.Millisecond
	// Callers wait for the outcome of those under way if these are uniteMany times as
	// many, and else after every uniteEvery-th outcome of uniteFrom operations or more.
	uniteMany  = 4
	uniteEvery = 16
	uniteFrom  = 8
	// uniteMoments is for how many moments: outcomes that keep the largest distance
	// from each other come twice in the usual time.
	uniteMoments = 3
)

func newPacking(linger time.Duration) packing { return packing{linger: linger, back: 1} }

// moment is for how long operations are held back at most.
func (k *packing) moment(usual time.Duration) time.Duration {
	switch {
	case k.linger > 0:
		return k.linger
	case usual == 0:
		return lingerAtFirst
	}
	return min(usual/packingPart, lingerAtMost)
}

// outcome notes that n operations were answered, while so many others are under way.
// Nobody comes back from an outcome that nobody waited for.
func (k *packing) outcome(now time.Time, n, others int, usual time.Duration) {
	if n == 0 {
		return
	}
	if !now.Before(k.until) && !now.Before(k.unite) {
		k.answered = 0
	}
	k.answered += n
	k.until = now.Add(min(k.moment(usual), usual/packingPart))
	k.unite = time.Time{}
	if others <= 0 || k.linger > 0 {
		return
	}
	if n >= uniteFrom {
		k.outcomes++
	}
	if others >= uniteMany*n || n >= uniteFrom && k.outcomes%uniteEvery == 0 {
		k.unite = now.Add(uniteMoments * k.moment(usual))
	}
}

// expected is how many operations are worth waiting for: all, if most came back lately.
func (k *packing) expected() int {
	if k.back >= 0.5 {
		return k.answered
	}
	return int(math.Ceil(k.back * float64(k.answered)))
}

// hold tells for how long the operations that wait are to be held back, and how many
// must wait to end that earlier; 0 if they are to be sent now.
func (k *packing) hold(now time.Time, waiting int, underWay bool, usual time.Duration) (wait time.Duration, enough int) {
	moment := k.moment(usual) // what is longer is a clock that was set back
	if n := k.expected(); waiting < n {
		if left := k.until.Sub(now); left > 0 && left <= moment {
			wait, enough = left, n
		}
	}
	if underWay {
		if left := k.lastCut.Add(moment).Sub(now); left > wait && left <= moment {
			wait, enough = left, math.MaxInt
		}
		if left := k.unite.Sub(now); left > wait && left <= uniteMoments*moment {
			wait, enough = left, math.MaxInt
		}
	}
	return wait, enough
}

// cut notes that a request of n operations was made.
func (k *packing) cut(now time.Time, n int) {
	k.lastCut = now
	if k.answered == 0 {
		return
	}
	k.back += (min(1, float64(n)/float64(k.answered)) - k.back) / 8
	k.answered -= n
	if k.answered < 0 || !now.Before(k.until) {
		k.answered = 0
	}
}
