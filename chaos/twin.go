package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// second is another replica under the traitor's identity: the product's own node
// on a disk of its own, honest in itself.
type second struct {
	*Puppet
	sim       *replica.Sim
	store     *replica.MemoryStore
	snapshots *replica.MemorySnapshots
	state     *store.MemoryDisk // nil: its state is in memory
	send      func(to pbft.ReplicaID, m pbft.Message)
	planned   bool
	life      uint64
}

func newSecond(p *Puppet, send func(to pbft.ReplicaID, m pbft.Message)) *second {
	s := &second{Puppet: p, send: send}
	s.wipe()
	return s
}

// wipe starts it anew with an empty disk, like a replica that never ran.
func (s *second) wipe() {
	s.store, s.snapshots = replica.NewMemoryStore(), replica.NewMemorySnapshots(chunkSize)
	if s.MachineOn != nil {
		s.state = store.NewMemoryDisk()
	}
	s.start()
}

// machine makes its application.
func (s *second) machine() statemachine.StateMachine {
	if s.MachineOn == nil {
		return s.Machine()
	}
	m, err := s.MachineOn(s.state)
	must(err)
	return m
}

func (s *second) start() {
	s.life++
	core := s.Core
	core.Executed, core.Follower, core.Incarnation = 0, false, s.Core.Incarnation+s.life<<40
	life := s.life
	sim, err := replica.NewSim(replica.SimConfig{
		Core: core, Verifier: s.Verifier, Keys: s.Keys, Limits: s.Limits, Machine: s.machine(), Store: s.store, Snapshots: s.snapshots,
		Transfer: replica.TransferConfig{Deadline: 50, Pause: 20}, WholeStates: true, Voter: true,
		Hooks: replica.SimHooks{Transmit: func(to pbft.ReplicaID, m pbft.Message) {
			if life != s.life {
				return
			}
			for i := range s.Core.Quorums.N() {
				if id := pbft.ReplicaID(i); id != s.Self && (to == pbft.Everyone || to == id) {
					s.send(id, m)
				}
			}
		}},
	})
	must(err)
	s.sim = sim
	sim.Start(s.clock())
	s.work()
}

// work does all that piled up, a little later.
func (s *second) work() {
	if s.planned {
		return
	}
	s.planned = true
	s.Host.After(200*time.Microsecond, func() {
		s.planned = false
		s.sim.Settle()
	})
}

func (s *second) receive(from pbft.ReplicaID, m pbft.Message) {
	s.sim.Receive(from, pbft.Encode(s.Core.Epoch, m))
	s.work()
}

// clock is a little ahead of the first node's, or the two would propose the very
// same blocks whenever they know the same requests.
func (s *second) clock() pbft.Time { return s.Host.Clock().Add(time.Microsecond) }

func (s *second) tick() {
	s.sim.Tick(s.clock())
	s.work()
}

func (s *second) request(r *pbft.Request) {
	if s.Verifier.VerifyRequests([]*pbft.Request{r})[0] {
		s.sim.Offer([]*pbft.Request{r})
		s.work()
	}
}

// twin is two honest replicas under one key (B6, D13), who divide the others among
// themselves: one talks to one side, one to the other. Twins of a coalition divide
// them in the same way, and each of the two sides has its own copy of all of them.
type twin struct {
	honest
	second *second
}

func newTwin(p *Puppet) Adversary {
	a := &twin{honest: honest{p}}
	p.Coalition.twins = append(p.Coalition.twins, a)
	a.second = newSecond(p, a.sendSecond)
	return a
}

// fellow is the twin of a replica, nil if it is none.
func (a *twin) fellow(id pbft.ReplicaID) *twin {
	for _, t := range a.Coalition.twins {
		if t.Self == id {
			return t
		}
	}
	return nil
}

func (a *twin) sendSecond(to pbft.ReplicaID, m pbft.Message) {
	if f := a.fellow(to); f != nil {
		a.Host.After(time.Millisecond, func() { f.second.receive(a.Self, m) })
		return
	}
	if a.Coalition.side(to) == 1 {
		a.did("the second twin speaks")
		a.Transmit(to, m)
	}
}

func (a *twin) Send(to pbft.ReplicaID, m pbft.Message) {
	if a.fellow(to) != nil || a.Coalition.side(to) == 0 {
		a.Transmit(to, m)
	}
}

func (a *twin) Hear(from pbft.ReplicaID, m pbft.Message) bool {
	if a.fellow(from) == nil && a.Coalition.side(from) == 1 {
		a.second.receive(from, m)
		return false
	}
	return true
}

func (a *twin) Request(r *pbft.Request) bool {
	a.second.request(r)
	return true
}

func (a *twin) Tick() { a.second.tick() }

// amnesia forgets what it signed (B7, C02, D11): in place of the honest node
// speaks another, which is put back to an old image of its disk, or to none at
// all, every few seconds, and votes on as if nothing had happened.
type amnesia struct {
	honest
	second    *second
	until     time.Duration
	image     *replica.MemoryStore
	snapshots *replica.MemorySnapshots
	state     *store.MemoryDisk
}

func newAmnesia(p *Puppet) Adversary {
	a := &amnesia{honest: honest{p}}
	a.second = newSecond(p, p.Transmit)
	return a
}

func (a *amnesia) Send(pbft.ReplicaID, pbft.Message) {}

func (a *amnesia) Hear(from pbft.ReplicaID, m pbft.Message) bool {
	a.second.receive(from, m)
	return true
}

func (a *amnesia) Request(r *pbft.Request) bool {
	a.second.request(r)
	return true
}

func (a *amnesia) Reply(_ crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	return r, true
}

func (a *amnesia) Tick() {
	if now := a.Host.Now(); now >= a.until {
		if a.until > 0 {
			a.did("forgetting")
			a.forget()
		}
		a.until = now + 200*time.Millisecond + time.Duration(a.Rand.Int64N(int64(2*time.Second)))
	}
	a.second.tick()
}

// forget puts the second node back, and now and then keeps an image for later.
func (a *amnesia) forget() {
	s := a.second
	keep := a.Rand.IntN(2) == 0
	var image *replica.MemoryStore
	var snapshots *replica.MemorySnapshots
	state := s.state
	if keep {
		image, snapshots = copyStore(s.store), s.snapshots.Clone()
		if state != nil {
			state = state.Clone()
		}
	}
	if a.image != nil && a.Rand.IntN(3) > 0 {
		s.store, s.snapshots = copyStore(a.image), a.snapshots.Clone()
		if a.state != nil {
			s.state = a.state.Clone()
		}
		s.start()
	} else {
		s.wipe()
	}
	if keep {
		a.image, a.snapshots, a.state = image, snapshots, state
	}
}

// copyStore is an image of what a disk holds.
func copyStore(from *replica.MemoryStore) *replica.MemoryStore {
	to := replica.NewMemoryStore()
	from.Crash()
	must(from.Load(nil, func(r pbft.Record) error { return to.Write([]pbft.Record{r}, false) }))
	for _, k := range []replica.HostKind{replica.HostBorn, replica.HostReplies, replica.HostLeaves} {
		must(from.ScanHost(k, 0, ^pbft.Height(0), func(key replica.HostKey, value []byte) error {
			return to.WriteHost([]replica.HostRecord{{Key: key, Value: value}}, false)
		}))
	}
	must(to.Write(nil, true))
	return to
}
