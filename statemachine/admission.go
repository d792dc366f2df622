package statemachine

import "github.com/parley-bft/parley/crypto"

// Admissible tells what would become of r in a block that came next, at block
// time now (or at the last block's, if that is later). ok means that it would
// probably run. It is advice for a replica's request pool, never a condition for
// a vote: other replicas have executed more, or less.
//
// now should be the replica's own clock: after an idle night the last block's
// time is no measure of a deadline.
func (e *Executor) Admissible(r *Request, now Time) (s Status, ok bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	now = max(now, e.at.Time)
	v := e.table.judge(r, now, e.isQuarantined(r))
	switch {
	case v.status != 0:
		return v.status, false
	case v.session == nil && e.table.full(now):
		return Busy, false
	}
	return Executed, true
}

// full tells whether a new client would be turned away. It goes by the bound at
// the top of the queue, so it may err on the side of letting one in.
func (t *sessions) full(now Time) bool {
	return len(t.byKey) >= t.limits.MaxSessions && t.queue.heap[0].queued >= now
}

// Lookup returns the answer on record for the request that client signed under
// seq with the given digest, for a client that asks again. known is false if the
// request has not run, or nothing is on record any more, or the record is of
// another request. The reply is for that client only.
func (e *Executor) Lookup(client crypto.PublicKey, seq uint64, request crypto.Digest) (r Reply, known bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	s := e.table.byKey[client]
	if s == nil {
		return Reply{}, false
	}
	a := s.find(seq)
	if a == nil || !a.done || a.request != request {
		return Reply{}, false
	}
	return a.reply(client, Duplicate), true
}

// Sessions is the number of clients on record.
func (e *Executor) Sessions() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.table.byKey)
}

// Quarantine excludes requests by digest: they get [Quarantined] in place of
// running. It is the way past a committed request that makes the application
// panic on every replica (see [PanicError]). It decides what runs, so all
// replicas must name the same requests before any of them executes the block in
// question; a replica that does not is caught at the next checkpoint.
func (e *Executor) Quarantine(requests ...crypto.Digest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.quarantined == nil {
		e.quarantined = make(map[crypto.Digest]struct{}, len(requests))
	}
	for _, d := range requests {
		e.quarantined[d] = struct{}{}
	}
}
