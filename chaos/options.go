package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// Options say what a [Simulation] is made of and what happens in it. [Swarm] draws
// them from a seed. All times are virtual.
type Options struct {
	// Seed decides everything that the other fields leave open.
	Seed uint64
	// Weights are the replicas' weights; their number is the size of the cluster.
	Weights []uint64
	// Traitors rewrite what they send. Together they weigh at most F.
	Traitors []pbft.ReplicaID
	// Strategies are what the traitors play, by replica: names of [Strategies]. One
	// without a name is a chameleon.
	Strategies []string
	// AboveBound allows traitors of more weight than F. What then falls is a finding
	// of the report and no violation; that nobody honest is accused, and that forks
	// name their culprits, is still demanded.
	AboveBound bool

	// BadClients are clients that misbehave, beside the honest ones: names of
	// [BadClients].
	BadClients []string

	// Application is the name of one of [Applications] that the replicas run; empty is a
	// key-value store, or what Machine makes.
	Application string

	// Stored has the key-value store keep its state in statemachine/store, as large
	// applications do, so that what a replica lacks is transferred part by part. It says
	// nothing of another application.
	Stored bool

	// OnDisk has each replica keep the state of an application on statemachine/store on a
	// simulated disk, so that its snapshots only name states. It says nothing of another application.
	OnDisk bool

	// Machine makes the application of one replica, in its initial state; nil is a
	// key-value store. With a Machine, Operation must make its operations, and
	// whether their results are linearizable is not judged: the history has their bytes
	// and times.
	Machine func() statemachine.StateMachine
	// Operation makes the next operation of a client.
	Operation func(rng *rand.Rand, client, n int) []byte

	// Clients work at the same time, each with one operation after another. Keys is
	// how many keys they share.
	Clients, Keys int
	// Think is the mean pause of a client between two operations.
	Think time.Duration
	// Retry is how long a client waits before it sends a request to everybody.
	Retry time.Duration
	// Life is how long after it was made a request may run.
	Life time.Duration

	// Storm is how long faults are injected. Bound is how long the healed cluster may
	// take to answer every operation, and then to bring every healed replica to the
	// same height; 0 is what the design promises (see liveness.go).
	Storm, Bound time.Duration
	// HealAll heals everybody at the end of the storm; otherwise only a quorum.
	HealAll bool

	Network Network
	Faults  Faults
	// Laggard is how many times as slow one honest replica is during the storm, if
	// above 1.
	Laggard int
	// Condition is the name of one of [Conditions] that the options were made by, for
	// the report only.
	Condition string

	// Window, CheckpointEvery, Retain, MaxBlockRequests and Timeouts are as in
	// pbft.Config. LazyVotes uses a scheme whose votes are verified as aggregates.
	Window, CheckpointEvery, Retain pbft.Height
	MaxBlockRequests                int
	Timeouts                        pbft.Timeouts
	LazyVotes                       bool
	// Tick is the unit of Timeouts.
	Tick time.Duration

	// Disk is the mean time of a sync, Apply of executing a block.
	Disk, Apply time.Duration

	// Trace, if set, gets a line for everything that happens.
	Trace func(line string)
}

// ErrOptions is wrapped by every error of [Options.Validate].
var ErrOptions = errors.New("simulation options")

// Validate names the first field that makes no sense, its value and the remedy.
func (o *Options) Validate() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("%w: %s is %v: %s", ErrOptions, field, value, remedy)
	}
	q, err := pbft.NewQuorumSystem(o.Weights)
	if err != nil {
		return fmt.Errorf("%w: Weights: %w", ErrOptions, err)
	}
	guilty := crypto.NewBitmap(len(o.Weights))
	for _, t := range o.Traitors {
		if !q.Contains(t) {
			return bad("Traitors", o.Traitors, "name members")
		}
		guilty.Set(t)
	}
	if w := q.WeightOf(guilty); o.AboveBound && w <= q.MaxFaulty() {
		return bad("AboveBound", true, fmt.Sprintf("the traitors weigh %d, which is not above %d: nothing may fall", w, q.MaxFaulty()))
	} else if w > q.MaxFaulty() && !o.AboveBound {
		return bad("Traitors", o.Traitors, fmt.Sprintf("they weigh %d, at most %d is promised to be tolerated", w, q.MaxFaulty()))
	}
	for _, name := range o.Strategies {
		if _, ok := StrategyNamed(name); !ok && name != "" {
			return bad("Strategies", name, "see Strategies() for the names")
		}
	}
	for _, name := range o.BadClients {
		if _, ok := badClientNamed(name); !ok {
			return bad("BadClients", name, "see BadClients() for the names")
		}
	}
	switch {
	case (o.Machine == nil) != (o.Operation == nil):
		return bad("Machine", "given without Operation or the other way round", "give both or neither")
	case checkApplication(o.Application) != nil:
		return bad("Application", o.Application, checkApplication(o.Application).Error())
	case o.Application != "" && o.Machine != nil:
		return bad("Application", o.Application, "with a Machine it must be empty")
	case o.Clients < 1 || o.Clients > 64:
		return bad("Clients", o.Clients, "set 1 to 64")
	case o.Keys < 1:
		return bad("Keys", o.Keys, "set at least 1")
	case o.Think <= 0:
		return bad("Think", o.Think, "must be positive")
	case o.Retry <= 0:
		return bad("Retry", o.Retry, "must be positive")
	case o.Life < time.Second || o.Life > maxLife-30*time.Second:
		return bad("Life", o.Life, fmt.Sprintf("set 1s to %v", maxLife-30*time.Second))
	case o.Storm < 0:
		return bad("Storm", o.Storm, "must not be negative")
	case o.Bound < 0:
		return bad("Bound", o.Bound, "must not be negative")
	case o.Tick < time.Millisecond:
		return bad("Tick", o.Tick, "set at least 1ms")
	case o.Disk <= 0 || o.Apply <= 0:
		return bad("Disk, Apply", []time.Duration{o.Disk, o.Apply}, "must be positive")
	}
	return o.Network.validate()
}

const (
	maxLife   = 10 * time.Minute
	maxAhead  = 10 * time.Second
	chunkSize = 1 << 10
)

// limits of execution; generous, since the clients here are few and honest.
func limits() statemachine.Limits {
	l := statemachine.DefaultLimits()
	l.MaxLife = maxLife
	return l
}

// strategyOf is what a traitor plays.
func (o *Options) strategyOf(id pbft.ReplicaID) string {
	if int(id) < len(o.Strategies) && o.Strategies[id] != "" {
		return o.Strategies[id]
	}
	return "chameleon"
}

// machine makes the application of one replica, on no disk that anybody keeps.
func (s *Simulation) machine() statemachine.StateMachine {
	switch {
	case s.onDisk():
		m, err := s.machineOn(store.NewMemoryDisk())
		must(err)
		return m
	case s.world != nil:
		return s.world.Machine()
	case s.opts.Machine != nil:
		return s.opts.Machine()
	case s.opts.Stored:
		m, err := newStored(store.DefaultConfig())
		must(err)
		return m
	}
	return kv.New(kv.DefaultLimits())
}
