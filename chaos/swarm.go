package chaos

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// rosters are the weights that [Swarm] draws from; four equal replicas more often,
// since what can go wrong mostly goes wrong there, and soonest.
var rosters = [][]uint64{
	{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1},
	{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1},
	{1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
	{2, 1, 2, 2, 1, 2}, {3, 3, 3, 1, 1, 1, 1}, {5, 4, 4, 3}, {1, 2, 3, 4, 5}, {10, 9, 8, 7, 6, 1, 1, 1},
}

// Swarm draws options from a seed. Not every seed has every kind of fault: a fault
// that is always there hides what happens without it.
func Swarm(seed uint64) Options {
	rng := rand.New(rand.NewPCG(seed, 0x5afe))
	o := Options{
		Seed:    seed,
		Weights: rosters[rng.IntN(len(rosters))],
		Clients: 2 + rng.IntN(5),
		Keys:    1 + rng.IntN(6),
		Think:   pick(rng, 20*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond),
		Retry:   pick(rng, 300*time.Millisecond, time.Second),
		Life:    pick(rng, 8*time.Second, 5*time.Minute, 5*time.Minute),
		Storm:   pick(rng, 5*time.Second, 10*time.Second, 20*time.Second),
		HealAll: rng.IntN(2) == 0,
		Window:  pick[pbft.Height](rng, 2, 4, 8), CheckpointEvery: pick[pbft.Height](rng, 4, 8, 16), Retain: pick[pbft.Height](rng, 0, 2, 8, 100),
		MaxBlockRequests: pick(rng, 1, 4, 64),
		Timeouts: pbft.Timeouts{
			Progress: pick(rng, 20, 50), RequestAge: pick(rng, 60, 200), Heartbeat: 10, Idle: 50, Status: pick(rng, 10, 50),
			Retry: pick(rng, 2, 5), ReceiptDelay: 2, RotateEvery: pick(rng, 0, 0, 1, 3),
		},
		LazyVotes: rng.IntN(3) == 0,
		Tick:      10 * time.Millisecond,
		Disk:      pick(rng, 100*time.Microsecond, time.Millisecond, 10*time.Millisecond),
		Apply:     pick(rng, 20*time.Microsecond, time.Millisecond),
		Network:   drawNetwork(rng),
		Faults:    drawFaults(rng),
	}
	if rng.IntN(6) == 0 {
		o.Laggard = 10
	}
	if rng.IntN(3) == 0 {
		c := pick(rng, Conditions()...)
		o.Condition = c.Name
		c.Apply(&o)
	}
	if rng.IntN(2) == 0 {
		o.drawTraitors(rng)
	}
	o.BadClients = drawBadClients(rng)
	if rng.IntN(3) == 0 {
		o.Faults.Hints = time.Second
	}
	o.Stored = rng.IntN(3) == 0 || slices.ContainsFunc(o.Strategies, aboutParts)
	if rng.IntN(4) == 0 {
		o.Faults.Lapse = time.Second + time.Duration(rng.Int64N(int64(3*time.Second)))
	}
	o.drawStates(rng)
	return o
}

func drawNetwork(rng *rand.Rand) Network {
	n := Network{
		Delay:  pick(rng, 200*time.Microsecond, 2*time.Millisecond, 20*time.Millisecond),
		Jitter: pick(rng, 100*time.Microsecond, 2*time.Millisecond, 20*time.Millisecond),
		FIFO:   rng.IntN(3) == 0,
		Loss:   pick(rng, 0, 0, 0.01, 0.05, 0.2), Duplicate: pick(rng, 0, 0, 0.02, 0.1),
		Uneven: pick(rng, 0, 0, 3), Tail: pick(rng, 0, 0, 0.002, 0.02), Replay: pick(rng, 0, 0, 0.05),
		Bandwidth: pick(rng, 0, 0, 0, 0, 1<<20, 100<<10),
	}
	if rng.IntN(5) == 0 {
		n.Schedule = pick(rng, Schedules()...)
	}
	return n
}

func drawFaults(rng *rand.Rand) Faults {
	often := func(d time.Duration) time.Duration {
		if rng.IntN(2) == 0 {
			return 0
		}
		return d/2 + time.Duration(rng.Int64N(int64(d)))
	}
	seldom := func(d time.Duration) time.Duration {
		if rng.IntN(4) > 0 {
			return 0
		}
		return often(d)
	}
	const s = time.Second
	return Faults{
		Crash: often(2 * s), Power: often(8 * s), Pause: often(4 * s), Slow: often(4 * s), Restore: seldom(6 * s),
		Partition: often(4 * s), Partial: seldom(3 * s), OneWay: often(3 * s), Flap: seldom(4 * s), Isolate: seldom(3 * s), Clog: seldom(3 * s), Narrow: seldom(4 * s),
		Wipe: often(8 * s), Snapshots: often(8 * s), IOError: seldom(2 * s), Full: seldom(3 * s), Rot: seldom(3 * s), Torn: seldom(4 * s), Misread: seldom(4 * s),
		Clock: often(4 * s), Rate: seldom(4 * s), Freeze: seldom(4 * s),
		Panic: seldom(3 * s), Lag: seldom(4 * s), Differ: seldom(8 * s),
	}
}

// drawStates has states lie on disks, and what is done to those.
func (o *Options) drawStates(rng *rand.Rand) {
	if !o.Stored || rng.IntN(2) == 0 {
		return
	}
	o.OnDisk = true
	for _, mean := range []*time.Duration{&o.Faults.StateLost, &o.Faults.StateRot, &o.Faults.StateFlip} {
		if rng.IntN(2) == 0 {
			*mean = 2*time.Second + time.Duration(rng.Int64N(int64(6*time.Second)))
		}
	}
}

// drawTraitors fills what may be faulty with traitors, half of the time leaving
// room for replicas that break.
func (o *Options) drawTraitors(rng *rand.Rand) {
	q, err := pbft.NewQuorumSystem(o.Weights)
	if err != nil {
		panic(err)
	}
	left := q.MaxFaulty()
	if left > 1 && rng.IntN(2) == 0 {
		left = 1 + rng.Uint64N(left-1)
	}
	for _, i := range rng.Perm(len(o.Weights)) {
		if o.Weights[i] <= left {
			left -= o.Weights[i]
			o.Traitors = append(o.Traitors, pbft.ReplicaID(i))
		}
	}
	o.Strategies = drawStrategies(rng, o.Traitors, len(o.Weights))
}

func pick[T any](rng *rand.Rand, choices ...T) T { return choices[rng.IntN(len(choices))] }
