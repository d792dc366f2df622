package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
)

// actors are replicas without processes.
type actors struct {
	mu       sync.Mutex
	refuse   map[int]error       // whose start fails
	launched map[int][]time.Time // every attempt
	now      map[int]*child
	again    *sync.Cond // after each attempt
}

func (a *actors) launch(i int) (*child, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.launched[i] = append(a.launched[i], time.Now())
	a.again.Broadcast()
	if err := a.refuse[i]; err != nil {
		return nil, err
	}
	c := &child{index: i, done: make(chan struct{})}
	c.stdin = &input{close: sync.OnceFunc(func() { close(c.done) })}
	a.now[i] = c
	return c, nil
}

// die ends a replica by itself.
func (a *actors) die(i int, err error) {
	a.mu.Lock()
	c := a.now[i]
	a.mu.Unlock()
	c.err = err
	c.stdin.(*input).close()
	synctest.Wait()
}

// await waits until a replica was launched so often. In a bubble the clock goes on to
// whatever the supervisor waits for.
func (a *actors) await(i, attempts int) {
	a.mu.Lock()
	for len(a.launched[i]) < attempts {
		a.again.Wait()
	}
	a.mu.Unlock()
	synctest.Wait()
}

func (a *actors) attempts(i int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.launched[i])
}

type input struct {
	io.Writer
	close func()
}

func (i *input) Close() error {
	i.close()
	return nil
}

func fourActors(t *testing.T, restart bool) (*supervisor, *actors, *bytes.Buffer) {
	var out bytes.Buffer
	a := &actors{refuse: make(map[int]error), launched: make(map[int][]time.Time), now: make(map[int]*child)}
	a.again = sync.NewCond(&a.mu)
	members := make([]crypto.Member, 4)
	for i := range members {
		members[i].Weight = 1
	}
	s := newSupervisor("", t.TempDir(), &crypto.Cluster{Members: members}, restart, &out)
	s.launch = a.launch
	return s, a, &out
}

// said is what the supervisor has reported.
func said(s *supervisor, out *bytes.Buffer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return out.String()
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A start that fails is not the last one: it is tried again after pauses that grow
// up to a limit, and begin anew after a start that lasted.
func TestSupervisorRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, out := fourActors(t, true)
		s.startAll()
		require.Nil(t, s.failure())
		a.mu.Lock()
		a.refuse[2] = errors.New("no room")
		a.mu.Unlock()
		a.die(2, errors.New("exit status 1"))
		a.await(2, 10) // the first start, and the pauses below
		var pauses []time.Duration
		a.mu.Lock()
		for k, at := range a.launched[2][1:] {
			if k > 0 {
				pauses = append(pauses, at.Sub(a.launched[2][k]))
			}
		}
		a.mu.Unlock()
		require.Equal(t, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second,
			time.Minute, time.Minute, time.Minute}, pauses)
		require.Contains(t, said(s, out), "replica-2 has died: exit status 1\n  replica-2 is started again in 1s\n")
		require.Contains(t, said(s, out), "replica-2 cannot be started: no room\n  replica-2 is started again in 4s\n")
		require.Nil(t, s.failure())
		require.False(t, closed(s.noQuorum()))

		a.mu.Lock()
		delete(a.refuse, 2)
		a.mu.Unlock()
		a.await(2, 11)
		require.Contains(t, said(s, out), "replica-2 was started again\n")
		advance(2 * time.Minute) // it lasts
		n, before := a.attempts(2), len(said(s, out))
		a.die(2, nil)
		require.Contains(t, said(s, out)[before:], "replica-2 has stopped: something told its process to\n  replica-2 is started again in 1s\n")
		advance(restartPause)
		require.Equal(t, n+1, a.attempts(2))
		s.end(nil)
		require.NotContains(t, said(s, out), "killed")
	})
}

// Whether there is a quorum is what is now, not what was once.
func TestSupervisorQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, _ := fourActors(t, true)
		a.refuse[0] = errors.New("no room")
		s.startAll()
		require.Nil(t, s.failure())
		for i := range 2 {
			a.die(1, errors.New("x"))
			require.ErrorContains(t, s.failure(), "without replica-0, replica-1 too few replicas run to make progress (weight 3 of 4 is needed)")
			a.await(1, 2+i)
			require.NoError(t, s.failure())
		}
		s.end(nil)
	})
	synctest.Test(t, func(t *testing.T) {
		s, a, out := fourActors(t, false)
		s.startAll()
		gone := s.noQuorum()
		a.die(1, errors.New("x"))
		require.False(t, closed(gone))
		require.Contains(t, said(s, out), "start it again: ")
		a.die(3, errors.New("x"))
		require.True(t, closed(gone))
		advance(time.Hour)
		require.Equal(t, 1, a.attempts(1), "without --restart nothing is")
		s.end(nil)
	})
}

// Who was killed said nothing about it.
func TestObituary(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(replicaDir(dir, 0), 0o700))
	require.NoError(t, os.WriteFile(replicaLogPath(dir, 0), []byte("level=INFO all is well\n"), 0o600))
	end := func(script string) string {
		return obituary(dir, &child{err: exec.Command("sh", "-c", script).Run()})
	}
	require.Equal(t, "replica-0 has died: killed by signal 9 (kill -9, or the system was out of memory)", end("kill -9 $$"))
	require.Equal(t, "replica-0 has died: killed by signal 15 (terminated)", end("kill -15 $$"))
	require.Equal(t, "replica-0 has died: exit status 3\n  its last words: level=INFO all is well", end("exit 3"))
	require.Equal(t, "replica-0 has stopped: something told its process to", end(""))
}

// Stopping ends, also if the disk does not answer.
func TestStopWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		defer close(never)
		hangs := func(context.Context) error {
			<-never
			return nil
		}
		began := time.Now()
		require.ErrorContains(t, stopWithin(t.Context(), hangs, nil), "did not stop within 30s")
		require.Equal(t, stopDeadline, time.Since(began))

		again := make(chan os.Signal, 1)
		again <- syscall.SIGINT
		require.ErrorContains(t, stopWithin(t.Context(), hangs, again), "ended at once by another signal (interrupt)")

		broken := errors.New("broken")
		require.ErrorIs(t, stopWithin(t.Context(), func(ctx context.Context) error {
			at, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, stopPatience, time.Until(at))
			return broken
		}, nil), broken)
	})
}

func TestStatusLineOfTooFew(t *testing.T) {
	ros, err := roster.Load(clusterFilePath(makeCluster(t, 4)))
	require.NoError(t, err)
	s := clusterState{Replicas: make([]replicaState, 4), Primary: -1}
	for i := range s.Replicas {
		s.Replicas[i].Weight = 1
	}
	require.Contains(t, statusLine(ros, &s, 0), "0 of 4 up, TOO FEW to make progress | ")
	require.Equal(t, "TOO FEW REPLICAS ARE UP TO MAKE PROGRESS: 0 of 4 (weight 0 of 4; 3 is needed); nothing is committed until more are", progressLine(ros, &s, true))
	require.True(t, strings.HasPrefix(progressLine(ros, &s, false), "Enough replicas are up again"))
}
