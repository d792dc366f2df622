//go:build !unix

package real

import (
	"os"
	"os/exec"
	"path/filepath"
)

func detach(*exec.Cmd) {}

// There are no signals to stop a process where it is.
var sigStop, sigCont os.Signal

// lockName is the file by which a run says that its folder is in use.
const lockName = "in-use"

// lockFolder makes the file; here nothing keeps others away.
func lockFolder(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
}
