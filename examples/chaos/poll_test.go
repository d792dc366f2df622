package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
)

// The simulator finds the bug, and names what is wrong.
func TestFindsTheBug(t *testing.T) {
	var out bytes.Buffer
	err := hunt(&out, 20, func() statemachine.StateMachine { return newPoll(false) })
	require.ErrorIs(t, err, chaos.ErrViolation)
	require.Regexp(t, "determinism: replica|reply: replica", err.Error())
}

// Without the bug it finds nothing.
func TestFixed(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, hunt(&out, 3, func() statemachine.StateMachine { return newPoll(true) }))
	require.Equal(t, 3, strings.Count(out.String(), "seed "))
}

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{
		New:            func() statemachine.StateMachine { return newPoll(true) },
		Gen:            func(r *rand.Rand) []byte { return vote(r, 0, 0) },
		SplitInvariant: true,
	})
	require.Error(t, newPoll(true).Restore(strings.NewReader(`{"b":1,"a":2}`)))
	require.Error(t, newPoll(true).Restore(strings.NewReader(`null`)))
}
