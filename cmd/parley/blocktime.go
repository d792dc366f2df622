package main

import (
	"math"
	"time"

	"github.com/parley-bft/parley/statemachine"
)

// asBlockTime is a time as blocks have it; false if it is none that a block can have, which
// are those from 1970 to 2262.
func asBlockTime(at time.Time) (statemachine.Time, bool) {
	if !at.After(time.Unix(0, 0)) || at.After(time.Unix(0, math.MaxInt64)) {
		return 0, false
	}
	return statemachine.Time(at.UnixNano()), true
}

// fromNow is the time so long from now, as block time: the last that there is if that is
// later.
func fromNow(d time.Duration) statemachine.Time {
	t, ok := asBlockTime(time.Now().Add(d))
	if !ok && d > 0 {
		return math.MaxInt64
	}
	return t
}

// deadline is fromNow, and 0, which is never, for no duration.
func deadline(d time.Duration) statemachine.Time {
	if d == 0 {
		return 0
	}
	return fromNow(d)
}
