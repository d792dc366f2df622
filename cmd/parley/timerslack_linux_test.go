package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A replica's process begins anew with its slack, under the same number, unless whoever
// started it has chosen another one.
func TestTimerSlack(t *testing.T) {
	const chosen = 70 * time.Microsecond
	for _, test := range []struct{ given, want time.Duration }{{usualSlack, timerSlack}, {chosen, chosen}} {
		dir := makeCluster(t, 1)
		runtime.LockOSThread() // a process has the slack of the thread that starts it
		require.NoError(t, unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(test.given.Nanoseconds()), 0, 0, 0))
		p := startProcesses(t, dir, 1)
		require.NoError(t, unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usualSlack.Nanoseconds()), 0, 0, 0))
		runtime.UnlockOSThread()
		must(t, "put", "--dir", dir, "k", "v") // so it is up

		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", p.children[0].cmd.Process.Pid))
		require.NoError(t, err)
		slack, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		require.NoError(t, err)
		require.Equal(t, test.want, time.Duration(slack))
	}
}
