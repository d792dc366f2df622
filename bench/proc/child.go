package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Child is a replica's process. It is killed when this process ends.
type Child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{}
}

// Start runs a program; what it says is appended to a file.
func Start(log, program string, args ...string) (*Child, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c := &Child{cmd: exec.Command(program, args...), ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// PID is the process's number.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Running tells whether it has not ended.
func (c *Child) Running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Kill is kill -9.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// Signal sends a signal to a process that runs.
func (c *Child) Signal(s syscall.Signal) error {
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Slow stops the process for most of each period, until the returned function is
// called: it gets one part in factor of the time.
func (c *Child) Slow(factor int) (end func()) {
	const turn = 2 * time.Millisecond
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer func() { _ = c.Signal(syscall.SIGCONT) }()
		for c.Running() {
			_ = c.Signal(syscall.SIGSTOP)
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(factor-1) * turn):
			}
			_ = c.Signal(syscall.SIGCONT)
			select {
			case <-stop:
				return
			case <-time.After(turn):
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}
