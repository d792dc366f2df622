package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/replica"
)

// node is one replica: a process that comes and goes.
type node struct {
	id      int
	log     string
	admin   string
	started int // lives

	mu      sync.Mutex
	process *process
	state   report.State
	last    replica.Status // the last one heard
	lastAt  time.Time
	// excused is why this replica may fail by itself, empty if it must not.
	excused string
	// blamed is that proofs against this replica are right: it was a traitor, or lost
	// what it had promised without knowing.
	blamed bool
	// rotten is that its state was damaged, and alarms about it are right.
	rotten bool
}

// process is one life of a replica.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended
	err   error         // how; valid after done
	// expected is that it ends because somebody wanted it.
	expected bool
}

// launch is what a life runs.
type launch struct {
	program string
	args    []string
}

// start runs a life. It ends when this process does: its standard input closes then.
func (n *node) start(h hosts, l launch, died func(*node, *process)) (*process, error) {
	log, err := os.OpenFile(n.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	program, args := h.enter(n.id, l.program, l.args)
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	detach(p.cmd)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil {
		return nil, fmt.Errorf("%s runs already", name(n.id))
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name(n.id), err)
	}
	n.process, n.state = p, report.Up
	n.started++
	go func() {
		p.err = p.cmd.Wait()
		n.mu.Lock()
		expected := p.expected
		if n.process == p {
			n.process, n.state = nil, report.Down
		}
		n.mu.Unlock()
		close(p.done)
		if !expected {
			died(n, p)
		}
	}()
	return p, nil
}

// signal sends a signal to the life that runs, if one does.
func (n *node) signal(s os.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil || s == nil {
		return
	}
	_ = n.process.cmd.Process.Signal(s)
	switch s {
	case sigStop:
		n.state = report.Paused
	case sigCont:
		n.state = report.Up
	}
}

// kill is kill -9. It returns when the process has ended.
func (n *node) kill() {
	n.mu.Lock()
	p := n.process
	if p != nil {
		p.expected = true
		_ = p.cmd.Process.Kill()
	}
	n.mu.Unlock()
	if p != nil {
		<-p.done
		_ = p.stdin.Close()
	}
}

// stop asks it to end, and kills it if it takes longer than patience. It tells
// whether it ended by itself.
func (n *node) stop(patience time.Duration) bool {
	n.mu.Lock()
	p := n.process
	if p != nil {
		p.expected = true
		_ = p.stdin.Close()
	}
	n.mu.Unlock()
	if p == nil {
		return true
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
		_ = p.cmd.Process.Kill() // also one that is paused
		<-p.done
		return false
	}
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil
}

func (n *node) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// status asks the replica where it is.
func (n *node) status(ctx context.Context) (replica.Status, error) {
	var s replica.Status
	body, err := n.ask(ctx, "/status")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last, n.lastAt = s, time.Now()
	return s, nil
}

// maxAnswer bounds what a replica's admin listener may answer.
const maxAnswer = 16 << 20

// ask reads a page of the admin listener.
func (n *node) ask(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := asker.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	return body, nil
}

// asker keeps no connections: replicas come and go, and are paused.
var asker = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
