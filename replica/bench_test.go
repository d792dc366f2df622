package replica

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkSubmit is operations through four replicas in one process, with real
// signatures and disks; each caller has one operation in flight.
func BenchmarkSubmit(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			c := newTestCluster(b, 4, nil)
			c.startAll()
			c.submit(0, "warm")
			b.ResetTimer()
			var wg sync.WaitGroup
			work := make(chan int, b.N)
			for i := range b.N {
				work <- i
			}
			close(work)
			for k := range callers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for i := range work {
						if _, err := c.servers[k%4].Submit(c.context(), fmt.Appendf(nil, "%d", i)); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
