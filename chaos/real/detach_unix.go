//go:build unix

package real

import (
	"os/exec"
	"syscall"
)

// detach takes the process out of the terminal's group: Ctrl-C is for the run.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
