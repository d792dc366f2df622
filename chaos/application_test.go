package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Other applications than the key-value store come through the same faults and traitors,
// and to what their models say.
func TestApplications(t *testing.T) {
	for _, a := range Applications() {
		t.Run(a.Name, func(t *testing.T) {
			traitors, operations := 0, 0
			for seed := uint64(1); seed <= 8; seed++ {
				o := Swarm(seed)
				o.Application = a.Name
				r := Run(o)
				require.NoError(t, r.Err(), "reproduce: parley chaos replay --app %s %d", a.Name, seed)
				traitors += len(o.Traitors)
				operations += r.Operations
			}
			require.Positive(t, traitors)
			require.Greater(t, operations, 500)
		})
	}
}

// One seed is one run with every application.
func TestApplicationsRepeat(t *testing.T) {
	for _, a := range Applications() {
		o := Swarm(5)
		o.Application, o.Storm = a.Name, 3*time.Second
		first := Run(o)
		require.NoError(t, first.Err())
		require.Greater(t, first.Operations, 50)
		data, err := EncodeOptions(o)
		require.NoError(t, err)
		again, err := DecodeOptions(data)
		require.NoError(t, err)
		require.Equal(t, first.Trace, Run(again).Trace)
	}
}

// cheat is an application that answers one operation with another result than its model
// wants, on all replicas alike: nothing but the model can tell.
type cheat struct {
	statemachine.StateMachine
	seen int
}

func (c *cheat) Apply(b statemachine.Block) []statemachine.Result {
	results := c.StateMachine.Apply(b)
	for i := range results {
		if c.seen++; c.seen == 40 {
			results[i] = statemachine.Reject(statemachine.CodeApplication, nil)
		}
	}
	return results
}

type cheatingWorld struct{ World }

func (w cheatingWorld) Machine() statemachine.StateMachine {
	return &cheat{StateMachine: w.World.Machine()}
}

func TestModelFindsWrongResults(t *testing.T) {
	for _, a := range Applications() {
		o := calm()
		o.Application = a.Name
		s, err := NewSimulation(o)
		require.NoError(t, err)
		s.world = cheatingWorld{s.world}
		r := s.Run()
		require.NotEmpty(t, r.Violations)
		require.Equal(t, Results, r.Invariant(), r.Violations[0])
	}
}

// An answer from a block that was there before the question is none.
func TestModelWantsOrder(t *testing.T) {
	o := calm()
	o.Application = Applications()[0].Name
	s, err := NewSimulation(o)
	require.NoError(t, err)
	s.judge.model.acknowledged(0, 5, 4)
	require.Empty(t, s.report.Violations)
	require.Equal(t, pbft.Height(5), s.judge.model.acked)
	s.judge.model.acknowledged(1, 5, 5)
	require.Equal(t, Linearizability, s.report.Invariant())
}

func TestApplicationNames(t *testing.T) {
	o := calm()
	o.Application = "ledgr"
	require.ErrorIs(t, o.Validate(), ErrOptions)
	require.ErrorContains(t, o.Validate(), "Application is ledgr: leave it out for the key-value store, or give one of ledger")
	for _, a := range Applications() {
		require.NotEmpty(t, a.Doc)
		w := a.New(crypto.Digest{}, nil)
		require.NotNil(t, w.Model())
	}
}

func TestRegister(t *testing.T) {
	before := registered
	defer func() { registered = before }()
	n := len(Applications())
	Register(Application{Name: "another"})
	require.Len(t, Applications(), n+1)
	_, ok := ApplicationNamed("another")
	require.True(t, ok)
	require.Panics(t, func() { Register(Application{Name: "another"}) })
}
