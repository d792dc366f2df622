package chaos

import (
	"os"
	"runtime/debug"
	"testing"
)

// Runs are short and small, as in 'parley chaos run': collecting garbage less often saves a third of
// the time. Where GOGC is set, that counts.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(m.Run())
}
