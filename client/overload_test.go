package client_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
)

// While outcomes are late for good, only so many operations may be without one as have
// theirs in time; the others are refused, and no replica has seen them.
func TestOverloadByDelay(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		const linger = time.Millisecond
		cfg := f.config(1)
		cfg.MaxQueueing, cfg.Linger = 100*time.Millisecond, linger
		c := f.connect(cfg)
		// round submits operations that are answered together, after so long.
		round := func(n int, took time.Duration) (refused int, last error) {
			f.mu.Lock()
			f.hold = true
			f.mu.Unlock()
			var calls []*client.Call
			for i := range n {
				call := c.Start(t.Context(), fmt.Append(nil, i))
				select {
				case <-call.Done():
					_, last = call.Answer()
					refused++
				default:
					calls = append(calls, call)
				}
			}
			advance(2 * linger) // all are sent
			advance(took - 2*linger)
			f.release()
			for _, call := range calls {
				_, err := call.Answer()
				require.NoError(t, err)
			}
			return refused, last
		}
		const fast, slow = 10 * time.Millisecond, 250 * time.Millisecond
		for range 3 {
			refused, _ := round(200, fast)
			require.Zero(t, refused)
		}
		round(200, slow)
		refused, _ := round(200, slow)
		require.Zero(t, refused, "once is nothing")
		// 200 in 250 ms are 88 in the 110 that an outcome may take.
		require.Equal(t, 88, c.Stats().Limit)
		before := len(f.ops())
		refused, err := round(200, slow)
		require.Equal(t, 112, refused)
		require.Equal(t, before+88, len(f.ops()), "and nowhere else")
		require.EqualValues(t, 112, c.Stats().Overloaded)
		var overloaded *client.OverloadedError
		require.ErrorAs(t, err, &overloaded)
		require.ErrorIs(t, err, client.ErrOverloaded)
		require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
		require.Equal(t, 88, overloaded.Limit)
		require.Equal(t, 88, overloaded.Waiting+overloaded.UnderWay)
		require.InDelta(t, 55*time.Millisecond, overloaded.RetryAfter, float64(7*time.Millisecond))
		require.ErrorContains(t, err, "MaxQueueing")

		// As fast as before, the cluster is asked for as much again.
		for range 80 {
			round(200, fast)
		}
		require.Zero(t, c.Stats().Limit)
		refused, _ = round(200, fast)
		require.Zero(t, refused)
	})
}

// What waits to be sent is refused too, the latest first, when it turns out that it would
// wait for too long; what was sent is not.
func TestOverloadTakesBackWhatWaits(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		cfg := f.config(1)
		cfg.MaxQueueing, cfg.Linger = 100*time.Millisecond, time.Millisecond
		cfg.MaxRequests, cfg.BatchOperations = 1, 100
		c := f.connect(cfg)
		f.submit(c, "first") // in no time
		f.mu.Lock()
		f.hold = true
		f.mu.Unlock()
		var calls []*client.Call
		for i := range 1000 {
			calls = append(calls, c.Start(t.Context(), fmt.Append(nil, i)))
		}
		hundred := func() {
			advance(60 * time.Millisecond)
			f.mu.Lock()
			for _, q := range f.held {
				f.execute(q)
			}
			f.held = nil
			f.mu.Unlock()
			advance(0)
		}
		for range 3 {
			hundred()
		}
		require.Zero(t, c.Stats().Overloaded)
		hundred() // the third that is late: two in 120 ms
		limit := c.Stats().Limit
		// The first request may have gone before all of the operations were there.
		executed := len(f.ops()) - 1
		require.LessOrEqual(t, executed, 400)
		require.Greater(t, executed, 300)
		require.InDelta(t, 166, limit, 34)
		f.release()
		ran := 0
		for i, call := range calls {
			_, err := call.Answer()
			if err == nil {
				ran++
				continue
			}
			require.GreaterOrEqual(t, i, executed+limit, "the latest")
			var overloaded *client.OverloadedError
			require.ErrorAs(t, err, &overloaded)
			require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
		}
		require.Equal(t, executed+limit, ran)
		require.Len(t, f.ops(), 1+ran)
		require.EqualValues(t, 1000-ran, c.Stats().Overloaded)
	})
}
