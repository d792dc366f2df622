//go:build unix

package chaos

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cpuTime is the processor time that this process has used, collecting garbage
// included: on a machine that others use as well, real time says nothing.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkVirtualTime tells how many times faster than its clocks a cluster of
// four is, for each second of one processor, while clients send so many operations
// a second together; and for seeds as the swarm draws them. A higher GOGC helps.
func BenchmarkVirtualTime(b *testing.B) {
	measure := func(b *testing.B, options func(i int) Options) {
		var virtual time.Duration
		var events uint64
		began, i := cpuTime(b), 0
		for b.Loop() {
			r := Run(options(i))
			require.NoError(b, r.Err())
			virtual, events, i = virtual+r.Virtual, events+r.Events, i+1
		}
		used := cpuTime(b) - began
		b.ReportMetric(virtual.Seconds()/used.Seconds(), "virtual/cpu")
		b.ReportMetric(float64(events)/used.Seconds(), "events/cpu-s")
	}
	for _, rate := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d-a-second", rate), func(b *testing.B) {
			o := calm()
			o.Clients, o.Storm = min(rate, 4), 30*time.Second
			o.Think = time.Duration(o.Clients) * time.Second / time.Duration(rate)
			measure(b, func(int) Options { return o })
		})
	}
	b.Run("swarm", func(b *testing.B) { measure(b, func(i int) Options { return Swarm(uint64(i + 1)) }) })
}
