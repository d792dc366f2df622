//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// detach takes the child out of the terminal's process group: Ctrl-C is for the
// parent, which stops the children in order.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// redirect makes the descriptor of f one of the file that target is.
func redirect(f, target *os.File) error {
	return unix.Dup2(int(target.Fd()), int(f.Fd()))
}
