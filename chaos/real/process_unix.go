//go:build unix

package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// detach takes the process out of the terminal's group: Ctrl-C is for the run.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// The signals that stop a process where it is, and let it go on.
var sigStop, sigCont os.Signal = syscall.SIGSTOP, syscall.SIGCONT

// lockName is the file by which a run says that its folder is in use.
const lockName = "in-use"

// lockFolder marks a folder as in use until the file is closed, or this process ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another run uses the folder %s: %w", dir, err)
	}
	return f, nil
}
