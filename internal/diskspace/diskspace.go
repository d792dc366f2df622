// Package diskspace keeps part of a disk free: what writes asks before it does, and fails
// while there is still room to end cleanly.
package diskspace

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrFull: there is less space left than the reserve, or none.
var ErrFull = errors.New("disk full")

// FullError reports too little space. It is [ErrFull].
type FullError struct {
	Folder        string
	Free, Reserve uint64 // bytes; a Reserve of 0: the system found no space
}

func (e *FullError) Error() string {
	if e.Reserve == 0 {
		return fmt.Sprintf("%v: no space left where %s is: free some space and start again", ErrFull, e.Folder)
	}
	return fmt.Sprintf("%v: %d bytes free where %s is, %d are the reserve: free some space, or lower the reserve, and start again",
		ErrFull, e.Free, e.Folder, e.Reserve)
}

// Unwrap returns [ErrFull].
func (e *FullError) Unwrap() error { return ErrFull }

// Check returns a *[FullError] if fewer bytes than reserve are free where dir is. free
// returns how many are; nil asks the system. A reserve of 0 checks nothing.
func Check(dir string, reserve uint64, free func(dir string) (uint64, error)) error {
	if reserve == 0 {
		return nil
	}
	if free == nil {
		free = Free
	}
	n, err := free(dir)
	switch {
	case err != nil:
		return fmt.Errorf("ask for free space: %w", err)
	case n < reserve:
		return &FullError{Folder: dir, Free: n, Reserve: reserve}
	}
	return nil
}

// Explain makes a [FullError] of the system's error that there is no space, and leaves
// every other error, and one that is one already, as it is.
func Explain(dir string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFull) {
		return err
	}
	return fmt.Errorf("%w (%w)", &FullError{Folder: dir}, err)
}
