package mutants

import (
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/pbft"
)

// The helpers here make a run in which a rule matters. Nothing is told to the
// judge.

// four makes it a cluster of four equal replicas without faults, on a good network.
func four(o *chaos.Options) {
	o.Weights = []uint64{1, 1, 1, 1}
	o.Traitors, o.Strategies, o.BadClients = nil, nil, nil
	o.Faults, o.Laggard = chaos.Faults{}, 1
	o.Network = chaos.Network{Delay: time.Millisecond, Jitter: time.Millisecond}
}

// playing is [four] with one traitor that plays one of the strategies.
func playing(strategies ...string) func(*chaos.Options) {
	return func(o *chaos.Options) {
		four(o)
		traitor(o, strategies[o.Seed/4%uint64(len(strategies))])
	}
}

// traitor makes the replica that the seed names a traitor, the only one.
func traitor(o *chaos.Options, strategy string) {
	id := o.Seed % uint64(len(o.Weights))
	o.Traitors = []pbft.ReplicaID{pbft.ReplicaID(id)}
	o.Strategies = make([]string, len(o.Weights))
	o.Strategies[id] = strategy
}

// serving is [four] with clients that misbehave.
func serving(clients ...string) func(*chaos.Options) {
	return func(o *chaos.Options) {
		four(o)
		o.BadClients = clients
	}
}

// faulty is [four] with a kind of fault.
func faulty(fault func(*chaos.Faults)) func(*chaos.Options) {
	return func(o *chaos.Options) {
		four(o)
		fault(&o.Faults)
	}
}

// with puts one more change on top.
func with(first func(*chaos.Options), then func(*chaos.Options)) func(*chaos.Options) {
	return func(o *chaos.Options) {
		first(o)
		then(o)
	}
}

// cuts are partitions and one-way cuts.
func cuts(o *chaos.Options) { o.Faults.Partition, o.Faults.OneWay = 2*time.Second, 2*time.Second }

// steering has what suits each mutant; the others get the plain swarm.
var steering = map[int]func(*chaos.Options){
	1:  playing("fork", "twin", "equivocate"),
	2:  with(playing("fork", "twin", "hide"), func(o *chaos.Options) { o.Weights = []uint64{1, 1, 1, 1, 1} }),
	3:  with(four, cuts),
	4:  playing("wrongbase"),
	5:  with(four, cuts),
	6:  four,
	7:  playing("wrongcheckpoint"),
	10: serving("sibling"),
	11: playing("crosscontext"),
	12: playing("wrongbase"),
	13: with(four, cuts),
	14: playing("slow", "censor"),
	15: with(four, func(o *chaos.Options) {
		o.Network = chaos.Network{Delay: 150 * time.Millisecond, Jitter: time.Millisecond}
		o.Timeouts.Progress = 20
	}),
	16: playing("huge"),
	17: serving("twofaced", "backups"),
	18: with(faulty(func(f *chaos.Faults) { f.Crash, f.Snapshots = 2*time.Second, time.Second }), func(o *chaos.Options) { o.CheckpointEvery, o.Retain = 4, 0 }),
	19: playing("lie"),
	20: four,
	21: with(playing("poison"), func(o *chaos.Options) {
		o.Faults.Partition, o.Faults.Isolate = time.Second, time.Second
		o.CheckpointEvery, o.Retain = 4, 0
	}),
	22: faulty(func(f *chaos.Faults) { f.Torn = 500 * time.Millisecond }),
	23: faulty(func(f *chaos.Faults) { f.IOError, f.Power = time.Second, 2*time.Second }),
	24: four,
	25: with(four, cuts),
	26: playing("fork", "equivocate", "twin"),
	27: with(four, cuts),
	29: with(four, cuts),
	30: faulty(func(f *chaos.Faults) { f.Isolate, f.Crash = time.Second, 300*time.Millisecond }),
	31: faulty(func(f *chaos.Faults) { f.Wipe = time.Second }),
	32: with(faulty(func(f *chaos.Faults) { f.Wipe, f.Isolate = time.Second, time.Second }), func(o *chaos.Options) {
		// What they said before the disk was lost comes after that.
		o.Network = chaos.Network{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, Schedule: "late statuses"}
	}),
	28: serving("replayer", "leaper"),
	33: with(faulty(func(f *chaos.Faults) { f.Wipe = time.Second }), func(o *chaos.Options) {
		o.HealAll, o.Storm, o.Timeouts.RotateEvery = true, 4*time.Second, 0
	}),
	34: with(four, cuts),
	35: playing("equivocate"),
	36: four,
	38: with(playing("falseparts"), inParts),
	39: with(faulty(func(f *chaos.Faults) { f.Wipe = time.Second }), inParts),
	40: with(playing("frameparts"), inParts),
	41: with(four, onDisk),
	42: with(four, onDisk),
	43: with(with(faulty(func(f *chaos.Faults) { f.StateLost = time.Second }), onDisk), func(o *chaos.Options) { o.CheckpointEvery, o.Retain = 16, 100 }),
	44: with(four, onDisk),
}

// scenarios are for rules that ideal signatures hide.
var scenarios = map[int]func(uint64) *chaos.Report{
	8:  func(seed uint64) *chaos.Report { return chaos.RunForgery(chaos.RogueKey, seed) },
	9:  func(seed uint64) *chaos.Report { return chaos.RunForgery(chaos.IdentityKey, seed) },
	37: chaos.RunDiverged,
}
