package chaos

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every scenario is played, and holds.
func TestScenarios(t *testing.T) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			r := s.Run()
			t.Logf("%.2fs %s", r.Seconds, strings.Join(r.Facts, "; "))
			require.NoError(t, r.Err())
			require.NotEmpty(t, r.Facts)
		})
	}
}
