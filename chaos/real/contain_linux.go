package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

// sweep removes what runs that are gone have left in these folders of runs: the
// images of disks, and loop devices that hold one. Nothing else of a contained run
// can be left. It returns what it removed.
func sweep(folders []string) (swept []string) {
	for _, dir := range folders {
		images, _ := filepath.Glob(filepath.Join(dir, "cluster", "*", "*."+imageMark))
		if len(images) == 0 {
			continue
		}
		lock, err := lockFolder(dir)
		if err != nil {
			continue // in use, or not ours
		}
		for _, image := range images {
			if device := loopOf(image); device != "" && command("losetup", "-d", device) == nil {
				swept = append(swept, device)
			}
			if os.Remove(image) == nil {
				swept = append(swept, image)
			}
		}
		_ = lock.Close()
	}
	return swept
}

// loopOf is the loop device of an image, empty if it has none.
func loopOf(image string) string {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		if name, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(name)) == image {
			return "/dev/" + strings.Split(f, "/")[3]
		}
	}
	return ""
}
