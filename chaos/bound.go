package chaos

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// BoundSizes are the clusters that the bound is shown for: F from 1 to 4, sizes
// that are 3F+1 and sizes that are not, and members of unequal weight.
func BoundSizes() [][]uint64 {
	var all [][]uint64
	for _, n := range []int{4, 5, 6, 7, 8, 9, 10, 13} {
		all = append(all, equalWeights(n))
	}
	return append(all, []uint64{2, 1, 2, 2, 1, 2}, []uint64{3, 3, 2, 2, 1, 1, 1}, []uint64{1, 2, 1, 1, 1, 1})
}

func equalWeights(n int) []uint64 {
	w := make([]uint64, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

// BoundRow is what came of the runs of one cluster with traitors of one weight.
type BoundRow struct {
	Weights []uint64
	// F is what the cluster promises to tolerate, Guilty what the traitors weigh.
	F, Guilty uint64
	Guilt     Guilt
	Runs      int
	// SafetyFell and LivenessFell count runs. At F both are 0; above it the attacks
	// of this table succeed, or the tester would be blind.
	SafetyFell, LivenessFell int
	// Forks are pairs of honest replicas that committed different blocks, Named those
	// for whom their stores named culprits of more than F, Gone those for whom the
	// history was pruned away. LeastNamed is the smallest weight that was named.
	Forks, Named, Gone int
	LeastNamed         uint64
	// Broken are the violations of what must hold in any case, such as a proof
	// against an honest replica, with the seed in front.
	Broken []string
	// Seed is the first in which safety fell.
	Seed uint64
}

// boundAttacks are played by all traitors of a run together, in turn.
var boundAttacks = []string{"fork", "twin", "fork", "mute", "fork", "hide", "fork", "doublevote"}

// Guilt is how much weight the traitors of a run have.
type Guilt int

const (
	// AtBound is F, or the most below it that the weights allow: nothing may fall.
	AtBound Guilt = iota
	// OverBound is F+1, or the least above that: the traitors can stop everything,
	// and lie to clients. Where the members are 3F+1 they can also fork the cluster.
	OverBound
	// Forking is the least weight that two quorums may share: 2Q-W. It is above F+1
	// where the members are not 3F+1.
	Forking
)

func (g Guilt) String() string { return [...]string{"F", "F+1", "2Q-W"}[g] }

// RunBound plays the attacks against a cluster in so many seeds.
func RunBound(ctx context.Context, weights []uint64, guilt Guilt, from uint64, seeds int) (*BoundRow, error) {
	q, err := pbft.NewQuorumSystem(weights)
	if err != nil {
		return nil, err
	}
	row := &BoundRow{Weights: weights, F: q.MaxFaulty(), Guilt: guilt}
	for seed := from; seed < from+uint64(seeds); seed++ {
		if ctx.Err() != nil {
			return row, context.Cause(ctx)
		}
		o := BoundOptions(seed, weights, guilt)
		row.take(&o, Run(o))
	}
	return row, nil
}

// BoundOptions are those of one seed of [RunBound].
func BoundOptions(seed uint64, weights []uint64, guilt Guilt) Options {
	o := Swarm(seed)
	o.Weights, o.AboveBound, o.Faults, o.BadClients = weights, guilt != AtBound, Faults{}, nil
	o.Network = Network{Delay: time.Millisecond, Jitter: time.Millisecond}
	o.Storm, o.HealAll, o.Retain = 4*time.Second, true, 64
	rng := rand.New(rand.NewPCG(seed, 0xb0))
	o.Traitors = drawGuilty(rng, weights, guilt)
	o.Strategies = make([]string, len(weights))
	for i := range o.Strategies {
		o.Strategies[i] = boundAttacks[seed%uint64(len(boundAttacks))]
	}
	return o
}

// drawGuilty draws replicas of the wanted weight, or as close to it as they come
// without being below it (at F: above it).
func drawGuilty(rng *rand.Rand, weights []uint64, guilt Guilt) []pbft.ReplicaID {
	total := uint64(0)
	for _, w := range weights {
		total += w
	}
	faulty := (total - 1) / 3
	want := map[Guilt]uint64{AtBound: faulty, OverBound: faulty + 1, Forking: 2*((total+faulty)/2+1) - total}[guilt]
	var guilty []pbft.ReplicaID
	best := uint64(0)
	for range 64 { // the first that come need not add up to it
		var some []pbft.ReplicaID
		weight := uint64(0)
		for _, i := range rng.Perm(len(weights)) {
			if weight+weights[i] <= want || guilt != AtBound && weight < want {
				weight += weights[i]
				some = append(some, pbft.ReplicaID(i))
			}
		}
		if guilt == AtBound && weight > best || guilt != AtBound && (best == 0 || weight < best) {
			guilty, best = some, weight
		}
	}
	return guilty
}

func (row *BoundRow) take(o *Options, r *Report) {
	row.Runs++
	row.Guilty = 0
	for _, t := range o.Traitors {
		row.Guilty += o.Weights[t]
	}
	safety := r.Findings[Agreement]+r.Findings[Determinism]+r.Findings[ExactlyOnce]+r.Findings[Replies]+r.Findings[Linearizability] > 0 || len(r.Forks) > 0
	if safety {
		if row.SafetyFell++; row.SafetyFell == 1 {
			row.Seed = o.Seed
		}
	}
	if r.Findings[Liveness] > 0 {
		row.LivenessFell++
	}
	for i := range r.Forks {
		f := &r.Forks[i]
		row.Forks++
		if f.Gone {
			row.Gone++
			continue
		}
		weight := uint64(0)
		for _, c := range f.Culprits {
			weight += o.Weights[c]
		}
		if row.Named++; row.Named == 1 || weight < row.LeastNamed {
			row.LeastNamed = weight
		}
	}
	if err := r.Err(); err != nil {
		row.Broken = append(row.Broken, err.Error())
	}
}
