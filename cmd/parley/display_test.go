package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
)

func TestProgressWithoutATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		finished := make(chan struct{})
		begin := time.Now()
		time.AfterFunc(3500*time.Millisecond, func() { close(finished) })
		showProgress(&out, "loaded", 1000, finished, func() int { return int(time.Since(begin) / time.Second * 100) })
		require.Equal(t, "loaded 100 of 1000, 100/s, 9s left\nloaded 200 of 1000, 100/s, 8s left\nloaded 300 of 1000, 100/s, 7s left\n", out.String())
	})
}

// A benchmark's progress tells the warm-up from the measurement, and counts
// operations, not seconds.
func TestBenchProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		finished := make(chan struct{})
		begin := time.Now()
		time.AfterFunc(5800*time.Millisecond, func() { close(finished) })
		showBenchProgress(&out, begin.Add(1500*time.Millisecond), begin.Add(4500*time.Millisecond), finished, func() int64 {
			s := int64(time.Since(begin) / time.Second)
			return 100 * s * s
		})
		require.Equal(t, "warming up, 0 s left: 100 operations/s\nmeasuring, 2 s left: 300 operations/s\nmeasuring, 2 s left: 500 operations/s\n"+
			"measuring, 0 s left: 700 operations/s\nwaiting for the last operations\n", out.String())
	})
}

func TestProgressBar(t *testing.T) {
	var out bytes.Buffer
	finished := make(chan struct{})
	close(finished)
	showBar(&out, "loaded", 7, finished, func() int { return 7 })
	require.Contains(t, out.String(), "loaded")
	require.Contains(t, out.String(), "7/7")
	require.True(t, strings.HasSuffix(out.String(), "\n"))
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	tab := newTable(&out, "A", "LONGER")
	tab.row("some cell", 1)
	tab.row("tab\tbed", 22)
	require.NoError(t, tab.render())
	require.Equal(t, "A          LONGER\nsome cell  1\ntab bed    22\n", out.String())
}

func TestExplain(t *testing.T) {
	refused := fmt.Errorf(`%w: connected are {}, %w; replica-0: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:7800: connect: connection refused"; replica-1: x`,
		client.ErrUnavailable, context.DeadlineExceeded)
	require.Equal(t, "too few replicas can be reached: time ran out\n  replica-0: 127.0.0.1:7800: connect: connection refused\n  replica-1: x\n"+
		"are the replicas running, and is this their cluster file? 'parley status' shows each of them", explain(refused))
	inUse := &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	require.Contains(t, explain(fmt.Errorf("client listener: %w", inUse)), "address already in use: another program listens there")
	require.Equal(t, 1, strings.Count(explain(fmt.Errorf("cannot listen: %w; another process listens there: stop it", inUse)), "listens there"), "one remedy is enough")
	require.Contains(t, explain(syscall.ENOSPC), "free some space")
	require.Equal(t, "interrupted", explain(fmt.Errorf("x: %w", context.Canceled)))
	require.Equal(t, "plain", explain(errors.New("plain")))
	require.Equal(t, `replica-0: \u001b[2J\u000dall is well\u009b1A`, explain(errors.New("replica-0: \x1b[2J\rall is well\u009b1A")), "a replica's words move no cursor")
}

func TestExitCodes(t *testing.T) {
	require.Equal(t, exitOK, exitCode(nil))
	require.Equal(t, exitFailed, exitCode(errors.New("x")))
	require.Equal(t, exitUsage, exitCode(fmt.Errorf("x: %w", usagef(nil, "y"))))
	require.Equal(t, exitUnknown, exitCode(fmt.Errorf("x: %w", client.ErrOutcomeUnknown)))
	require.Equal(t, exitAbsent, exitCode(&absentError{"x"}))
	require.Equal(t, exitNoProof, exitCode(&noProofError{"x", client.ErrOutcomeUnknown}))
	require.Equal(t, exitInvalid, exitCode(&invalidError{"x"}))
	for code := range exitInvalid + 1 {
		require.Contains(t, "\n"+exitCodesHelp, fmt.Sprintf("\n%d  ", code))
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"": `""`, "plain text": "plain text", "grün": "grün", "a\nb": `"a\nb"`, "\xff": `"\xff"`} {
		require.Equal(t, want, text([]byte(in)))
	}
	data, err := jsonBytes("grün").MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, `"grün"`, string(data))
	data, err = jsonBytes("\xff").MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, `{"base64":"/w=="}`, string(data))
}

func TestPortPlanUsesPortsOnce(t *testing.T) {
	for _, n := range []int{1, 4, 100, 101, 256} {
		p := newPortPlan(20000, n)
		seen := make(map[int]bool)
		for i := range n {
			for _, port := range []int{p.peer(i), p.client(i), p.admin(i)} {
				require.False(t, seen[port])
				require.LessOrEqual(t, port, p.last(n))
				seen[port] = true
			}
		}
	}
}

func TestWatchStatus(t *testing.T) {
	dir := makeCluster(t, 4)
	to := target{dir: dir, cluster: clusterFilePath(dir)}
	d, err := to.direct()
	require.NoError(t, err)
	defer d.close()
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelAfter{lines: 2, cancel: cancel}
	require.NoError(t, watchStatus(ctx, d, time.Second, time.Millisecond, true, out))
	require.Contains(t, out.String(), `"reachable":0`)
	var table bytes.Buffer
	s := d.states(t.Context(), time.Second)
	require.NoError(t, printState(&table, d, &s, false))
	require.Contains(t, table.String(), "0 of 4 replicas reachable, view 0, primary unknown")
	require.False(t, d.quorum(&s))
}

// cancelAfter cancels once so many lines were written.
type cancelAfter struct {
	bytes.Buffer
	lines  int
	cancel func()
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if c.lines -= bytes.Count(p, []byte("\n")); c.lines <= 0 {
		c.cancel()
	}
	return c.Buffer.Write(p)
}
