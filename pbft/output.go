package pbft

// Envelope is a message and whom it goes to. The core leaves out signatures that
// the sender makes; the host signs (see [Sign]).
type Envelope struct {
	To      ReplicaID // or Everyone
	Message Message
}

// Output is what a [Core] wants done. The caller owns it, passes it to several
// calls, performs it, and calls [Output.Reset]: one log write, one sync, one pass
// of sends for everything that was queued.
//
// The order is part of the safety of the protocol:
//
//  1. Records are appended to the log and synced.
//  2. Only then Durable envelopes leave. One to Everyone also goes to the sender
//     itself: its own votes count when they come back, like anybody's.
//  3. Send envelopes may leave at any time; Everyone means everybody else.
//  4. Execute, in order, at any time; report with [Core.Executed]. After a crash the log
//     may not know yet that what was executed last is committed.
type Output struct {
	Records []Record
	Durable []Envelope
	Send    []Envelope
	Execute []*Block
	Stable  []*Bundle
	Fetch   []Want
	// Anew asks for the state that the application began with, and the whole log to be
	// executed again, after [Core.StandsStill]; report with [Core.Rebuilt] or
	// [Core.CannotBegin].
	Anew     bool
	Evidence []*Evidence // new proofs, for the log and metrics
	Alarms   []Alarm
	// Healed are divergences that are over: the host goes on executing and answers from
	// its state again, if [Core.Diverged] is nil by now.
	Healed []*Divergence
	// Displaced are requests that waited in the pool and made room for others': they
	// may be sent again.
	Displaced []*Request
}

// Want asks the host for a state transfer up to a certified checkpoint; report
// with [Core.Installed] if it is above what was executed, else with [Core.Rebuilt]. A
// later Want replaces an earlier one.
type Want struct {
	Bundle *Bundle
}

// Alarm reports what an operator must hear: something that cannot happen while
// the traitors weigh at most F, or a state that is not the certified one.
type Alarm struct {
	Reason string
	// Divergence is set if the state of this replica is wrong: the host answers nobody
	// from it, stops executing and reports [Core.StandsStill].
	Divergence *Divergence
	// Split is set if no certificate can exist for a checkpoint. The core knows nothing of
	// it, it is the host's that holds the [CheckpointTally].
	Split *Split
}

// Reset empties o and keeps its memory.
func (o *Output) Reset() {
	clear(o.Records)
	clear(o.Durable)
	clear(o.Send)
	clear(o.Execute)
	clear(o.Stable)
	clear(o.Fetch)
	clear(o.Evidence)
	clear(o.Alarms)
	clear(o.Healed)
	clear(o.Displaced)
	o.Records, o.Durable, o.Send, o.Execute = o.Records[:0], o.Durable[:0], o.Send[:0], o.Execute[:0]
	o.Stable, o.Fetch, o.Evidence, o.Alarms = o.Stable[:0], o.Fetch[:0], o.Evidence[:0], o.Alarms[:0]
	o.Displaced, o.Healed, o.Anew = o.Displaced[:0], o.Healed[:0], false
}

// Empty tells whether there is nothing to do.
func (o *Output) Empty() bool {
	return len(o.Records) == 0 && len(o.Durable) == 0 && len(o.Send) == 0 && len(o.Execute) == 0 &&
		len(o.Stable) == 0 && len(o.Fetch) == 0 && len(o.Evidence) == 0 && len(o.Alarms) == 0 && len(o.Displaced) == 0 && len(o.Healed) == 0 && !o.Anew
}
