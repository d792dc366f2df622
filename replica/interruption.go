package replica

import "sync"

// interruption tells those who read the state for longer than one answer that it has become
// another one. The zero value is ready.
type interruption struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody has asked since the last strike
}

// next is closed with the next strike.
func (i *interruption) next() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ch == nil {
		i.ch = make(chan struct{})
	}
	return i.ch
}

func (i *interruption) strike() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ch != nil {
		close(i.ch)
		i.ch = nil
	}
}

// Interrupted returns a channel that is closed when the state stops being one to answer
// from: it is found to be wrong, is replaced by another, or the replica fails. It is for
// what goes on for longer than one answer, such as a subscription, and must be asked for
// before [Server.Serving]:
//
//  1. a subscription begins and asks for Interrupted, then for Serving, which is nil;
//  2. the state turns out to be wrong: Serving says so from now on, then the channel of 1
//     is closed, and the subscription ends;
//  3. the state is repaired, so Serving is nil again, perhaps before anybody has asked: but
//     the channel of 1 is closed for good.
//
// Who asks in the other order may hold the channel of 3 and never hear of 2.
func (s *Server) Interrupted() <-chan struct{} { return s.runner.parts.interrupted.next() }

// interrupt ends what goes on for longer than one answer.
func (s *Server) interrupt() {
	if s.runner != nil { // else it has not begun, and nobody reads
		s.runner.parts.interrupted.strike()
	}
}
