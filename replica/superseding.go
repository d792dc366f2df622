package replica

import (
	"sync"

	"github.com/parley-bft/parley/pbft"
)

// superseding ends the installation of a state while it waits for peers: see
// transfer.supersede. Its methods may be called by any goroutine; the zero value is ready.
type superseding struct {
	mu sync.Mutex
	// now is the height of the installation that is under way, and ch what ends it.
	now pbft.Height
	ch  chan struct{}
	// early is the height of one that is to end when it begins.
	early pbft.Height
}

// begin returns a channel that is closed when the installation of this height is to end.
// Call end when it has.
func (s *superseding) begin(h pbft.Height) (superseded <-chan struct{}, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.ch = h, make(chan struct{})
	if s.early == h {
		close(s.ch)
		s.now = 0
	}
	s.early = 0
	return s.ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now = 0
	}
}

// supersede ends the installation of this height, be it the next one. If it has ended, and
// comes once more, that one ends too, and is tried again.
func (s *superseding) supersede(h pbft.Height) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == h {
		close(s.ch)
		s.now = 0
	} else {
		s.early = h
	}
}
