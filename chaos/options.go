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

	// BadClients are clients that misbehave, beside the honest ones: names of
	// [BadClients].
	BadClients []string

	// Machine makes the application of one replica, in its initial state; nil is a
	// key-value store. With a Machine, Operation must make its operations, and
	// whether their results are linearizable is not judged.
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

	// Storm is how long faults are injected, Bound how long the healed cluster may
	// take to answer every operation, and then to bring every healed replica to the
	// same height.
	Storm, Bound time.Duration
	// HealAll heals everybody at the end of the storm; otherwise only a quorum.
	HealAll bool

	Network Network
	Faults  Faults

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

// Network is what the links do when no fault is on them.
type Network struct {
	// Delay is the least time that a message takes. Jitter is the mean of what comes
	// on top of it, exponentially distributed; it reorders messages unless FIFO.
	Delay, Jitter time.Duration
	FIFO          bool
	// Loss and Duplicate are probabilities for each message.
	Loss, Duplicate float64
}

// Faults are the mean times between two faults of a kind, 0 for never. What a
// fault did ends by itself after some time, at the latest with the storm.
type Faults struct {
	Crash     time.Duration // of one replica, anywhere or at a boundary of a log write
	Power     time.Duration // of all replicas at once
	Pause     time.Duration // a replica does nothing, and then goes on
	Partition time.Duration // two groups, or one replica alone
	OneWay    time.Duration // one direction of one link
	Wipe      time.Duration // a replica loses its disk
	Snapshots time.Duration // a replica stops and loses its snapshots only
	Clock     time.Duration // a replica's clock jumps
	Slow      time.Duration // a replica's disk and execution get slow
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
	if w := q.WeightOf(guilty); w > q.MaxFaulty() {
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
	case o.Bound <= 0:
		return bad("Bound", o.Bound, "must be positive")
	case o.Tick < time.Millisecond:
		return bad("Tick", o.Tick, "set at least 1ms")
	case o.Disk <= 0 || o.Apply <= 0:
		return bad("Disk, Apply", []time.Duration{o.Disk, o.Apply}, "must be positive")
	case o.Network.Delay < 0 || o.Network.Jitter < 0:
		return bad("Network", o.Network, "delays must not be negative")
	case o.Network.Loss < 0 || o.Network.Loss >= 1 || o.Network.Duplicate < 0 || o.Network.Duplicate >= 1:
		return bad("Network", o.Network, "probabilities must be in [0,1)")
	}
	return nil
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

func (o *Options) machine() statemachine.StateMachine {
	if o.Machine != nil {
		return o.Machine()
	}
	return kv.New(kv.DefaultLimits())
}

// Swarm draws options from a seed. Not every seed has every kind of fault: a fault
// that is always there hides what happens without it.
func Swarm(seed uint64) Options {
	rng := rand.New(rand.NewPCG(seed, 0x5afe))
	sizes := [][]uint64{
		{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {2, 1, 2, 2, 1, 2},
	}
	o := Options{
		Seed:    seed,
		Weights: sizes[rng.IntN(len(sizes))],
		Clients: 2 + rng.IntN(5),
		Keys:    1 + rng.IntN(6),
		Think:   pick(rng, 20*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond),
		Retry:   pick(rng, 300*time.Millisecond, time.Second),
		Life:    pick(rng, 8*time.Second, 5*time.Minute, 5*time.Minute),
		Storm:   pick(rng, 5*time.Second, 10*time.Second, 20*time.Second),
		Bound:   30 * time.Second,
		HealAll: rng.IntN(2) == 0,
		Network: Network{
			Delay:  pick(rng, 200*time.Microsecond, 2*time.Millisecond, 20*time.Millisecond),
			Jitter: pick(rng, 100*time.Microsecond, 2*time.Millisecond, 20*time.Millisecond),
			FIFO:   rng.IntN(3) == 0,
			Loss:   pick(rng, 0, 0, 0.01, 0.05, 0.2), Duplicate: pick(rng, 0, 0, 0.02, 0.1),
		},
		Window: pick[pbft.Height](rng, 2, 4, 8), CheckpointEvery: pick[pbft.Height](rng, 4, 8, 16), Retain: pick[pbft.Height](rng, 0, 2, 8),
		MaxBlockRequests: pick(rng, 1, 4, 64),
		Timeouts: pbft.Timeouts{
			Progress: pick(rng, 20, 50), RequestAge: pick(rng, 60, 200), Heartbeat: 10, Idle: 50, Status: pick(rng, 10, 50),
			Retry: pick(rng, 2, 5), ReceiptDelay: 2, RotateEvery: pick(rng, 0, 0, 1, 3),
		},
		LazyVotes: rng.IntN(3) == 0,
		Tick:      10 * time.Millisecond,
		Disk:      pick(rng, 100*time.Microsecond, time.Millisecond, 10*time.Millisecond),
		Apply:     pick(rng, 20*time.Microsecond, time.Millisecond),
	}
	often := func(d time.Duration) time.Duration {
		if rng.IntN(2) == 0 {
			return 0
		}
		return d/2 + time.Duration(rng.Int64N(int64(d)))
	}
	o.Faults = Faults{
		Crash: often(2 * time.Second), Power: often(8 * time.Second), Pause: often(4 * time.Second), Partition: often(4 * time.Second),
		OneWay: often(3 * time.Second), Wipe: often(8 * time.Second), Snapshots: often(8 * time.Second), Clock: often(4 * time.Second), Slow: often(4 * time.Second),
	}
	if rng.IntN(2) == 0 {
		q, err := pbft.NewQuorumSystem(o.Weights)
		if err != nil {
			panic(err)
		}
		left := q.MaxFaulty()
		for _, i := range rng.Perm(len(o.Weights)) {
			if o.Weights[i] <= left {
				left -= o.Weights[i]
				o.Traitors = append(o.Traitors, pbft.ReplicaID(i))
			}
		}
		o.Strategies = drawStrategies(rng, o.Traitors, len(o.Weights))
	}
	o.BadClients = drawBadClients(rng)
	return o
}

func pick[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }
