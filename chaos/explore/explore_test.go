package explore

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

func run(t *testing.T, c Config) *Result {
	t.Helper()
	r, err := Run(t.Context(), c)
	require.NoError(t, err)
	t.Log(r)
	return r
}

// The counts change when the core does: look at what the change brought about, and
// write down the new ones.
func TestExhaustive(t *testing.T) {
	one := OneBlock(3)
	one.Name, one.Silent = "one block, silent, a crash, early proposals", true
	one.Crashes, one.Early = 1, true
	want := map[string][2]int{
		one.Name: {12424, 31284},
		"two blocks, two views, traitor 3, silent":             {35571, 87768},
		"two blocks, two views, traitor 3, silent, crashes: 1": {400202, 1104974},
		"one block, two views, traitor 0":                      {643247, 1954213},
		"one block, two views, traitor 2":                      {267002, 807077},
	}
	for _, c := range append(Small(), one) {
		t.Run(c.Name, func(t *testing.T) {
			r := run(t, c)
			require.Nil(t, r.Violation)
			require.True(t, r.Exhausted)
			require.Positive(t, r.Ends, "the search never came to an end of a run")
			require.Equal(t, want[c.Name], [2]int{r.States, r.Transitions})
		})
	}
}

func TestSameCounts(t *testing.T) {
	c := OneBlock(1)
	c.MaxStates = 50_000
	first, second := run(t, c), run(t, c)
	require.Nil(t, first.Violation)
	require.False(t, first.Exhausted)
	require.Equal(t, first, second)
}

// TestNotBlind breaks what must not be broken, and demands that it is found.
func TestNotBlind(t *testing.T) {
	with := func(c Config, edit func(*Config)) Config { edit(&c); return c }
	coalition := with(OneBlock(0), func(c *Config) { c.Traitors = []pbft.ReplicaID{0, 3} })
	late := with(OneBlock(1), func(c *Config) { c.Traitors, c.Equivocations, c.NewViews = []pbft.ReplicaID{1, 3}, 1, 1 })
	heavy := with(OneBlock(0), func(c *Config) { c.Weights = []uint64{3, 1, 1, 1} })
	agreement := func(c *Config) { c.AgreementOnly = true }
	crash := WithCrashes(OneBlock(0), 1)
	for _, c := range []struct {
		name   string
		config Config
		text   string
		steps  int // of the shortest story, the line about the traitors included
	}{
		{"two traitors, certificates", coalition, "two certificates exist that clash", 3},
		{"two traitors, agreement", with(coalition, agreement), "agreement: at height 1", 7},
		{"two traitors, none leads the first view", with(late, agreement), "agreement: at height 1", 0},
		{"a traitor of more than F weight", with(heavy, agreement), "agreement: at height 1", 7},
		{"messages leave before the records are on disk", with(crash, func(c *Config) { c.flaw = sendsEarly }), "votes in view 0 for 1a and 1b", 3},
		{"a crash loses the vote", with(crash, func(c *Config) { c.flaw = forgetsVote }), "goes back from view 1 to 0", 3},
		{"a crash loses the highest certificate", with(crash, func(c *Config) { c.flaw = forgetsHigh }), "and claims only (0,0) for view 1", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, c.config)
			require.NotNil(t, r.Violation)
			require.False(t, r.Exhausted)
			require.Contains(t, r.Violation.Text, c.text)
			if c.steps > 0 {
				require.Len(t, r.Violation.Schedule, c.steps)
			}
			require.Contains(t, r.String(), "   1. traitors: ")
			require.NotContains(t, strings.Join(r.Violation.Schedule, "\n"), "could not be found again")
		})
	}
}

// TestIgnored holds the list of fields that are left out against the core.
func TestIgnored(t *testing.T) {
	core := reflect.TypeFor[pbft.Core]()
	for name := range ignored {
		_, ok := core.FieldByName(name)
		require.True(t, ok, "the core has no field %s any more: look at what took its place", name)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		edit func(*Config)
		want string
	}{
		{func(c *Config) { c.Weights = make([]uint64, 8) }, "Weights"},
		{func(c *Config) { c.Weights = []uint64{1, 1, 2, 1} }, "Weights"},
		{func(c *Config) { c.Weights = []uint64{0, 0, 0, 0} }, "Weights"},
		{func(c *Config) { c.Traitors = []pbft.ReplicaID{4} }, "Traitors"},
		{func(c *Config) { c.Traitors = []pbft.ReplicaID{1, 1} }, "Traitors"},
		{func(c *Config) { c.Traitors = []pbft.ReplicaID{0, 1, 2, 3} }, "Traitors"},
		{func(c *Config) { c.Views = 0 }, "Views"},
		{func(c *Config) { c.Blocks = 0 }, "Blocks"},
		{func(c *Config) { c.Equivocations = 0 }, "Equivocations"},
		{func(c *Config) { c.NewViews = 3 }, "NewViews"},
		{func(c *Config) { c.Crashes = -1 }, "Crashes"},
		{func(c *Config) { c.MaxStates = -1 }, "MaxStates"},
	} {
		cfg := OneBlock(0)
		c.edit(&cfg)
		_, err := Run(t.Context(), cfg)
		require.ErrorContains(t, err, c.want)
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := TwoBlocks(1)
	levels := 0
	c.Progress = func(depth, states, open int) {
		require.Positive(t, states)
		require.Positive(t, open)
		if levels++; depth == 5 {
			cancel()
		}
	}
	_, err := Run(ctx, c)
	require.ErrorIs(t, err, context.Canceled)
	require.GreaterOrEqual(t, levels, 5)
}
