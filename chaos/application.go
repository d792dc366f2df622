package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv/kvtest"
	"github.com/parley-bft/parley/statemachine/ledger/ledgertest"
	"github.com/parley-bft/parley/statemachine/registry/registrytest"
	"github.com/parley-bft/parley/statemachine/store"
)

var _, _, _ StoredWorld = kvStoreWorld{}, ledgerWorld{}, registryWorld{}

// Application is a state machine that simulations can run in place of the key-value
// store, with clients that use it and a model that says what must come of that.
type Application struct {
	// Name is what Options.Application calls it.
	Name string
	// Doc says in a line what its clients do.
	Doc string
	// KeyValue says that it has the operations of the key-value store. Its clients make
	// those on single keys too, every other time, and their history is judged like that
	// store's; keys that [World.Operation] writes must be others.
	KeyValue bool
	// New makes it for one simulation, whose cluster and clients have these names. All
	// that it makes is used by the simulation's goroutine.
	New func(cluster crypto.Digest, clients []crypto.PublicKey) World
}

// World is an application in a simulation.
type World interface {
	// Machine makes the application of one replica, in its initial state.
	Machine() statemachine.StateMachine
	// Operation makes the next operation of a client; now is about block time. All choices
	// are rng's.
	Operation(rng *rand.Rand, client int, now statemachine.Time) []byte
	// Model is the application's model, in its initial state.
	Model() Model
}

// Model says what the agreed operations must come to. It is another program than the
// application, or it judges nothing.
type Model interface {
	// Begin begins a block.
	Begin(now statemachine.Time)
	// Judge runs an operation of the block, and says what is wrong with its result.
	Judge(client crypto.PublicKey, op []byte, got statemachine.Result) error
}

// registered are those that are not of this package, see [Register].
var registered []Application

// Register adds an application to [Applications]: one that this package does not import,
// so that not everybody who simulates has to. It is for the beginning of a program, and
// panics if there is one of that name.
func Register(a Application) {
	if _, ok := ApplicationNamed(a.Name); ok {
		panic("chaos: there are two applications of the name " + a.Name)
	}
	registered = append(registered, a)
}

// Applications lists them in a fixed order. The key-value store in memory is none of them:
// it has no model but what its clients see (see [History]).
func Applications() []Application {
	return append([]Application{{
		Name: "ledger",
		Doc:  "transfers, holds, trust lines, signed and proposed transactions, replays; each ledger audits itself after every block",
		New: func(cluster crypto.Digest, clients []crypto.PublicKey) World {
			return ledgerWorld{ledgertest.New(cluster, clients)}
		},
	}, {
		Name: "registry",
		Doc:  "records, transfers, attestations and signatures of others under an access policy that changes; each registry audits itself after every block",
		New: func(cluster crypto.Digest, clients []crypto.PublicKey) World {
			return registryWorld{registrytest.New(cluster, clients)}
		},
	}, {
		Name:     "kv-store",
		Doc:      "the key-value store on an authenticated store: single keys, whose history must be linearizable, transactions, ranges, deletions",
		KeyValue: true,
		New: func(crypto.Digest, []crypto.PublicKey) World {
			return kvStoreWorld{kvtest.New(kvtest.Limits())}
		},
	}}, registered...)
}

// ApplicationNamed finds one by its name.
func ApplicationNamed(name string) (Application, bool) {
	for _, a := range Applications() {
		if a.Name == name {
			return a, true
		}
	}
	return Application{}, false
}

