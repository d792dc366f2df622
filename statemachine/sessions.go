package statemachine

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/tidwall/btree"
)

// The rules of exactly-once execution (PROTOCOL R17), with t the time of the
// block. They are decided when a block is executed, never when it is voted for.
// In this order:
//
//  1. The number has an answer on record: Duplicate with that answer if the
//     request is the same, Conflict if it is another.
//  2. The number is used or given up, and no answer is on record: Forgotten.
//  3. t > deadline: Expired; Forgotten if a session was evicted that may have run
//     it (its deadline is not after forgottenUntil).
//  4. deadline > t + MaxLife: Early.
//  5. The operators excluded it: Quarantined.
//  6. With floor' = max(floor, min(low, seq)-1): seq > floor' + MaxInFlight: Window.
//  7. A new client, the table is full, and no session has t > maxDeadline: Busy. If
//     there is one, the session with the lowest (maxDeadline, key) is evicted.
//  8. It runs. floor := floor', the number's bit is set, floor moves over the
//     contiguous used numbers, maxDeadline := max(maxDeadline, deadline); answers
//     below low, and at or below floor-MaxInFlight, are dropped.
//
// Nothing but rule 8 (with the eviction in 7) changes anything. An evicted
// session cannot lead to a second execution: everything that it had executed has
// a deadline below t, and rule 3 holds from then on.
//
// Where this goes beyond the letter of R17, and why:
//
//   - The record is asked before the deadline. A client that missed its reply and
//     asks again after the deadline would otherwise be told "expired", would take
//     that for "never ran", and would run the operation again under a new number.
//   - forgottenUntil makes Expired definite: it is the latest maxDeadline of all
//     evicted sessions, so a request with a later deadline cannot have run in one.
//   - Early is not Expired, because such a request may still run later.
//   - low counts before the window. Otherwise a client whose request 1 expired
//     while 2..MaxInFlight+1 ran could never get a request accepted again, nor could
//     a client that goes on numbering after its session was evicted.
//   - The contiguous prefix moves the floor, but does not drop answers: the answer
//     of a request that runs in order would be gone at once. Answers go when low
//     passes them, and at the latest MaxInFlight below the floor, where a client
//     with at most MaxInFlight unanswered requests wants none any more.
//   - All answers together are bounded (MaxCacheBytes), oldest first: rule 2 then
//     answers Forgotten, and nothing runs twice.

// sessions is the table. Its content is part of the certified state; how it is
// laid out is not.
type sessions struct {
	limits Limits
	byKey  map[crypto.PublicKey]*session
	queue  evictionQueue

	// executed counts the requests that ever ran: it orders the answers.
	executed uint64
	// forgottenUntil is the latest maxDeadline of any evicted session.
	forgottenUntil Time

	oldest, newest *answer // all answers, by ordinal
	cached         int64   // their sizes together

	// dirty are the sessions changed since the last seal. sealed has an immutable
	// record of every session as of then, and trie their digests.
	dirty  []*session
	gone   []crypto.PublicKey
	sealed *btree.Map[string, *record]
	trie   merkle.Trie
}

func newSessions(l Limits) *sessions {
	return &sessions{
		limits: l,
		byKey:  make(map[crypto.PublicKey]*session),
		sealed: new(btree.Map[string, *record]),
	}
}

// verdict is what the rules say of a request before anything is changed.
type verdict struct {
	status  Status // 0: it may run
	session *session
	answer  *answer // for Duplicate
	floor   uint64  // floor' of rule 6
}

// judge applies rules 1 to 6 without changing anything.
func (t *sessions) judge(r *Request, now Time, quarantined bool) verdict {
	v := verdict{session: t.byKey[r.Client]}
	if s := v.session; s != nil {
		if a := s.find(r.Seq); a != nil {
			if a.request == r.Digest {
				v.status, v.answer = Duplicate, a
			} else {
				v.status = Conflict
			}
			return v
		}
		if s.used(r.Seq) {
			v.status = Forgotten
			return v
		}
		v.floor = s.floor
	}
	switch {
	case r.Seq == 0:
		v.status = Forgotten // numbers begin at 1: below every floor
		return v
	case now > r.Deadline && r.Deadline <= t.forgottenUntil:
		v.status = Forgotten
		return v
	case now > r.Deadline:
		v.status = Expired
		return v
	case r.Deadline-now > Time(t.limits.MaxLife):
		v.status = Early
		return v
	case quarantined:
		v.status = Quarantined
		return v
	}
	if low := min(r.Low, r.Seq); low > 0 {
		v.floor = max(v.floor, low-1)
	}
	if r.Seq-v.floor > uint64(t.limits.MaxInFlight) {
		v.status = Window
		return v
	}
	return v
}

