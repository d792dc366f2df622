package load

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// advance lets so much of a bubble's time pass.
func advance(d time.Duration) { <-time.After(d) }

func TestClosedWindowAndPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		op := func(context.Context) error {
			took := 10 * time.Millisecond
			if at := time.Since(begin); at >= time.Second && at < 1300*time.Millisecond {
				took += 300 * time.Millisecond
			}
			advance(took)
			return nil
		}
		l := Closed(t.Context(), []Op{op, op})
		advance(2*time.Second + time.Millisecond)
		l.Stop()
		if s := l.Window(begin, begin.Add(time.Second)); s.Operations < 196 || s.Operations > 200 || s.P50 != 10 || s.Errors != 0 {
			t.Fatalf("%+v", s)
		}
		if p := l.LongestPause(begin, begin.Add(2*time.Second)); p != 310*time.Millisecond {
			t.Fatal(p)
		}
	})
}

func TestOpenCountsFromWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{}, 1)
		op := func(context.Context) error {
			turn <- struct{}{}
			advance(20 * time.Millisecond)
			<-turn
			return nil
		}
		begin := time.Now()
		l := Open(t.Context(), []Op{op}, 100)
		advance(5 * time.Second)
		l.Stop()
		// It can do 50 a second: after five seconds what ends has waited for long.
		if s := l.Window(begin, begin.Add(5*time.Second)); s.PerSecond < 45 || s.PerSecond > 51 || s.P99 < 1500 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		l := Closed(t.Context(), []Op{func(context.Context) error { return errors.New("no") }})
		advance(time.Second)
		l.Stop()
		if s := l.Window(begin, time.Now()); s.Operations != 0 || s.Errors < 99 || s.FirstError != "no" {
			t.Fatalf("%+v", s)
		}
	})
}
