package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// asProgram makes the test binary be the program, so that tests can run it as
// processes without building it.
const asProgram = "PARLEY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	// A worker of the fuzzer inherits the variable, and is no program.
	if os.Getenv(asProgram) != "" && !slices.Contains(os.Args, "-test.fuzzworker") {
		main()
		return
	}
	_ = os.Setenv(asProgram, "1") // for processes that tests start
	_ = os.Unsetenv(dirVariable)
	// The database leaves this one behind when it cannot be opened.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/vfs.(*diskHealthCheckingFS).startTickerLocked.func1"))
}

// outcome is how a command ended.
type outcome struct {
	code     int
	out, err string
}

// parley runs a command within this process.
func parley(t testing.TB, args ...string) outcome { return parleyIn(t, "", args...) }

func parleyIn(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return parleyUntil(t, ctx, stdin, args...)
}

// parleyUntil interrupts the command when ctx ends.
func parleyUntil(t testing.TB, ctx context.Context, stdin string, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &out, &err)
	for _, noise := range []string{"panic", "goroutine ", ".go:"} {
		require.NotContains(t, err.String(), noise)
	}
	return outcome{code, out.String(), err.String()}
}

// must runs a command that is to succeed.
func must(t testing.TB, args ...string) string {
	t.Helper()
	o := parley(t, args...)
	require.Equal(t, exitOK, o.code, "parley %v\n%s%s", args, o.out, o.err)
	return o.out
}

// refused runs a command that is to fail with this code, and a message that has
// all of these in it.
func refused(t testing.TB, code int, args []string, says ...string) {
	t.Helper()
	o := parley(t, args...)
	require.Equal(t, code, o.code, "parley %v\n%s%s", args, o.out, o.err)
	require.Empty(t, o.out)
	for _, s := range says {
		require.Contains(t, o.err, s)
	}
}

// processes is a cluster of real processes.
type processes struct {
	t        testing.TB
	dir      string
	children []*child
}

// makeCluster runs init, on free ports.
func makeCluster(t testing.TB, replicas int, more ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	must(t, append([]string{"init", "--dir", dir, "--replicas", itoa(replicas), "--base-port", itoa(freeBase(t, replicas))}, more...)...)
	return dir
}

// reserved are the ports of the clusters of tests that run: nobody listens on those of a
// cluster that has not started, or of a replica that is down, and they are not free.
var reserved = struct {
	sync.Mutex
	ports map[int]bool
}{ports: make(map[int]bool)}

// freeBase finds ports that are a test's own until it ends.
func freeBase(t testing.TB, replicas int) int {
	t.Helper()
	for {
		base, err := freePorts("127.0.0.1", replicas)
		require.NoError(t, err)
		if reserve(t, newPortPlan(base, replicas), replicas) {
			return base
		}
	}
}

func reserve(t testing.TB, p portPlan, replicas int) bool {
	var all []int
	for i := range replicas {
		all = append(all, p.peer(i), p.client(i), p.admin(i), p.rpc(i))
	}
	reserved.Lock()
	defer reserved.Unlock()
	for _, port := range all {
		if reserved.ports[port] {
			return false
		}
	}
	for _, port := range all {
		reserved.ports[port] = true
	}
	t.Cleanup(func() {
		reserved.Lock()
		defer reserved.Unlock()
		for _, port := range all {
			delete(reserved.ports, port)
		}
	})
	return true
}

func startProcesses(t testing.TB, dir string, replicas int) *processes {
	t.Helper()
	p := &processes{t: t, dir: dir, children: make([]*child, replicas)}
	t.Cleanup(func() {
		for i, c := range p.children {
			if c != nil {
				p.stop(i)
			}
		}
	})
	for i := range p.children {
		p.start(i)
	}
	return p
}

func (p *processes) start(i int) {
	p.t.Helper()
	program, err := os.Executable()
	require.NoError(p.t, err)
	p.children[i], err = startChild(program, p.dir, i)
	require.NoError(p.t, err)
}

func (p *processes) stop(i int) {
	c := p.children[i]
	p.children[i] = nil
	c.stop()
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		c.kill()
		<-c.done
		p.t.Errorf("%s did not stop", replicaName(i))
	}
}

// kill is kill -9.
func (p *processes) kill(i int) {
	c := p.children[i]
	p.children[i] = nil
	c.stop() // so that its input is closed; it is dead before it notices
	c.kill()
	<-c.done
}

// program returns a command that runs as a process.
func program(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return exec.Command(path, args...)
}
