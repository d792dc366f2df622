package connguard

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxSources bounds the sources that are remembered. More than that at once are no
// single source's doing, and the bound on handshakes holds against them.
const maxSources = 4096

// buckets limit how fast each source connects: burst at once, then rate in a
// second.
type buckets struct {
	rate, burst float64

	mu      sync.Mutex
	sources map[string]bucket
	swept   time.Time
}

// bucket had so many tokens at a time; it has been filling up since.
type bucket struct {
	tokens float64
	at     time.Time
}

func newBuckets(rate, burst int) *buckets {
	return &buckets{rate: float64(rate), burst: float64(burst), sources: make(map[string]bucket)}
}

// take tells whether the source may connect now.
func (b *buckets) take(source string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	tokens := b.burst
	if have, known := b.sources[source]; known {
		tokens = b.level(have, now)
	} else if len(b.sources) >= maxSources && !b.sweep(now) {
		return true
	}
	ok := tokens >= 1
	if ok {
		tokens--
	}
	b.sources[source] = bucket{tokens, now}
	return ok
}

func (b *buckets) level(have bucket, now time.Time) float64 {
	return min(b.burst, have.tokens+b.rate*max(0, now.Sub(have.at).Seconds()))
}

// sweep forgets sources whose buckets are full again, at most once in a second, and
// tells whether there is room.
func (b *buckets) sweep(now time.Time) bool {
	if now.Sub(b.swept) >= time.Second {
		b.swept = now
		for source, have := range b.sources {
			if b.level(have, now) >= b.burst {
				delete(b.sources, source)
			}
		}
	}
	return len(b.sources) < maxSources
}

// sourceOf names whose share of the limits an address uses.
func sourceOf(a net.Addr) string {
	addr, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := addr.Addr().Unmap()
	if ip.Is6() {
		if network, err := ip.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}
