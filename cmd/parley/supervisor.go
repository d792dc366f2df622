package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
)

// supervisor keeps the replicas of a cluster running as processes.
type supervisor struct {
	dir     string
	cluster *crypto.Cluster
	restart bool
	out     io.Writer // where deaths are reported
	// launch makes the process of a replica.
	launch func(i int) (*child, error)

	mu       sync.Mutex
	children []*child // nil where the process could not be made
	stopped  bool
	stopping chan struct{} // closed when stopped
	lost     chan struct{} // closed while too few run for a quorum
	isLost   bool
	watchers sync.WaitGroup
}

func newSupervisor(program, dir string, cluster *crypto.Cluster, restart bool, out io.Writer) *supervisor {
	return &supervisor{
		dir: dir, cluster: cluster, restart: restart, out: out,
		launch:   func(i int) (*child, error) { return startChild(program, dir, i) },
		children: make([]*child, len(cluster.Members)),
		stopping: make(chan struct{}), lost: make(chan struct{}),
	}
}

// startAll starts every replica. One that cannot be started is reported, and the
// others go on.
func (s *supervisor) startAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.children {
		s.start(i)
		s.watchers.Go(func() { s.keep(i) })
	}
	s.judge()
}

// start runs replica i, or reports that it cannot be, with the mutex held.
func (s *supervisor) start(i int) (ok bool) {
	c, err := s.launch(i)
	if err != nil {
		s.children[i] = nil
		s.report(i, fmt.Sprintf("%s cannot be started: %s", replicaName(i), explain(err)))
		return false
	}
	s.children[i] = c
	return true
}

// report says that a replica does not run and how it can, with the mutex held.
func (s *supervisor) report(i int, why string) {
	fmt.Fprintf(s.out, "\n%s\n", why)
	if !s.restart {
		fmt.Fprintf(s.out, "  start it again: %s start --dir %s\n", invocation(), replicaDir(s.dir, i))
	}
}

// judge notes whether enough replicas are left for a quorum, with the mutex held.
func (s *supervisor) judge() {
	up := uint64(0)
	for i, c := range s.children {
		if c != nil && !c.ended() {
			up += s.cluster.Members[i].Weight
		}
	}
	lost := up < quorumWeight(s.cluster)
	if lost == s.isLost {
		return
	}
	if s.isLost = lost; lost {
		close(s.lost)
	} else {
		s.lost = make(chan struct{})
	}
}

const (
	// restartPause comes before a replica is started again, and doubles up to
	// maxRestartPause with each time in a row that this was for nothing.
	restartPause    = time.Second
	maxRestartPause = time.Minute
	// restartWorked is after how long a start was not for nothing.
	restartWorked = time.Minute
)

// keep watches replica i, and starts it again whenever it died or could not be
// started, if that is wanted.
func (s *supervisor) keep(i int) {
	pause := restartPause
	for {
		s.mu.Lock()
		c := s.children[i]
		s.mu.Unlock()
		if c != nil {
			began := time.Now()
			<-c.done
			if c.wasStopped() {
				return
			}
			if time.Since(began) >= restartWorked {
				pause = restartPause
			}
			s.mu.Lock()
			s.report(i, obituary(s.dir, c))
			s.judge()
			s.mu.Unlock()
		}
		if !s.restart {
			return
		}
		s.mu.Lock()
		fmt.Fprintf(s.out, "  %s is started again in %v\n", replicaName(i), pause)
		s.mu.Unlock()
		if !s.sleep(pause) {
			return
		}
		pause = min(2*pause, maxRestartPause)
		s.mu.Lock()
		if s.stopped {
			s.mu.Unlock()
			return
		}
		if s.start(i) {
			fmt.Fprintf(s.out, "%s was started again\n", replicaName(i))
		}
		s.judge()
		s.mu.Unlock()
	}
}

// sleep waits; false if everything is to stop.
func (s *supervisor) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping:
		return false
	}
}

// pids are the processes, 0 where there is none.
func (s *supervisor) pids() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := make([]int, len(s.children))
	for i, c := range s.children {
		if c != nil {
			pids[i] = c.cmd.Process.Pid
		}
	}
	return pids
}

// noQuorum is closed when so many replicas have died that the rest cannot commit,
// and nothing is done about it.
func (s *supervisor) noQuorum() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restart {
		return nil
	}
	return s.lost
}

// failure says that and why there is no quorum, nil if there is one.
func (s *supervisor) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isLost {
		return nil
	}
	var down []string
	for i, c := range s.children {
		if c == nil || c.ended() {
			down = append(down, replicaName(i))
		}
	}
	return fmt.Errorf("without %s too few replicas run to make progress (weight %d of %d is needed): correct what is said of them above, and run this again",
		strings.Join(down, ", "), quorumWeight(s.cluster), s.cluster.TotalWeight())
}

// killAfter is how long a replica may take to stop: more than it gives itself, so
// that it can say why it took so long.
const killAfter = stopDeadline + 5*time.Second

// stopAll ends all replicas and waits. Another Ctrl-C kills them, and so does taking
// longer than killAfter.
func (s *supervisor) stopAll() {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt)
	defer signal.Stop(again)
	s.end(again)
}

func (s *supervisor) end(again <-chan os.Signal) {
	s.mu.Lock()
	s.stopped = true
	close(s.stopping)
	var running []*child
	for _, c := range s.children {
		if c != nil {
			running = append(running, c)
			c.stop()
		}
	}
	s.mu.Unlock()
	patience := time.NewTimer(killAfter)
	defer patience.Stop()
	for _, c := range running {
		why := ""
		select {
		case <-c.done:
			continue
		case <-again:
			why = "interrupted again"
		case <-patience.C:
			why = fmt.Sprintf("did not stop within %v", killAfter)
		}
		for _, c := range running {
			if !c.ended() {
				fmt.Fprintf(s.out, "%s is killed (%s), which loses nothing that was acknowledged\n", replicaName(c.index), why)
				c.kill()
			}
		}
		<-c.done
	}
	s.watchers.Wait()
}
