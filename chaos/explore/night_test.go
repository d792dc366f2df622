package explore

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	night       = flag.Bool("explore.night", false, "explore the large configurations as well: hours")
	nightStates = flag.Int("explore.states", 100_000_000, "budget of states for each of them, some 50 bytes each")
)

// TestNight explores what is too large for every day, each until it is exhausted or has
// used up its budget:
//
//	go test ./chaos/explore -run TestNight -explore.night -explore.states 100000000 -timeout 12h -v
func TestNight(t *testing.T) {
	if !*night {
		t.Skip("with -explore.night")
	}
	for _, c := range Night() {
		t.Run(c.Name, func(t *testing.T) {
			c.MaxStates = *nightStates
			at := time.Now()
			c.Progress = func(depth, states, open int) {
				if time.Since(at) > time.Minute {
					at = time.Now()
					fmt.Printf("%s: depth %d, %d states, %d open\n", c.Name, depth, states, open)
				}
			}
			require.Nil(t, run(t, c).Violation)
		})
	}
	t.Run("a lost vote is a fork", func(t *testing.T) {
		c := WithCrashes(OneBlock(0), 1)
		c.flaw, c.AgreementOnly = forgetsVote, true
		r := run(t, c)
		require.NotNil(t, r.Violation)
		require.Contains(t, r.Violation.Text, "agreement: at height 1")
	})
}
