package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// stateAsks are the parts of a state that peers were asked for and have not answered. Its
// methods may be called by any goroutine.
type stateAsks struct {
	send func(to pbft.ReplicaID, m pbft.Message)
	stop <-chan struct{} // closed when the replica stops

	mu   sync.Mutex
	next uint64
	open map[uint64]*stateAsk
}

// newStateAsks begins with a random number: an answer to what an earlier process asked must
// not be taken for one to what this one asks, and its sender for a liar.
func newStateAsks(stop <-chan struct{}) *stateAsks {
	return &stateAsks{stop: stop, next: rand.Uint64()}
}

type stateAsk struct {
	of     pbft.ReplicaID
	answer chan []byte // holds one
}

// An ask that is not answered is repeated, at first after askAgain, or a quarter of the time
// that the caller waits, if that is longer: the peer may have had too much to answer
// (ServeConfig), or a message was lost; but if its link is slow, each repetition makes
// it send the answer once more. askPatience bounds the wait of a caller that sets no bound.
const (
	askAgain    = time.Second
	askPatience = 10 * time.Second
)

// ask asks one peer and waits for the answer, which is empty if it does not have what was
// asked for.
func (a *stateAsks) ask(ctx context.Context, of pbft.ReplicaID, request []byte) ([]byte, error) {
	if len(request) > pbft.MaxStateRequest {
		return nil, fmt.Errorf("a request for a part of the state has %d bytes, %d travel", len(request), pbft.MaxStateRequest)
	}
	pause := askAgain
	if until, bounded := ctx.Deadline(); bounded {
		pause = max(pause, time.Until(until)/4)
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askPatience)
		defer cancel()
	}
	x := &stateAsk{of: of, answer: make(chan []byte, 1)}
	id := a.add(x)
	defer a.remove(id)
	for ; ; pause *= 2 {
		a.send(of, &pbft.GetState{ID: id, Request: request})
		again := time.NewTimer(pause)
		select {
		case answer := <-x.answer:
			again.Stop()
			return answer, nil
		case <-again.C:
		case <-a.stop:
			again.Stop()
			return nil, errStopping
		case <-ctx.Done():
			again.Stop()
			return nil, ctx.Err()
		}
	}
}

func (a *stateAsks) add(x *stateAsk) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = make(map[uint64]*stateAsk)
	}
	a.next++
	a.open[a.next] = x
	return a.next
}

func (a *stateAsks) remove(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, id)
}

// answered takes an answer. One that nobody waits for, or of somebody else, is nothing.
func (a *stateAsks) answered(from pbft.ReplicaID, m *pbft.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.open[m.ID]
	if x == nil || x.of != from {
		return
	}
	select {
	case x.answer <- m.Data:
	default: // answered already, to an ask that was repeated
	}
}

// mayAllLie tells of some of these replicas, by their places, whether all of them may be traitors.
func mayAllLie(q *pbft.QuorumSystem, ids []pbft.ReplicaID) func(peers []int) bool {
	return func(peers []int) bool {
		set := crypto.NewBitmap(q.N())
		for _, p := range peers {
			set.Set(ids[p])
		}
		return !q.IsBlocking(set)
	}
}

// statePeer is a peer as an application asks it.
type statePeer struct {
	asks *stateAsks
	id   pbft.ReplicaID
}

// Ask implements statemachine.StatePeer.
func (p statePeer) Ask(ctx context.Context, request []byte) ([]byte, error) {
	return p.asks.ask(ctx, p.id, append([]byte{askState}, request...))
}

var _ statemachine.StatePeer = statePeer{}
