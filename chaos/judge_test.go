package chaos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// calm are options without any fault.
func calm() Options {
	o := Swarm(1)
	o.Weights, o.Traitors, o.Faults = []uint64{1, 1, 1, 1}, nil, Faults{}
	o.Network = Network{Delay: time.Millisecond}
	o.Laggard, o.Timeouts.RotateEvery, o.BadClients, o.Condition = 0, 0, nil, ""
	o.Storm, o.Think, o.HealAll = 2*time.Second, 20*time.Millisecond, true
	return o
}

func TestCalmRun(t *testing.T) {
	r := Run(calm())
	require.NoError(t, r.Err())
	require.Zero(t, r.Injected())
	require.Zero(t, r.Unknown)
	require.Zero(t, r.ViewChanges)
	require.Greater(t, r.Operations, 50)
	require.Contains(t, r.String(), "trace")
}

// liar is a key-value store that is not the same everywhere.
type liar struct {
	*kv.Machine
	salt byte
}

func (l *liar) Digest() crypto.Digest {
	d := l.Machine.Digest()
	d[0] ^= l.salt
	return d
}

func TestJudgeFindsAnApplicationThatIsNotDeterministic(t *testing.T) {
	o, made := calm(), byte(0)
	o.Machine = func() statemachine.StateMachine {
		made++
		return &liar{kv.New(kv.DefaultLimits()), made}
	}
	o.Operation = func(_ *rand.Rand, client, n int) []byte { return kv.Put([]byte{byte(client)}, []byte(fmt.Sprint(n))) }
	err := Run(o).Err()
	require.ErrorIs(t, err, ErrViolation)
	require.ErrorContains(t, err, "determinism")
}

func TestApplicationOfTheCaller(t *testing.T) {
	o := Swarm(3)
	o.Machine = func() statemachine.StateMachine { return kv.New(kv.DefaultLimits()) }
	o.Operation = func(_ *rand.Rand, client, n int) []byte { return kv.Put([]byte{byte(client)}, []byte(fmt.Sprint(n))) }
	r := Run(o)
	require.NoError(t, r.Err())
	require.Positive(t, r.Blocks)
}

// Replicas that lose their disks and vote on as if nothing had happened.
func TestJudgeFindsForgottenVotes(t *testing.T) {
	o := calm()
	s, err := NewSimulation(o)
	require.NoError(t, err)
	s.after(time.Second, func() {
		for _, m := range s.replicas {
			m.crash()
			m.disk = newDisk() // and fresh: it may vote
			m.boot()
		}
	})
	err = s.Run().Err()
	require.ErrorIs(t, err, ErrViolation)
	require.Regexp(t, "equivocation|agreement|goes back|starts in view", err.Error())
}

// A replica that lost its disk and votes again in a view that it had voted in, be it the
// same as before: it cannot know.
func TestJudgeFindsVotesTooSoonAfterALoss(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	s.after(time.Second, func() {
		m := s.replicas[2]
		m.crash()
		m.wipe()
		require.Equal(t, pbft.View(1), m.disk.mute)
		m.disk.fresh, m.disk.follower = true, false // it may vote
		m.boot()
	})
	require.ErrorContains(t, s.Run().Err(), "equivocation: replica 2 sends")
}

// Messages that promise what is not on the disk.
func TestJudgeFindsMessagesBeforeTheDisk(t *testing.T) {
	block := crypto.Hash("chaos/test", nil)
	for name, m := range map[string]pbft.Message{
		"vote":       &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, Height: 1000, Block: block}, Signer: 2},
		"ViewChange": &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: 7}, Signer: 2}},
		"NewView":    &pbft.NewView{View: 2},
		"checkpoint": &pbft.CheckpointVote{CheckpointStatement: pbft.CheckpointStatement{Height: 1000}, Signer: 2},
	} {
		s, err := NewSimulation(calm())
		require.NoError(t, err)
		s.after(time.Second, func() { s.replicas[2].up.Send(pbft.Everyone, m) })
		err = s.Run().Err()
		require.ErrorIs(t, err, ErrViolation, name)
		require.ErrorContains(t, err, "persist before send: replica 2", name)
	}
}

// With more replicas down than the cluster tolerates nothing is answered.
func TestJudgeFindsNoProgress(t *testing.T) {
	o := calm()
	o.Bound = 5 * time.Second
	s, err := NewSimulation(o)
	require.NoError(t, err)
	s.after(o.Storm+time.Millisecond, func() {
		s.replicas[0].crash()
		s.replicas[1].crash()
	})
	require.ErrorContains(t, s.Run().Err(), "liveness")
}

