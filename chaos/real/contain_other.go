//go:build !linux

package real

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Contained tells whether this process runs in namespaces made by [Contain].
func Contained() bool { return false }

// Contain is for Linux. The error wraps errors.ErrUnsupported.
func Contain(context.Context, []string, io.Writer, io.Writer) (code int, err error) {
	return 0, fmt.Errorf("namespaces: %w", errors.ErrUnsupported)
}

func furnish() error { return errNotHere }

func sweep([]string) []string { return nil }
