package chaos

import (
	"bytes"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Strategies of those whom a replica asks for the parts of an application's state.

// falseParts serves parts that are not those of the state (B22, T02, T09): spoiled, cut
// off, too long, of keys that nobody asked for, and parts of what it does not have.
type falseParts struct {
	honest
	last []byte // the answer to something else
}

func newFalseParts(p *Puppet) Adversary { return &falseParts{honest: honest{p}} }

func (a *falseParts) Send(to pbft.ReplicaID, m pbft.Message) {
	s, ok := m.(*pbft.State)
	if !ok {
		a.Transmit(to, m)
		return
	}
	truth := s.Data
	data := a.falsified(truth)
	if len(truth) > 0 {
		a.last = truth
	}
	if !bytes.Equal(data, truth) {
		a.did("false part")
	}
	a.Transmit(to, &pbft.State{ID: s.ID, Data: data})
}

// falsified is something else than an answer. An answer begins with the number of its
// parts, and each of these with its kind, of which 0 says that there is nothing.
func (a *falseParts) falsified(truth []byte) []byte {
	r := a.Rand
	if len(truth) < 5 {
		// It does not have what it is asked for, and says that it does.
		if len(a.last) > 0 && r.IntN(2) == 0 {
			return a.last
		}
		return append([]byte{0, 0, 0, 1}, a.noise(64)...)
	}
	switch r.IntN(8) {
	case 0:
		return truth[:r.IntN(len(truth))]
	case 1:
		return append(bytes.Clone(truth), a.noise(1<<(4+r.IntN(13)))...)
	case 2:
		return append([]byte(nil), a.last...) // perhaps nothing at all
	case 3: // nothing is there
		return append(bytes.Clone(truth[:4]), make([]byte, int(truth[3]))...)
	case 4:
		return []byte{0, 0, 0, 0}
	case 5: // more parts than were asked for
		more := append(bytes.Clone(truth), truth[4:]...)
		more[2] |= truth[3] >> 7
		more[3] = 2 * truth[3]
		return more
	case 6:
		return append(bytes.Clone(truth[:4]), a.noise(len(truth)-4)...)
	}
	return a.flipped(truth)
}

// noise is so many random bytes.
func (p *Puppet) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(p.Rand.Uint32())
	}
	return b
}

// staleParts answers with what it said when it was asked the same of another state (B22,
// T08): each part is true, and of another height.
type staleParts struct {
	honest
	asked map[partAsk]string // by whom and under which number: what for
	said  map[string][]byte  // the first answer to each
}

type partAsk struct {
	by pbft.ReplicaID
	id uint64
}

func newStaleParts(p *Puppet) Adversary {
	return &staleParts{honest: honest{p}, asked: map[partAsk]string{}, said: map[string][]byte{}}
}

// Of a request for a part the first byte says that it is one, a height and a digest
// follow, and then which parts are wanted.
const partsBegin = 1 + 8 + 32

// maxStale bounds what staleParts remembers.
const maxStale = 1 << 12

func (a *staleParts) Hear(from pbft.ReplicaID, m pbft.Message) bool {
	if g, ok := m.(*pbft.GetState); ok && len(g.Request) > partsBegin {
		if len(a.asked) >= maxStale {
			clear(a.asked)
		}
		a.asked[partAsk{from, g.ID}] = string(g.Request[partsBegin:])
	}
	return true
}

func (a *staleParts) Send(to pbft.ReplicaID, m pbft.Message) {
	s, ok := m.(*pbft.State)
	if !ok {
		a.Transmit(to, m)
		return
	}
	what, known := a.asked[partAsk{to, s.ID}]
	old := a.said[what]
	switch {
	case !known:
	case old == nil && len(s.Data) > 0 && len(a.said) < maxStale:
		a.said[what] = s.Data
	case old != nil && !bytes.Equal(old, s.Data):
		a.did("stale part")
		s = &pbft.State{ID: s.ID, Data: old}
	}
	a.Transmit(to, s)
}

// noParts gives nobody a part (B22, T12): it keeps silent, or says that it does not have
// the state that it has certified, once it has answered a little.
type noParts struct {
	honest
	answered map[pbft.ReplicaID]int
}

func newNoParts(p *Puppet) Adversary {
	return &noParts{honest: honest{p}, answered: map[pbft.ReplicaID]int{}}
}

func (a *noParts) Send(to pbft.ReplicaID, m pbft.Message) {
	s, ok := m.(*pbft.State)
	if !ok || len(s.Data) == 0 {
		a.Transmit(to, m)
		return
	}
	if a.answered[to]++; a.answered[to]%4 == 1 {
		a.Transmit(to, m)
		return
	}
	a.did("part kept back")
	if a.Rand.IntN(2) == 0 {
		a.Transmit(to, &pbft.State{ID: s.ID})
	}
}

// lateParts answers with the truth, just before whoever asks gives up (B22, T06).
type lateParts struct{ honest }

func newLateParts(p *Puppet) Adversary { return lateParts{honest{p}} }

// askPatience is how long a server waits for a part of a state.
const askPatience = 10 * time.Second

func (a lateParts) Send(to pbft.ReplicaID, m pbft.Message) {
	if _, ok := m.(*pbft.State); !ok {
		a.Transmit(to, m)
		return
	}
	patience := a.StatePatience
	if patience == 0 {
		patience = askPatience
	}
	a.did("late part")
	a.Host.After(time.Duration((0.7+0.29*a.Rand.Float64())*float64(patience)), func() { a.Transmit(to, m) })
}

// frameParts answers in the name of others (A1, T03): what they are asked for at the same
// time has numbers close to its own, so that whoever asks takes them for liars.
type frameParts struct{ honest }

func newFrameParts(p *Puppet) Adversary { return frameParts{honest{p}} }

// framedNumbers is how many numbers on either side it tries.
const framedNumbers = 3

func (a frameParts) Hear(from pbft.ReplicaID, m pbft.Message) bool {
	if g, ok := m.(*pbft.GetState); ok {
		for d := uint64(1); d <= framedNumbers; d++ {
			for _, id := range []uint64{g.ID - d, g.ID + d} {
				a.did("part in another's name")
				a.Transmit(from, &pbft.State{ID: id, Data: append([]byte{0, 0, 0, 1}, a.noise(32)...)})
			}
		}
	}
	return true
}