func TestOptionsValidate(t *testing.T) {
	require.NoError(t, func() error { o := calm(); return o.Validate() }())
	for name, edit := range map[string]func(*Options){
		"Weights":   func(o *Options) { o.Weights = nil },
		"Traitors":  func(o *Options) { o.Traitors = []pbft.ReplicaID{0, 1} },
		"Machine":   func(o *Options) { o.Operation = func(*rand.Rand, int, int) []byte { return nil } },
		"Clients":   func(o *Options) { o.Clients = 0 },
		"Keys":      func(o *Options) { o.Keys = 0 },
		"Life":      func(o *Options) { o.Life = time.Hour },
		"Bound":     func(o *Options) { o.Bound = -1 },
		"Network":   func(o *Options) { o.Network.Loss = 1 },
		"Tick":      func(o *Options) { o.Tick = 0 },
		"Disk":      func(o *Options) { o.Disk = 0 },
		"Think":     func(o *Options) { o.Think = 0 },
		"Retry":     func(o *Options) { o.Retry = 0 },
		"Storm":     func(o *Options) { o.Storm = -1 },
		"Traitors ": func(o *Options) { o.Traitors = []pbft.ReplicaID{9} },
	} {
		o := calm()
		edit(&o)
		_, err := NewSimulation(o)
		require.ErrorIs(t, err, ErrOptions, name)
	}
	for seed := range uint64(200) {
		o := Swarm(seed)
		require.NoError(t, o.Validate(), "seed %d", seed)
	}
}

func TestHistory(t *testing.T) {
	put := func(v string) Op { return Op{Kind: OpPut, Key: "k", New: v} }
	get := Op{Kind: OpGet, Key: "k"}
	swap := func(a, b string) Op { return Op{Kind: OpSwap, Key: "k", Old: a, New: b} }
	type step struct {
		op         Op
		call, back int64 // back 0: unknown, -1: never ran
		out        Outcome
	}
	for name, c := range map[string]struct {
		steps []step
		bad   bool
	}{
		"reads what was written": {steps: []step{{put("a"), 1, 2, Outcome{}}, {get, 3, 4, Outcome{Found: true, Value: "a"}}}},
		"stale read":             {bad: true, steps: []step{{put("a"), 1, 2, Outcome{}}, {put("b"), 3, 4, Outcome{}}, {get, 5, 6, Outcome{Found: true, Value: "a"}}}},
		"lost write":             {bad: true, steps: []step{{put("a"), 1, 2, Outcome{}}, {get, 3, 4, Outcome{}}}},
		"concurrent":             {steps: []step{{put("a"), 1, 9, Outcome{}}, {get, 2, 3, Outcome{}}, {get, 4, 5, Outcome{Found: true, Value: "a"}}}},
		"unknown runs late":      {steps: []step{{put("a"), 1, 0, Outcome{}}, {get, 2, 3, Outcome{}}, {get, 4, 5, Outcome{Found: true, Value: "a"}}}},
		"unknown runs once":      {bad: true, steps: []step{{put("a"), 1, 0, Outcome{}}, {put("b"), 2, 3, Outcome{}}, {get, 4, 5, Outcome{Found: true, Value: "a"}}, {put("c"), 6, 7, Outcome{}}, {get, 8, 9, Outcome{Found: true, Value: "a"}}}},
		"never ran":              {bad: true, steps: []step{{put("a"), 1, -1, Outcome{}}, {get, 2, 3, Outcome{Found: true, Value: "a"}}}},
		"swaps":                  {steps: []step{{put("a"), 1, 2, Outcome{}}, {swap("a", "b"), 3, 4, Outcome{Swapped: true}}, {swap("a", "c"), 5, 6, Outcome{Found: true, Value: "b"}}}},
		"both swap":              {bad: true, steps: []step{{put("a"), 1, 2, Outcome{}}, {swap("a", "b"), 3, 6, Outcome{Swapped: true}}, {swap("a", "c"), 4, 7, Outcome{Swapped: true}}}},
	} {
		var h History
		for i, s := range c.steps {
			n := h.Begin(i, s.op, s.call)
			switch {
			case s.back > 0:
				h.End(n, s.out, s.back)
			case s.back < 0:
				h.Never(n)
			}
		}
		err := h.Check(time.Second)
		if c.bad {
			require.ErrorIs(t, err, ErrNotLinearizable, name)
		} else {
			require.NoError(t, err, name)
		}
	}
}
