package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGCPercent(t *testing.T) {
	require.Equal(t, 1600, gcPercent(0), "the least heap is 16 times 4 MiB then")
	require.Equal(t, 640, gcPercent(10<<20))
	require.Equal(t, 100, gcPercent(64<<20))
	require.Equal(t, 50, gcPercent(8<<30), "a large state does not use many times its size")
}

// The percentage follows the live heap, and stop restores what was there.
func TestKeepHeadroom(t *testing.T) {
	t.Setenv("GOGC", "")
	require.NoError(t, os.Unsetenv("GOGC"))
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	stop := keepHeadroom()
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	ballast := make([]byte, 64<<20)
	require.Eventually(t, func() bool {
		runtime.GC()
		return percent() <= 100
	}, time.Minute, time.Millisecond, "64 MiB are alive")
	runtime.KeepAlive(ballast)
	stop()
	require.Equal(t, 77, percent())

	t.Setenv("GOGC", "55")
	debug.SetGCPercent(55)
	stop = keepHeadroom()
	require.Equal(t, 55, percent(), "what the environment says holds")
	stop()
	require.Equal(t, 55, percent())
}
