package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every invariant on the list is one that something can violate.
func TestEveryInvariantIsChecked(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var source strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		source.Write(data)
	}
	names := map[Invariant]string{
		Agreement: "Agreement", Validity: "Validity", ExactlyOnce: "ExactlyOnce", Certificates: "Certificates", Bases: "Bases",
		Equivocation: "Equivocation", Persistence: "Persistence", Determinism: "Determinism", Transfers: "Transfers", Replies: "Replies",
		Linearizability: "Linearizability", Monotonicity: "Monotonicity", Watermarks: "Watermarks", Framing: "Framing",
		Accountability: "Accountability", Bounds: "Bounds", Health: "Health", Liveness: "Liveness",
	}
	for _, inv := range Invariants() {
		require.Contains(t, source.String(), "violate("+names[inv]+",", string(inv))
	}
}
