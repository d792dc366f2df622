package report

import (
	"slices"
	"time"
)

// Buckets sorts operations into n equal stretches of time from 0 to total, by when
// their outcome came. An unknown outcome without an End counts where it was begun.
func Buckets(ops []Operation, total time.Duration, n int) []Bucket {
	if n < 1 || total <= 0 {
		return nil
	}
	buckets := make([]Bucket, n)
	latencies := make([][]time.Duration, n)
	edge := func(i int) time.Duration { return time.Duration(float64(total) * float64(i) / float64(n)) }
	for i := range buckets {
		buckets[i].Begin, buckets[i].End = edge(i), edge(i+1)
	}
	for i := range ops {
		o := &ops[i]
		at := int(float64(max(o.Begin, o.End)) / float64(total) * float64(n))
		at = min(max(at, 0), n-1)
		switch b := &buckets[at]; o.Outcome {
		case OK:
			b.OK++
			latencies[at] = append(latencies[at], o.Latency())
		case Failed:
			b.Failed++
		default:
			b.Unknown++
		}
	}
	for i := range buckets {
		l := latencies[i]
		slices.Sort(l)
		b := &buckets[i]
		b.P50, b.P99, b.Max = Quantile(l, 0.5), Quantile(l, 0.99), Quantile(l, 1)
	}
	return buckets
}

// Quantile returns the smallest value that at least the fraction q of the sorted
// values do not exceed, 0 if there are none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted))+0.999999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
