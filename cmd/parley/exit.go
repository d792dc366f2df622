package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
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
4  The answer is no: 'get' found no such key, or the condition of 'cas' does not
   hold. The cluster works.
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
	case errors.As(err, &absent):
		return exitAbsent
	case errors.Is(err, client.ErrOutcomeUnknown):
		return exitUnknown
	}
	return exitFailed
}

// interrupted tells whether the user asked to stop.
func interrupted(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
