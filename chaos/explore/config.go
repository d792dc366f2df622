package explore

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// Config says what to explore.
type Config struct {
	// Name is for the report.
	Name string
	// Weights are the members' weights; nil is four of weight 1. All honest members
	// must weigh the same. At most 7 members.
	Weights []uint64
	// Traitors are the members that follow the menu in place of the protocol. More than
	// the cluster tolerates are allowed: then a violation is to be expected.
	Traitors []pbft.ReplicaID
	// Silent traitors send nothing at all.
	Silent bool
	// Views is how many views there are, from view 0; at least 1. Nobody leaves the last.
	Views int
	// Blocks is how many requests wait at every replica, each for a block of its own, and
	// the height up to which traitors propose. 1 to 4.
	Blocks int
	// Equivocations is how many blocks a traitor may propose in one view on one parent
	// at height 1 or on the base of a view; further up it is one. 1 to 4.
	Equivocations int
	// NewViews is how many NewViews a traitor may make for one view and one base. 1 or 2.
	NewViews int
	// Crashes is how many crashes and restarts there may be in one run, of all honest
	// replicas together; 0 to 4.
	Crashes int
	// Early lets proposals also arrive before they can be voted for. A core holds them
	// until then, so that nothing new comes of it while that works.
	Early bool
	// AgreementOnly leaves out all checks but that the honest commit one chain, so that
	// a run above the bound shows the fork and not the first step towards it.
	AgreementOnly bool
	// MaxStates ends the search, not exhausted, when so many states were found; a state
	// takes some 50 bytes, slices that grow not counted. 0 is 20 million.
	MaxStates int
	// Progress, if not nil, is called after every level of depth.
	Progress func(depth, states, open int)

	// flaw breaks a rule of the host on purpose; tests only.
	flaw flaw
}

// flaw is a rule of the host that a test breaks, to show that the search sees it.
type flaw uint8

const (
	noFlaw      flaw = iota
	sendsEarly       // durable messages leave before the records are on disk
	forgetsVote      // a crash loses the synced record of view and vote
	forgetsHigh      // a crash loses the synced record of the highest certificate
)

const defaultMaxStates = 20_000_000

// Validate reports the first field that makes no sense, its value and the remedy.
func (c *Config) Validate() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("explore config: %s is %v: %s", field, value, remedy)
	}
	n := len(c.weights())
	switch {
	case n > maxMembers:
		return bad("Weights", c.Weights, fmt.Sprintf("give at most %d", maxMembers))
	case len(c.Traitors) >= n:
		return bad("Traitors", c.Traitors, "leave somebody honest")
	case c.Views < 1 || c.Views > 4:
		return bad("Views", c.Views, "must be in 1..4")
	case c.Blocks < 1 || c.Blocks > 4:
		return bad("Blocks", c.Blocks, "must be in 1..4")
	case c.Equivocations < 1 || c.Equivocations > 4:
		return bad("Equivocations", c.Equivocations, "must be in 1..4")
	case c.NewViews < 1 || c.NewViews > 2:
		return bad("NewViews", c.NewViews, "must be 1 or 2")
	case c.Crashes < 0 || c.Crashes > 4:
		return bad("Crashes", c.Crashes, "must be in 0..4")
	case c.MaxStates < 0 || c.MaxStates > 1<<31:
		return bad("MaxStates", c.MaxStates, "must be in 0..2^31")
	}
	for i, t := range c.Traitors {
		if int(t) >= n || slices.Contains(c.Traitors[:i], t) {
			return bad("Traitors", c.Traitors, fmt.Sprintf("name different members below %d", n))
		}
	}
	weight := uint64(0)
	for i, w := range c.weights() {
		if slices.Contains(c.Traitors, pbft.ReplicaID(i)) {
			continue
		}
		if weight != 0 && w != weight {
			return bad("Weights", c.Weights, "give all honest members one weight")
		}
		weight = w
	}
	return nil
}

func (c *Config) weights() []uint64 {
	if c.Weights == nil {
		return []uint64{1, 1, 1, 1}
	}
	return c.Weights
}

func (c *Config) maxStates() int {
	if c.MaxStates == 0 {
		return defaultMaxStates
	}
	return c.MaxStates
}

func (c *Config) lastView() pbft.View { return pbft.View(c.Views - 1) }

// OneBlock is four replicas, two views, one block, and this traitor with its whole
// menu.
func OneBlock(traitor pbft.ReplicaID) Config {
	return Config{
		Name:     fmt.Sprintf("one block, two views, traitor %d", traitor),
		Traitors: []pbft.ReplicaID{traitor}, Views: 2, Blocks: 1, Equivocations: 2, NewViews: 2,
	}
}

// TwoBlocks is [OneBlock] with two blocks in flight at the same time.
func TwoBlocks(traitor pbft.ReplicaID) Config {
	c := OneBlock(traitor)
	c.Name = fmt.Sprintf("two blocks, two views, traitor %d", traitor)
	c.Blocks = 2
	return c
}

// WithCrashes is c with so many crashes of honest replicas.
func WithCrashes(c Config, crashes int) Config {
	c.Name = fmt.Sprintf("%s, crashes: %d", c.Name, crashes)
	c.Crashes = crashes
	return c
}

// ThreeViews is c with a third view.
func ThreeViews(c Config) Config {
	c.Name += ", three views"
	c.Views = 3
	return c
}

// Small are the configurations that are exhausted within a minute or two in all.
func Small() []Config {
	silent := TwoBlocks(3)
	silent.Silent = true
	silent.Name += ", silent"
	return []Config{silent, WithCrashes(silent, 1), OneBlock(0), OneBlock(2)}
}

// Night are those that take longer, or are not exhausted at all: give them a budget.
func Night() []Config {
	three := ThreeViews(OneBlock(3))
	three.Silent = true
	three.Name += ", silent"
	lone := OneBlock(1)
	lone.Equivocations = 1
	lone.Name += ", one proposal on each base"
	return []Config{
		WithCrashes(OneBlock(0), 1), WithCrashes(OneBlock(2), 1), lone, OneBlock(1), WithCrashes(OneBlock(1), 1),
		three, ThreeViews(OneBlock(0)), ThreeViews(OneBlock(1)), ThreeViews(OneBlock(2)),
		TwoBlocks(0), TwoBlocks(1), TwoBlocks(2),
	}
}
