package store

import (
	"fmt"
	"testing"

	"github.com/parley-bft/parley/statemachine"
)

// BenchmarkChain is what the chain of changes adds to a block of 1000 changes of 100 bytes
// each.
func BenchmarkChain(b *testing.B) {
	s := open(b, memory(1))
	changes := make([]change, 1000, 1001)
	for i := range changes {
		changes[i] = change{key: fmt.Sprintf("key%08d", i), now: record{value: make([]byte, 100)}}
	}
	for b.Loop() {
		if _, f := s.chain(1, statemachine.Time(1), changes); f == nil {
			b.Fatal("nothing was chained")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(changes)), "ns/change")
}
