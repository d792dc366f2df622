// Package signed is for operations that need more hands than the one that submits
// them: m of n keys, people who sign on a device that never talks to the cluster,
// authorities that sign what somebody else delivers.
//
// The client's signature on its request names one key. An [Envelope] wraps an
// operation with the signatures of others. Each is bound to the application's chain
// (a digest that no other application and no other cluster has), to the application's
// name and to a deadline, so it verifies nowhere else and not for ever; and an envelope
// whose operation succeeded is remembered until its deadline has passed, so it works
// once.
//
//	e := signed.Envelope{Deadline: deadline, Op: op}
//	e.Sign(space, alice)
//	e.Sign(space, bob)
//	submit(append([]byte{kindSigned}, e.Encode()...))
//
// An application opens envelopes with [Opener.Open], which returns the operation and
// the keys that are said to stand behind it. A [Threshold] says which of these suffice, and
// [Opened.Check] whether they do: last, and for those keys alone that had a say.
package signed
