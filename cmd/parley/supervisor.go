package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
)

// supervisor keeps the replicas of a cluster running as processes.
type supervisor struct {
	program, dir string
	cluster      *crypto.Cluster
	restart      bool
	out          io.Writer // where deaths are reported

	mu       sync.Mutex
	children []*child // nil where the process could not be made
	stopped  bool
	stopping chan struct{} // closed when stopped
	dead     []string      // who died
	lost     chan struct{} // closed when too few run for a quorum
	lostOnce sync.Once
	watchers sync.WaitGroup
}

// startAll starts every replica. One that cannot be started is reported, and the
// others go on.
func (s *supervisor) startAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost, s.stopping = make(chan struct{}), make(chan struct{})
	s.children = make([]*child, len(s.cluster.Members))
	for i := range s.children {
		if err := s.start(i); err != nil {
			s.report(i, fmt.Sprintf("%s cannot be started: %s", replicaName(i), explain(err)))
		}
	}
	s.judge()
}

// start runs replica i, with the mutex held.
func (s *supervisor) start(i int) error {
	c, err := startChild(s.program, s.dir, i)
	if err != nil {
		return err
	}
	s.children[i] = c
	s.watchers.Go(func() { s.watch(c) })
	return nil
}

// report says that a replica does not run and how it can, with the mutex held.
func (s *supervisor) report(i int, why string) {
	if name := replicaName(i); !slices.Contains(s.dead, name) {
		s.dead = append(s.dead, name)
	}
	fmt.Fprintf(s.out, "\n%s\n", why)
	if !s.restart {
		fmt.Fprintf(s.out, "  start it again: %s start --dir %s\n", invocation(), replicaDir(s.dir, i))
	}
}

// judge tells who waits if too few replicas are left for a quorum, with the mutex
// held.
func (s *supervisor) judge() {
	up := uint64(0)
	for i, c := range s.children {
		if c != nil && !c.ended() {
			up += s.cluster.Members[i].Weight
		}
	}
	if up < quorumWeight(s.cluster) {
		s.lostOnce.Do(func() { close(s.lost) })
	}
}

// restartPause keeps a replica that cannot run from being started all the time.
const restartPause = time.Second

func (s *supervisor) watch(c *child) {
	<-c.done
	if c.wasStopped() {
		return
	}
	why := fmt.Sprintf("%s has died: %v", replicaName(c.index), c.err)
	if line := lastLine(s.dir, c.index); line != "" {
		why += "\n  its last words: " + line
	}
	s.mu.Lock()
	s.report(c.index, why)
	s.judge()
	s.mu.Unlock()
	if !s.restart {
		return
	}
	pause := time.NewTimer(restartPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-s.stopping:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	if err := s.start(c.index); err != nil {
		fmt.Fprintf(s.out, "%v\n", err)
		return
	}
	fmt.Fprintf(s.out, "%s was started again\n", replicaName(c.index))
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

// noQuorum is closed when so many replicas have died that the rest cannot commit.
func (s *supervisor) noQuorum() <-chan struct{} { return s.lost }

// failure says that and why there is no quorum, nil if there is one.
func (s *supervisor) failure() error {
	select {
	case <-s.lost:
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("without %s too few replicas run to make progress (weight %d of %d is needed): correct what is said of them above, and run this again",
		strings.Join(s.dead, ", "), quorumWeight(s.cluster), s.cluster.TotalWeight())
}

// stopAll ends all replicas and waits. Another Ctrl-C kills them.
func (s *supervisor) stopAll() {
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
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt)
	defer signal.Stop(again)
	patience := time.NewTimer(2 * stopPatience)
	defer patience.Stop()
	for _, c := range running {
		select {
		case <-c.done:
			continue
		case <-again:
		case <-patience.C:
		}
		for _, c := range running {
			c.kill()
		}
		<-c.done
	}
	s.watchers.Wait()
}