// ApplicationNames are the names, for people.
func ApplicationNames() string {
	var names []string
	for _, a := range Applications() {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

type kvStoreWorld struct{ *kvtest.Workload }

func (w kvStoreWorld) Machine() statemachine.StateMachine { return w.Workload.Machine() }
func (w kvStoreWorld) Model() Model                       { return kvtest.NewModel(w.Workload) }

func (w kvStoreWorld) MachineOn(cfg store.Config) (statemachine.StateMachine, error) {
	return w.Workload.MachineOn(cfg)
}

type ledgerWorld struct{ *ledgertest.Workload }

func (w ledgerWorld) Machine() statemachine.StateMachine { return w.Workload.Machine() }
func (w ledgerWorld) Model() Model                       { return ledgertest.NewModel(w.Workload) }

func (w ledgerWorld) MachineOn(cfg store.Config) (statemachine.StateMachine, error) {
	return w.Workload.MachineOn(cfg)
}

type registryWorld struct{ *registrytest.Workload }

func (w registryWorld) Machine() statemachine.StateMachine {
	m, err := w.MachineOn(store.DefaultConfig())
	if err != nil {
		panic(err)
	}
	return m
}

func (w registryWorld) MachineOn(cfg store.Config) (statemachine.StateMachine, error) {
	m, err := w.Workload.MachineOn(cfg)
	if err != nil {
		return nil, err
	}
	return registrytest.Audited{Machine: m}, nil
}

func (w registryWorld) Model() Model { return registrytest.NewModel(w.Workload) }

// makeWorld makes the application of a simulation: none if it is the key-value store or
// one that the options bring. keyed tells whether clients make operations on single keys.
func (s *Simulation) makeWorld() (w World, keyed bool) {
	a, ok := ApplicationNamed(s.opts.Application)
	if !ok {
		return nil, s.opts.Operation == nil
	}
	keys := make([]crypto.PublicKey, s.opts.Clients)
	for i := range keys {
		keys[i] = s.sym.Client(uint64(i)).Public()
	}
	return a.New(s.cluster, keys), a.KeyValue
}

// modelCheck plays the agreed blocks in an application's model, and compares. Together
// with what it demands of the order (see acknowledged) that is linearizability.
type modelCheck struct {
	s       *Simulation
	model   Model // nil: there is none
	next    pbft.Height
	waiting map[pbft.Height]playedBlock
	// acked is the highest block that a client has had an answer of.
	acked pbft.Height
}

type playedBlock struct {
	block   *pbft.Block
	replies []statemachine.Reply
}

func newModelCheck(s *Simulation) *modelCheck {
	c := &modelCheck{s: s, next: 1, waiting: map[pbft.Height]playedBlock{}}
	if s.world != nil && !s.opts.AboveBound {
		c.model = s.world.Model()
	}
	return c
}

// executed takes what a block came to at an honest replica.
func (c *modelCheck) executed(b *pbft.Block, replies []statemachine.Reply) {
	if c.model == nil || b.Height < c.next {
		return
	}
	c.waiting[b.Height] = playedBlock{b, replies}
	for {
		p, ok := c.waiting[c.next]
		if !ok {
			return
		}
		delete(c.waiting, c.next)
		c.play(&p)
		c.next++
	}
}

func (c *modelCheck) play(p *playedBlock) {
	c.model.Begin(statemachine.Time(p.block.Time))
	for i := range p.replies {
		r, q := &p.replies[i], p.block.Requests[i]
		if r.Status != statemachine.Executed {
			continue
		}
		for k, op := range q.Ops {
			if err := c.model.Judge(q.Client, op, r.Results[k]); err != nil {
				c.s.violate(Results, "operation %d of %v in block %d, %q: %v", k, q, p.block.Height, op, err)
				return
			}
		}
	}
}

// acknowledged takes an answer that a client believes: of a request that was made when
// an answer of block after was known already, so it ran above that.
func (c *modelCheck) acknowledged(client int, height, after pbft.Height) {
	if c.model == nil {
		return
	}
	if height <= after {
		c.s.violate(Linearizability, "client %d has an answer of block %d to a request that it made after one of block %d was known", client, height, after)
	}
	c.acked = max(c.acked, height)
}

// checkApplication says whether there is an application of that name.
func checkApplication(name string) error {
	if _, ok := ApplicationNamed(name); !ok && name != "" {
		return fmt.Errorf("leave it out for the key-value store, or give one of %s", ApplicationNames())
	}
	return nil
}
