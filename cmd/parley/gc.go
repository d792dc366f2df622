package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// A replica under load allocates its live heap anew many times a second while that is
// small, and with Go's default each time costs a collection. So it may use gcHeadroom
// beside what is alive before the next one, however little that is. A large heap, most of
// which is the database's and the application's and lives long, may grow by gcLeast
// percent.
const (
	gcHeadroom = 64 << 20
	gcLeast    = 50
)

// gcPercent is the value for [debug.SetGCPercent] with so much alive. The runtime's
// least heap, 4 MiB at 100 percent, grows with the percentage, so that is bounded too.
func gcPercent(live uint64) int {
	const leastHeap = 4 << 20
	return int(max(gcLeast, 100*gcHeadroom/max(live, leastHeap)))
}

// keepHeadroom follows the live heap until stop is called. It does nothing where
// GOGC is set.
func keepHeadroom() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	h := &headroom{live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	before := debug.SetGCPercent(gcPercent(0))
	h.watch()
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.stopped = true
		debug.SetGCPercent(before)
	}
}

type headroom struct {
	mu      sync.Mutex
	live    []metrics.Sample
	stopped bool
}

// collected is garbage from the start: its cleanup runs after the next collection.
type collected struct{ _ [16]byte }

// watch adapts after each collection.
func (h *headroom) watch() {
	runtime.AddCleanup(new(collected), func(h *headroom) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.stopped {
			return
		}
		metrics.Read(h.live)
		debug.SetGCPercent(gcPercent(h.live[0].Value.Uint64()))
		h.watch()
	}, h)
}
