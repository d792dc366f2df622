package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine/access"
)

// The exit codes; exitCodesHelp documents them.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitUnknown = 3
	exitAbsent  = 4
	exitNoProof = 5
	exitInvalid = 6
)

const exitCodesHelp = `0  Success.
1  It failed, definitely, and nothing was done. Of 'load': what the summary counts
   as loaded is loaded, the rest is not. The message names what, where and the
   remedy.
2  Wrong usage: flags or arguments that make no sense. Nothing was done.
3  The outcome is unknown: the operation was sent and may have run, or may run
   until its deadline (5 minutes by default). Read before you repeat it.
4  The answer is no, and nothing was changed: 'get' found no such key, the condition
   of 'cas' does not hold, or the application refused the operation (ledger,
   registry, contract, access, the key-value store), or the access policy did. The
   message says why. The cluster works.
5  It is done, but there is no proof of it: the operation was committed, and only
   its receipt could not be had or written (--receipt, 'load --receipts'). Do not
   repeat the operation for that.
6  What was to be verified does not hold: 'verify-receipt' or 'verify-state' found
   a proof that is not valid, 'verify-load' a record that is missing or wrong,
   'doctor' a state that is not healthy. Where something could not be read and so
   was not verified, the code is 1.`

// usageError is a mistake in the command line.
type usageError struct {
	cmd *cobra.Command
	msg string
}

func (e *usageError) Error() string { return e.msg }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd: cmd, msg: fmt.Sprintf(format, args...)}
}

// absentError is a definite "no" of a cluster that works.
type absentError struct{ msg string }

func (e *absentError) Error() string { return e.msg }

// noProofError is an operation that ran, of which the receipt could not be had.
type noProofError struct {
	done string // what is done all the same
	err  error
}

func (e *noProofError) Error() string {
	return fmt.Sprintf("%s, do not repeat it; only the receipt could not be had: %s", e.done, plain(e.err.Error()))
}

// invalidError is something verified that does not hold.
type invalidError struct{ msg string }

func (e *invalidError) Error() string { return e.msg }

// exitCode tells how the process ends.
func exitCode(err error) int {
	var usage *usageError
	var absent *absentError
	var noProof *noProofError
	var invalid *invalidError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &noProof):
		return exitNoProof
	case errors.As(err, &invalid):
		return exitInvalid
	case errors.Is(err, client.ErrOutcomeUnknown): // whatever single replicas said of it
		return exitUnknown
	case errors.As(err, &absent), refusedBy(err):
		return exitAbsent
	}
	return exitFailed
}

// refusedError is an application's definite no.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// no marks what an application says of its result, which may be nil.
func no(err error) error {
	if err == nil {
		return nil
	}
	return &refusedError{err}
}

// refusedBy tells whether err is an application's no, or an access policy's.
func refusedBy(err error) bool {
	var refused *refusedError
	if errors.As(err, &refused) || errors.Is(err, access.ErrRefused) {
		return true
	}
	// From the replica that was asked, or more than may be faulty that say so. Where too few can
	// be reached the words are those of one among others, which may be lies.
	return !errors.Is(err, client.ErrUnavailable) && strings.Contains(err.Error(), policyWords)
}

// interrupted tells whether the user asked to stop.
func interrupted(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
