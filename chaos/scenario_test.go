package chaos

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// firstResults are those of TestScenarios, so that TestScenariosAreDeterministic plays
// each once only.
var firstResults = map[string]*ScenarioResult{}

// Every scenario is played, and holds. The race detector has nothing to find in the
// simulated ones, which are one goroutine each, and takes minutes for it.
func TestScenarios(t *testing.T) {
	all := Scenarios()
	if raceDetector {
		all = append(slices.Clone(serverScenarios), all[0])
	}
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			r := s.Run()
			firstResults[s.Name] = r
			t.Logf("%.2fs %s", r.Seconds, strings.Join(r.Facts, "; "))
			require.NoError(t, r.Err())
			require.NotEmpty(t, r.Facts)
			require.Equal(t, "holds", r.Verdict())
		})
	}
}

// Every bug of the catalogue has a scenario, and every scenario says all that it has to.
func TestEveryKnownBugHasAScenario(t *testing.T) {
	covered, names := map[string]bool{}, map[string]bool{}
	kebab := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	for _, s := range Scenarios() {
		require.Regexp(t, kebab, s.Name)
		require.False(t, names[s.Name], "two scenarios are called %s", s.Name)
		names[s.Name] = true
		require.NotEmpty(t, s.Bugs, s.Name)
		for _, id := range s.Bugs {
			require.False(t, covered[id], "two scenarios cover %s", id)
			covered[id] = true
			require.True(t, slices.ContainsFunc(KnownBugs(), func(b KnownBug) bool { return b.ID == id }), "%s covers %s, which is not in the catalogue", s.Name, id)
		}
		for field, text := range map[string]string{"Origin": s.Origin, "Wrong": s.Wrong, "Differs": s.Differs, "Rules": s.Rules} {
			require.NotEmpty(t, text, "%s of %s", field, s.Name)
		}
		for _, b := range s.Breaches {
			require.NotEmpty(t, b.Title, s.Name)
			require.NotEmpty(t, b.Sites, s.Name)
		}
	}
	for _, b := range KnownBugs() {
		require.True(t, covered[b.ID], "no scenario covers %s: %s", b.ID, b.Title)
		require.True(t, b.URL == "" || strings.HasPrefix(b.URL, "https://"), b.ID)
	}
	of := func(prefix string) (n int) {
		for _, b := range KnownBugs() {
			if strings.HasPrefix(b.ID, prefix) {
				n++
			}
		}
		return n
	}
	require.Equal(t, 13, of("CometBFT GO-"), "the advisories")
	require.Equal(t, 17, of("etcd #"), "the rows of the track record")
	require.Len(t, KnownBugs(), 76)
}

func TestScenarioVerdicts(t *testing.T) {
	s := Scenario{Name: "x", play: func(a *act) { a.occurred(false, "moment %d", 1) }}
	r := s.Run()
	require.ErrorIs(t, r.Err(), ErrScenario)
	require.ErrorContains(t, r.Err(), "not played: moment 1")
	require.Equal(t, "NOT PLAYED", r.Verdict())

	s.play = func(a *act) { a.holds(true, "never"); a.holds(false, "rule %d", 2) }
	require.ErrorContains(t, s.Run().Err(), "rule 2")

	s.play = func(*act) { panic(errors.New("a mistake")) }
	r = s.Run()
	require.Equal(t, "FAILED", r.Verdict())
	require.Contains(t, r.Broken[0], "a mistake")

	s.play = func(a *act) { a.judged(&Report{Violations: []string{"agreement: fell"}}) }
	require.ErrorContains(t, s.Run().Err(), "agreement: fell")
}

// A simulated scenario is the same each time.
func TestScenariosAreDeterministic(t *testing.T) {
	if raceDetector {
		t.Skip("slow, and one goroutine")
	}
	played := 0
	for i, s := range Scenarios() {
		if i%3 != 0 {
			continue // a third of them is enough to pay for
		}
		first := firstResults[s.Name]
		if first == nil {
			first = s.Run()
		}
		if len(first.traces) == 0 {
			continue // it simulates nothing
		}
		played++
		second := s.Run()
		require.Equal(t, first.traces, second.traces, s.Name)
		require.Equal(t, first.Facts, second.Facts, s.Name)
	}
	require.Greater(t, played, 12)
	_, ok := ScenarioNamed("no-such-scenario")
	require.False(t, ok)
}

func TestWriteScenarios(t *testing.T) {
	var b strings.Builder
	require.NoError(t, WriteScenarios(&b, Scenarios()))
	require.Equal(t, len(Scenarios()), strings.Count(b.String(), "- **There:**"))
	require.Contains(t, b.String(), "https://github.com/neo-project/neo-modules/issues/792")
	file, err := os.ReadFile("SCENARIOS.md")
	require.NoError(t, err)
	require.Equal(t, string(file), b.String(), "run: go run ./cmd/parley chaos scenarios --markdown > chaos/SCENARIOS.md")
}
