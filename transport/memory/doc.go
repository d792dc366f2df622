// Package memory links handlers within one process, for tests and for programs
// that embed a whole cluster.
//
// A [Network] runs in one of two modes:
//
//   - Step by step, from [NewNetwork]: Send only queues, and the caller delivers
//     by [Network.Step] or [Network.Deliver]. There is no goroutine and no clock,
//     so the same calls give the same run.
//   - Live, from [NewLive]: every link delivers by itself, with the concurrency of
//     a real network: the calls of a handler for one peer are in order and do not
//     overlap, those for different peers run at once.
//
// Faults are put in by [Network.Partition] and [Network.Intercept].
package memory
