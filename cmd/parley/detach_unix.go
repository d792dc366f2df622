//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// detach takes the child out of the terminal's process group: Ctrl-C is for the
// parent, which stops the children in order.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
