package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// How the application of a Sim gets its state from peers, part by part.

// statePatience is SimConfig.StatePatience by default: askPatience in ticks of a Server.
const statePatience = 1000

// getParts has the state transferred in parts if the application has any, and returns
// what NodeConfig.PartChunks is to be.
func (s *Sim) getParts() func(manifest, first []byte) int {
	if s.cfg.WholeStates {
		return nil
	}
	s.asks.next = s.cfg.Core.Incarnation // an earlier life's answers are not for this one
	s.asks.send = simHost{s}.Send
	return s.runner.partsOf(s.cfg.Machine, s.syncState)
}

// syncState is Server.syncState.
func (s *Sim) syncState(app statemachine.PartedState, h *statemachine.Header) (statemachine.StateSyncStats, error) {
	x := newSimExchange(s)
	s.exchange = x
	defer func() { s.exchange = nil }()
	want := statemachine.StateTarget{Height: h.Height, Digest: h.AppDigest, Exchange: x}
	for range x.ids {
		want.Peers = append(want.Peers, unasked{})
	}
	want.MayAllLie = mayAllLie(s.cfg.Core.Quorums, x.ids)
	if f := s.cfg.Hooks.Lied; f != nil {
		want.Lied = func(peer int, err error) { f(x.ids[peer], err) }
	}
	stats, err := s.runner.syncFrom(context.Background(), app, want, s.diverged)
	if f := s.cfg.Hooks.Synced; f != nil && !errors.Is(err, errStopping) {
		f(pbft.Height(h.Height), stats, err)
	}
	return stats, err
}

// Waits tells whether a piece of work waits for peers in its midst.
func (s *Sim) Waits() bool { return s.errand.waits() }

// unasked is a peer that is asked by a simExchange only.
type unasked struct{}

func (unasked) Ask(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("replica: the application of a Sim asks for parts of its state by StateTarget.Exchange")
}

// simExchange asks the peers of a Sim.
type simExchange struct {
	s    *Sim
	ids  []pbft.ReplicaID
	asks []simAsk // by peer
	// age are the ticks since the application was last to hear of the time, due tells that
	// it is to. As of a time.Ticker, it does not hear twice because it is slow.
	age int
	due bool
}

// simAsk is what a peer was asked for.
type simAsk struct {
	*stateAsk // nil: nothing
	id        uint64
	request   []byte
	age       int // ticks of the Sim
	most      int // at which age it is over
	again     int // at which age it is sent again
	pause     int
	over      error
}

func newSimExchange(s *Sim) *simExchange {
	x := &simExchange{s: s}
	for id := range pbft.ReplicaID(s.cfg.Core.Quorums.N()) {
		if id != s.cfg.Core.Self {
			x.ids = append(x.ids, id)
		}
	}
	x.asks = make([]simAsk, len(x.ids))
	return x
}

// patience is for how many ticks a peer may have a request.
func (x *simExchange) patience() int {
	if n := x.s.cfg.StatePatience; n > 0 {
		return n
	}
	return statePatience
}

// tickLength is how many ticks of the Sim one of the application's is.
func (x *simExchange) tickLength() int { return max(x.patience()/16, 1) }

// Ask implements statemachine.StateExchange.
func (x *simExchange) Ask(peer int, request []byte, ticks int) {
	a := simAsk{
		stateAsk: &stateAsk{of: x.ids[peer], answer: make(chan []byte, 1)}, request: append([]byte{askState}, request...),
		most:  ticks * x.tickLength(),
		pause: max(ticks*x.tickLength()/4, 1), // as stateAsks.ask does
	}
	a.again = a.pause
	a.id = x.s.asks.add(a.stateAsk)
	if len(a.request) > pbft.MaxStateRequest {
		a.over = fmt.Errorf("a request for a part of the state has %d bytes, %d travel", len(a.request), pbft.MaxStateRequest)
	}
	x.asks[peer] = a
	x.send(&x.asks[peer])
}

func (x *simExchange) send(a *simAsk) {
	if a.over == nil {
		x.s.asks.send(a.of, &pbft.GetState{ID: a.id, Request: a.request})
	}
}

// CallOff implements statemachine.StateExchange.
func (x *simExchange) CallOff(peer int) {
	x.s.asks.remove(x.asks[peer].id)
	x.asks[peer] = simAsk{}
}

// tick is a tick of the Sim.
func (x *simExchange) tick() {
	if x == nil {
		return
	}
	for i := range x.asks {
		a := &x.asks[i]
		if a.stateAsk == nil || a.over != nil || len(a.answer) > 0 {
			continue
		}
		if a.age++; a.age >= a.most {
			a.over = context.DeadlineExceeded
		} else if a.age == a.again {
			a.pause *= 2
			a.again += a.pause
			x.send(a)
		}
	}
	if x.age++; x.age >= x.tickLength() {
		x.age, x.due = 0, true
	}
}

// ready tells whether there is something that the application has to hear.
func (x *simExchange) ready() bool {
	for i := range x.asks {
		if x.asks[i].isOver() {
			return true
		}
	}
	return x.due
}

func (a *simAsk) isOver() bool { return a.stateAsk != nil && (a.over != nil || len(a.answer) > 0) }

// Next implements statemachine.StateExchange.
func (x *simExchange) Next() (statemachine.StateEvent, error) {
	for x.s.errand.wait() {
		for i := range x.asks {
			a := x.asks[i]
			if !a.isOver() {
				continue
			}
			x.CallOff(i)
			if len(a.answer) > 0 {
				return statemachine.StateEvent{Peer: i, Answer: <-a.answer}, nil
			}
			return statemachine.StateEvent{Peer: i, Err: a.over}, nil
		}
		if x.due {
			x.due = false
			return statemachine.StateEvent{Peer: -1}, nil
		}
	}
	return statemachine.StateEvent{}, errStopping
}
