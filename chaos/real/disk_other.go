//go:build !linux

package real

func newDisk(dir string) (disk, error) { return newFolderDisk(dir) }
