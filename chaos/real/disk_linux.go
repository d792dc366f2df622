package real

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// imageBytes is the size of a replica's file system.
const imageBytes = 512 << 20

// imageMark is in the name of every image, for finding those that were left.
const imageMark = "parley-chaos-disk"

// mountedDisk is a file system of one replica's own: ext4 on a loop device, or
// tmpfs where that is not permitted.
type mountedDisk struct {
	point string
	image string // empty for tmpfs
}

// newDisk makes the best disk that this machine permits.
func newDisk(dir string) (disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &mountedDisk{point: dir, image: dir + "." + imageMark}
	if err := d.makeExt4(); err == nil {
		return d, nil
	}
	_ = os.Remove(d.image)
	d.image = ""
	if err := command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=700", imageBytes), "tmpfs", d.point); err == nil {
		return d, nil
	}
	return newFolderDisk(dir)
}

func (d *mountedDisk) makeExt4() error {
	f, err := os.OpenFile(d.image, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(imageBytes), f.Close()); err != nil {
		return err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image); err != nil {
		return err
	}
	return d.mount()
}

// mount replays the file system's journal. The loop device goes when it is
// unmounted.
func (d *mountedDisk) mount() error {
	return command("mount", "-t", "ext4", "-o", "loop", d.image, d.point)
}

func (d *mountedDisk) data() string            { return filepath.Join(d.point, "data") }
func (d *mountedDisk) can() (power, full bool) { return d.image != "", true }

// The ioctl that stops ext4 where it stands, and the flag that keeps it from
// writing its journal out first.
const (
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
)

func (d *mountedDisk) cut() error {
	if d.image == "" {
		return errNotHere
	}
	f, err := os.Open(d.point)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	flags := uint32(noLogFlush)
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); e != 0 {
		return fmt.Errorf("ext4 shutdown of %s: %w", d.point, e)
	}
	return nil
}

// unmount waits for the processes that used it, which are ending.
func (d *mountedDisk) unmount() (err error) {
	for range 200 {
		if err = syscall.Unmount(d.point, 0); err == nil || errors.Is(err, syscall.EINVAL) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("unmount %s: %w", d.point, err)
}

func (d *mountedDisk) restore() error {
	if d.image == "" {
		return errNotHere
	}
	if err := d.unmount(); err != nil {
		return err
	}
	return d.mount()
}

func (d *mountedDisk) ballast() string { return filepath.Join(d.point, "ballast") }

func (d *mountedDisk) fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return nil
		}
		return err
	}
	defer func() { _ = f.Close() }()
	at := int64(0)
	for size := int64(16 << 20); size >= 4<<10; {
		err := syscall.Fallocate(int(f.Fd()), 0, at, size)
		switch {
		case err == nil:
			at += size
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case errors.Is(err, syscall.EINTR):
		default:
			return fmt.Errorf("fill %s: %w", d.point, err)
		}
	}
	return nil
}

func (d *mountedDisk) free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *mountedDisk) close() error {
	err := d.unmount()
	if d.image != "" {
		err = errors.Join(err, os.Remove(d.image))
	}
	return err
}

// command runs a program of the system. Its error has what the program said.
func command(name string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}
