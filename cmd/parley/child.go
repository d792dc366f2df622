package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// child is a replica in a process of its own. It ends by itself when this process
// does, however that happens: its standard input is a pipe from here.
type child struct {
	index int
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   *os.File
	done  chan struct{} // closed when it has ended
	err   error         // how; valid after done

	mu       sync.Mutex
	stopping bool
}

// startChild runs this program again, as replica i of the cluster in dir. What it
// logs is appended to a file in its folder.
func startChild(program, dir string, i int) (*child, error) {
	log, err := os.OpenFile(replicaLogPath(dir, i), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	c := &child{index: i, log: log, done: make(chan struct{})}
	c.cmd = exec.Command(program, "start", "--until-stdin-closes", "--dir", replicaDir(dir, i))
	c.cmd.Stderr = log
	detach(c.cmd)
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", replicaName(i), err), log.Close())
	}
	if err := os.WriteFile(pidPath(dir, i), fmt.Appendf(nil, "%d\n", c.cmd.Process.Pid), 0o600); err != nil {
		c.kill()
		return nil, errors.Join(err, c.cmd.Wait(), log.Close())
	}
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
		_ = c.log.Close()
		_ = os.Remove(pidPath(dir, i))
	}()
	return c, nil
}

// stop asks the child to end.
func (c *child) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	_ = c.stdin.Close()
}

// ended tells whether the process has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *child) wasStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// obituary says how a process ended that nobody here told to. The end of its log is
// the cause only if it ended by itself: who is killed has no time to write.
func obituary(dir string, c *child) string {
	name := replicaName(c.index)
	var exit *exec.ExitError
	if errors.As(c.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			switch sig := status.Signal(); sig {
			case syscall.SIGKILL:
				return name + " has died: killed by signal 9 (kill -9, or the system was out of memory)"
			default:
				return fmt.Sprintf("%s has died: killed by signal %d (%v)", name, int(sig), sig)
			}
		}
	}
	if c.err == nil {
		return name + " has stopped: something told its process to"
	}
	why := fmt.Sprintf("%s has died: %v", name, c.err)
	if line := lastLine(dir, c.index); line != "" {
		why += "\n  its last words: " + line
	}
	return why
}

// maxLastLine is how much of a log lastLine looks at.
const maxLastLine = 16 << 10

// lastLine is the last line of the replica's log: mostly why it ended. Of a line
// that is very long it is the end.
func lastLine(dir string, i int) string {
	f, err := os.Open(filepath.Clean(replicaLogPath(dir, i)))
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	tail := io.NewSectionReader(f, max(0, info.Size()-maxLastLine), maxLastLine)
	data, err := io.ReadAll(tail)
	if err != nil {
		return ""
	}
	data = bytes.TrimRight(data, "\n")
	return string(data[bytes.LastIndexByte(data, '\n')+1:])
}