// admit makes a session for r's client, which has none and whose request is about
// to run, evicting another if need be. It returns nil if the table is full (rule 7), and then has changed nothing.
func (t *sessions) admit(r *Request, now Time) *session {
	if len(t.byKey) >= t.limits.MaxSessions {
		victim := t.queue.min(now)
		if victim == nil {
			return nil
		}
		t.evict(victim)
	}
	s := newSession(r.Client, t.limits.MaxInFlight)
	s.maxDeadline = r.Deadline
	t.byKey[r.Client] = s
	t.queue.push(s)
	return s
}

// begin is the first half of rule 8, before the application runs: a second copy
// of the request in the same block finds it.
func (t *sessions) begin(s *session, r *Request, floor, height uint64) *answer {
	s.raise(floor)
	s.set(r.Seq)
	s.raise(s.floor)
	s.maxDeadline = max(s.maxDeadline, r.Deadline)
	t.touch(s)
	a := &answer{session: s, seq: r.Seq, request: r.Digest, height: height, ordinal: t.executed}
	t.executed++

	from := s.keepFrom(min(r.Low, r.Seq))
	drop := 0
	for drop < len(s.answers) && s.answers[drop].seq < from {
		t.unlink(s.answers[drop])
		drop++
	}
	if drop > 0 {
		n := copy(s.answers, s.answers[drop:])
		clear(s.answers[n:])
		s.answers = s.answers[:n]
	}
	i, _ := s.search(a.seq)
	s.answers = append(s.answers, nil)
	copy(s.answers[i+1:], s.answers[i:])
	s.answers[i] = a
	t.link(a)
	return a
}

// finish is the second half: the results are there.
func (t *sessions) finish(a *answer, results []Result) {
	a.results, a.done = results, true
	// A later request of the same block may have dropped it again already.
	if a.session != nil {
		a.size = answerSize(results)
		t.cached += a.size
	}
}

// trim drops the oldest answers until MaxCacheBytes is kept. It runs after every
// block, when all answers are done.
func (t *sessions) trim() {
	for t.cached > t.limits.MaxCacheBytes {
		a := t.oldest
		s := a.session
		i, _ := s.search(a.seq)
		s.answers = append(s.answers[:i], s.answers[i+1:]...)
		t.unlink(a)
		t.touch(s)
	}
}

func answerSize(results []Result) int64 {
	n := int64(EntryOverhead)
	for i := range results {
		n += resultOverhead + int64(len(results[i].Data))
	}
	return n
}

func (t *sessions) evict(s *session) {
	t.forgottenUntil = max(t.forgottenUntil, s.maxDeadline)
	for _, a := range s.answers {
		t.unlink(a)
	}
	s.answers = nil
	t.queue.popMin()
	delete(t.byKey, s.client)
	t.gone = append(t.gone, s.client)
}

// touch notes that s must be sealed again.
func (t *sessions) touch(s *session) {
	if !s.dirty {
		s.dirty = true
		t.dirty = append(t.dirty, s)
	}
}

// link appends a to the list of all answers; unlink takes it out.
func (t *sessions) link(a *answer) {
	a.older = t.newest
	if t.newest != nil {
		t.newest.newer = a
	} else {
		t.oldest = a
	}
	t.newest = a
}

func (t *sessions) unlink(a *answer) {
	t.cached -= a.size
	if a.older != nil {
		a.older.newer = a.newer
	} else {
		t.oldest = a.newer
	}
	if a.newer != nil {
		a.newer.older = a.older
	} else {
		t.newest = a.older
	}
	a.older, a.newer, a.session = nil, nil, nil
}

// reply returns the answer as a reply with the given status.
func (a *answer) reply(client crypto.PublicKey, status Status) Reply {
	return Reply{Client: client, Seq: a.seq, Request: a.request, Status: status, Results: a.results, Height: a.height, Leaf: -1}
}
