package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"
)

// supervisor keeps the replicas of a cluster running as processes.
type supervisor struct {
	program, dir string
	replicas     int
	restart      bool
	out          io.Writer // where deaths are reported

	mu       sync.Mutex
	children []*child
	stopped  bool
	why      string // the first death
	died     chan struct{}
	watchers sync.WaitGroup
}

func (s *supervisor) startAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.died = make(chan struct{})
	s.children = make([]*child, s.replicas)
	for i := range s.children {
		if err := s.start(i); err != nil {
			return err
		}
	}
	return nil
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
	fmt.Fprintf(s.out, "\n%s\n", why)
	s.mu.Lock()
	if s.why == "" {
		s.why = why
		close(s.died)
	}
	s.mu.Unlock()
	if !s.restart {
		fmt.Fprintf(s.out, "  start it again: %s start --dir %s\n", invocation(), replicaDir(s.dir, c.index))
		return
	}
	time.Sleep(restartPause)
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

func (s *supervisor) pids() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := make([]int, len(s.children))
	for i, c := range s.children {
		pids[i] = c.cmd.Process.Pid
	}
	return pids
}

// failed is closed when a replica has died.
func (s *supervisor) failed() <-chan struct{} { return s.died }

func (s *supervisor) failure() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// stopAll ends all replicas and waits. Another Ctrl-C kills them.
func (s *supervisor) stopAll() {
	s.mu.Lock()
	s.stopped = true
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
