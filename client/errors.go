package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Errors of a [Client]; test with errors.Is.
var (
	// ErrOutcomeUnknown: the operation was sent, and may have run, or run yet. The
	// error is an [*UnknownError].
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrExpired: the operation has not run and never will, since its deadline has
	// passed: an honest replica says so.
	ErrExpired = errors.New("operation expired before it ran")
	// ErrOverloaded: too much waits. Definite, the operation was never sent, and the error
	// is an [*OverloadedError], unless it is ErrOutcomeUnknown too: then the operation was
	// refused wherever it arrived for as long as the context permitted, which still proves
	// nothing.
	ErrOverloaded = errors.New("overloaded")
	// ErrTooLarge: the operation is over a limit of the cluster. Never sent.
	ErrTooLarge = errors.New("operation too large")
	// ErrNotAdmitted: the cluster does not list this client's key.
	ErrNotAdmitted = errors.New("client is not admitted to the cluster")
	// ErrRejected: the cluster's rules turned the request down; a [*RejectedError].
	ErrRejected = errors.New("request rejected")
	// ErrSuperseded: another Client uses the same key. Never sent.
	ErrSuperseded = errors.New("another client uses the same key")
	// ErrOtherEpoch: the cluster has a new configuration; load its cluster file and
	// Dial again. Tokens stay good.
	ErrOtherEpoch = errors.New("the cluster is in another epoch")
	// ErrNotSent: the context ended before the operation was sent. The context's
	// error is wrapped too.
	ErrNotSent = errors.New("operation was not sent")
	// ErrUnavailable: too few replicas can be reached.
	ErrUnavailable = errors.New("too few replicas can be reached")
	// ErrClosed: the Client was closed. Never sent, unless ErrOutcomeUnknown too.
	ErrClosed = errors.New("client is closed")
	// ErrNoReceipt: no replica has what the receipt is made of any more.
	ErrNoReceipt = errors.New("no receipt is to be had")
	// ErrNotLinearizable: replicas gave no answer that is known to be linearizable.
	// Nothing was changed by it: read again, or through the log.
	ErrNotLinearizable = errors.New("no linearizable answer without the log")
	// ErrNoQueries: the application answers no queries; what it knows is to be had by
	// operations alone.
	ErrNoQueries = errors.New("the application answers no queries")
	// ErrQuery: the application did not accept the query. More weight than may be faulty
	// says so.
	ErrQuery = errors.New("query refused by the application")
	// ErrPruned: the state at a height, or what happened there, is not kept any more.
	ErrPruned = errors.New("discarded")
	// ErrNoHistory: the application answers from its last state only.
	ErrNoHistory = errors.New("the application keeps no earlier states")
)

// UnknownError says that an operation was sent and how it ended is not known. It
// is ErrOutcomeUnknown, and whatever Reason is.
type UnknownError struct {
	// Token is for [Client.Outcome].
	Token Token
	// Reason is why nothing more is known: the context's error, ErrClosed, or a
	// [*RejectedError] or [*RefusedError].
	Reason error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%v: operation %d of request %d: %v", ErrOutcomeUnknown, e.Token.op, e.Token.request.Seq, e.Reason)
}

// Unwrap returns ErrOutcomeUnknown and the reason.
func (e *UnknownError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.Reason} }

// RejectedError says that more weight than may be faulty reported this status of
// the request. It is ErrRejected; Busy is ErrOverloaded too.
type RejectedError struct {
	Status statemachine.Status
	// Height is where, as one replica said.
	Height pbft.Height
}

func (e *RejectedError) Error() string {
	var why string
	switch e.Status {
	case statemachine.Conflict:
		why = ": another request with its number ran; another process uses the same key, or numbers were used twice"
	case statemachine.Forgotten:
		why = ": its number was used or given up before; another process uses the same key, the clock went back, or the answer was asked for too late"
	case statemachine.Early:
		why = ": its deadline is too far ahead of block time; is this machine's clock right?"
	case statemachine.Busy:
		why = ": the cluster has no room for another client"
	case statemachine.Quarantined:
		why = ": the operators excluded it"
	}
	return fmt.Sprintf("%v: %v%s", ErrRejected, e.Status, why)
}

// Unwrap returns ErrRejected, and ErrOverloaded for Busy.
func (e *RejectedError) Unwrap() []error {
	if e.Status == statemachine.Busy {
		return []error{ErrRejected, ErrOverloaded}
	}
	return []error{ErrRejected}
}

// RefusedError says that more weight than may be faulty did not take the request,
// for this reason.
type RefusedError struct{ Reason api.Reason }

func (e *RefusedError) Error() string {
	return "replicas refused the request: " + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(e.Reason.String(), "REASON_"), "_", " "))
}

// Is tells which of the errors above it is, if any.
func (e *RefusedError) Is(target error) bool {
	switch e.Reason {
	case api.Reason_REASON_BUSY, api.Reason_REASON_CLIENT_BUSY, api.Reason_REASON_UNAVAILABLE:
		return target == ErrOverloaded
	case api.Reason_REASON_NOT_ADMITTED:
		return target == ErrNotAdmitted
	case api.Reason_REASON_TOO_LARGE:
		return target == ErrTooLarge
	}
	return false
}

// OverloadedError says that more of this client's operations have no outcome yet than may
// be. It is ErrOverloaded, and the operation was never sent.
type OverloadedError struct {
	// Waiting operations of WaitingBytes bytes were not sent yet, and UnderWay ones were.
	Waiting, WaitingBytes, UnderWay int
	// Limit is how many may be both at the moment (Config.MaxQueueing); 0 if it was
	// Config.MaxWaiting or MaxWaitingBytes that was reached.
	Limit int
	// RetryAfter is when it may be worth while to try again; a different one for each error,
	// so that callers do not come back together.
	RetryAfter time.Duration
}

func (e *OverloadedError) Error() string {
	limit := "raise MaxWaiting or MaxWaitingBytes to wait all the same"
	if e.Limit > 0 {
		limit = fmt.Sprintf("more than %d would wait for longer than MaxQueueing", e.Limit)
	}
	return fmt.Sprintf("%v: %d operations are under way and %d of %d bytes wait to be sent, %s; try again in %v",
		ErrOverloaded, e.UnderWay, e.Waiting, e.WaitingBytes, limit, e.RetryAfter.Round(time.Millisecond))
}

// Unwrap returns ErrOverloaded.
func (e *OverloadedError) Unwrap() error { return ErrOverloaded }

// TooLargeError names the limit. It is ErrTooLarge.
type TooLargeError struct{ Size, Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%v: %d bytes, the cluster's maxOperationBytes is %d", ErrTooLarge, e.Size, e.Limit)
}

// Unwrap returns ErrTooLarge.
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }
