//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

func redirect(_, _ *os.File) error { return errors.ErrUnsupported }
