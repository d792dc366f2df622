package statemachine

import "fmt"

// ResultCode says how an operation ended. 0 is success, codes below
// [CodeApplication] are Parley's own, all others the application's.
type ResultCode uint32

const (
	// CodeOK is success.
	CodeOK ResultCode = 0
	// CodeMalformed: the operation does not decode. Nothing was changed.
	CodeMalformed ResultCode = 1
	// CodeUnsupported: the operation is well formed and unknown. Nothing was changed.
	CodeUnsupported ResultCode = 2
	// CodeTooLarge: a part of the operation is over a limit. Nothing was changed.
	CodeTooLarge ResultCode = 3
	// CodePanicked: the application panicked on the operation (see [PerOp]).
	CodePanicked ResultCode = 4
	// CodeResultTooLarge: the operation RAN, and its result was over
	// [Limits.MaxResultBytes] or [Limits.MaxReplyBytes], or found no room in its block
	// ([Limits.MaxCacheBytes]), and was dropped.
	CodeResultTooLarge ResultCode = 5
	// CodeReservedKey: the operation wanted to change a key of the state that is not the
	// application's own (see package store). Nothing was changed.
	CodeReservedKey ResultCode = 6
	// CodeTooMuchWork: the operation reads more than one may ([Limits.MaxOpWork]). Nothing was
	// changed, and it would end so again.
	CodeTooMuchWork ResultCode = 7
	// CodeBlockWorked: those before it in its block, of all clients or of its own, have left nothing
	// for what the operation reads ([Limits.MaxBlockWork]). Nothing was changed: submitted again, in a
	// later block, it may run.
	CodeBlockWorked ResultCode = 8

	// CodeApplication is the first code that is the application's own.
	CodeApplication ResultCode = 100
)

// String names Parley's own codes; others are numbers.
func (c ResultCode) String() string {
	switch c {
	case CodeOK:
		return "ok"
	case CodeMalformed:
		return "malformed operation"
	case CodeUnsupported:
		return "unsupported operation"
	case CodeTooLarge:
		return "operation too large"
	case CodePanicked:
		return "application panicked"
	case CodeResultTooLarge:
		return "result too large"
	case CodeReservedKey:
		return "reserved key"
	case CodeTooMuchWork:
		return "reads too much for one operation: ask for less"
	case CodeBlockWorked:
		return "the operations of its block read too much: submit it again"
	default:
		return fmt.Sprintf("code %d", uint32(c))
	}
}

// Result is the outcome of one operation.
type Result struct {
	Code ResultCode
	// Data is the application's answer, or detail about a rejection. It is
	// certified with the code, so it must be deterministic too.
	Data []byte
}

// OK returns a successful result.
func OK(data []byte) Result { return Result{Data: data} }

// Reject returns an unsuccessful one.
func Reject(code ResultCode, data []byte) Result { return Result{Code: code, Data: data} }
