package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
)

// explain adds the remedy to an error whose text does not have one.
func explain(err error) string {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another program listens there; is this replica running already? Stop it, or change the address in the cluster file (on every machine) or replica.json"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "this machine has no such address: correct it in the cluster file, or give the one to listen on with --listen and --client-listen"
	case errors.Is(err, replica.ErrLocked):
		remedy = "stop that process first"
	case errors.Is(err, replica.ErrDiskFull), errors.Is(err, replica.ErrCorrupt), errors.Is(err, replica.ErrIdentity), errors.Is(err, roster.ErrNotMember):
	case errors.Is(err, fs.ErrNotExist):
		remedy = "check the path; 'parley init --dir DIR' makes the files of a new cluster"
	case errors.Is(err, fs.ErrPermission):
		remedy = "run this as the owner of the file, or correct its owner and mode"
	case errors.Is(err, syscall.ENOSPC):
		remedy = "free some space and start again"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	if remedy == "" {
		return err.Error()
	}
	return err.Error() + ": " + remedy
}
