package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// containedVariable is set in the process that [Contain] starts.
const containedVariable = "PARLEY_CHAOS_CONTAINED"

// Contained tells whether this process runs in namespaces made by [Contain].
func Contained() bool { return os.Getenv(containedVariable) != "" && os.Getpid() == 1 }

// Contain runs this program again, with these arguments, in namespaces of its own:
// processes, mounts, network, and if this user is not root also users. When that
// process ends, however it does, the kernel ends and removes everything in them.
// It ends when ctx does, in order, and at once when this process dies.
//
// It returns the exit code. An error wraps errors.ErrUnsupported if the system does
// not permit this; nothing has run then.
func Contain(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// The signal at the parent's death is bound to the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(os.Environ(), containedVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // Ctrl-C is for this process, which tells the other
	}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("namespaces: %w: %w", errors.ErrUnsupported, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// furnish makes the namespaces of this process usable.
func furnish() error {
	for _, step := range []func() error{
		func() error { return syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") },
		func() error { return syscall.Mount("proc", "/proc", "proc", 0, "") },
		func() error { return os.MkdirAll("/run/netns", 0o755) },
		func() error { return syscall.Mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=755") },
		func() error { return command("ip", "link", "set", "lo", "up") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sweep gives back loop devices whose image was of a run that is gone: those are
// deleted files with our mark. Everything else of a contained run cannot be left.
func sweep() (swept []string) {
	devices, _ := os.ReadDir("/sys/block")
	for _, d := range devices {
		if !strings.HasPrefix(d.Name(), "loop") {
			continue
		}
		file, err := os.ReadFile("/sys/block/" + d.Name() + "/loop/backing_file")
		name := strings.TrimSpace(string(file))
		if err != nil || !strings.Contains(name, imageMark) {
			continue
		}
		image := strings.TrimSuffix(name, " (deleted)")
		if _, err := os.Stat(image); err == nil {
			continue // of a run that is there
		}
		if command("losetup", "-d", "/dev/"+d.Name()) == nil {
			swept = append(swept, "loop device /dev/"+d.Name()+" of "+image)
		}
	}
	return swept
}
