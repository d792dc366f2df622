package replica

import (
	"context"
	"sync"

	"github.com/parley-bft/parley/pbft"
)

// heightGate lets goroutines wait for a height to be executed. The zero gate is
// at 0.
type heightGate struct {
	mu      sync.Mutex
	at      pbft.Height
	waiters []gateWaiter
}

type gateWaiter struct {
	height pbft.Height
	ready  chan struct{}
}

func (g *heightGate) height() pbft.Height {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

func (g *heightGate) raise(h pbft.Height) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = max(g.at, h)
	kept := g.waiters[:0]
	for _, w := range g.waiters {
		if w.height <= g.at {
			close(w.ready)
		} else {
			kept = append(kept, w)
		}
	}
	clear(g.waiters[len(kept):])
	g.waiters = kept
}

func (g *heightGate) wait(ctx context.Context, h pbft.Height) error {
	g.mu.Lock()
	if h <= g.at {
		g.mu.Unlock()
		return nil
	}
	ready := make(chan struct{})
	g.waiters = append(g.waiters, gateWaiter{h, ready})
	g.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiters {
		if w.ready == ready {
			g.waiters = append(g.waiters[:i], g.waiters[i+1:]...)
			break
		}
	}
	return ctx.Err()
}
