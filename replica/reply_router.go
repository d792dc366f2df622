package replica

import (
	"sync"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// replyRouter passes what becomes of requests to the open sessions of the client
// that signed them, and to nobody else: a session belongs to the key that its
// connection was authenticated with, and to those that proved themselves over it
// (see attach). It never waits: what comes from execution is
// put into a session's bounded queue, and a session whose queue is full is cut.
type replyRouter struct {
	limits   ClientLimits
	counters *clientCounters
	trace    *tracer

	mu       sync.RWMutex
	epoch    pbft.Epoch
	sessions map[crypto.PublicKey][]replyRoute
	attached int // in all sessions
	closed   bool
}

// replyRoute is a session of a client, and what the client is called there.
type replyRoute struct {
	session  *replySession
	identity uint32 // 0: the connection is its own
}

func newReplyRouter(epoch pbft.Epoch, limits ClientLimits, counters *clientCounters) *replyRouter {
	return &replyRouter{epoch: epoch, limits: limits, counters: counters, sessions: make(map[crypto.PublicKey][]replyRoute)}
}

// open adds a session of client; cut ends its connection and must not block for
// long. It returns nil when the router is closed.
func (t *replyRouter) open(client crypto.PublicKey, cut func()) *replySession {
	s := &replySession{client: client, router: t, cut: cut, ready: make(chan struct{}, 1), done: make(chan struct{}), entries: t.limits.SessionEntries}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.sessions[client] = append(t.sessions[client], replyRoute{session: s})
	t.counters.sessions.Add(1)
	return s
}

// forget removes a session, with all that are attached to it.
func (t *replyRouter) forget(s *replySession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.forgotten {
		return
	}
	s.forgotten = true
	t.unroute(s.client, s, 0)
	for identity := range s.carried {
		t.detachLocked(s, identity)
	}
	t.counters.sessions.Add(-1)
}

// unroute takes one way to a client out. The mutex is held.
func (t *replyRouter) unroute(client crypto.PublicKey, s *replySession, identity uint32) {
	// A new slice: deliver may be going over the old one.
	var rest []replyRoute
	for _, r := range t.sessions[client] {
		if r.session != s || r.identity != identity {
			rest = append(rest, r)
		}
	}
	if len(rest) == 0 {
		delete(t.sessions, client)
	} else {
		t.sessions[client] = rest
	}
}

// close ends all sessions, each after what waits for it was sent, and refuses
// new ones.
func (t *replyRouter) close() {
	t.mu.Lock()
	t.closed = true
	var all []*replySession
	for _, list := range t.sessions {
		for _, r := range list {
			if r.identity == 0 {
				all = append(all, r.session)
			}
		}
	}
	t.mu.Unlock()
	for _, s := range all {
		s.finish()
	}
}

func (t *replyRouter) of(client crypto.PublicKey) []replyRoute {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.sessions[client]
}

// Deliver implements replySink.
func (t *replyRouter) Deliver(epoch pbft.Epoch, height pbft.Height, replies []statemachine.Reply) {
	for i := range replies {
		r := &replies[i]
		list := t.of(r.Client)
		if len(list) == 0 {
			t.counters.unheard.Add(1)
			continue
		}
		e := replyEntry{epoch: epoch, reply: *r, spare: len(replies) >= spareFrom}
		if i == 0 && anyWants(list, &e) {
			e.traced, e.spare = height, false
			t.trace.queued(height)
		}
		for _, s := range list {
			e.identity = s.identity
			s.session.put(e)
		}
	}
}

// Refused implements replySink.
func (t *replyRouter) Refused(r *pbft.Request, why pbft.Drop) {
	reason := api.Reason_REASON_UNAVAILABLE
	switch why {
	case pbft.NoDrop, pbft.DropDuplicate:
		return // it is on its way
	case pbft.DropPoolFull, pbft.DropBound, pbft.DropDisplaced:
		reason = api.Reason_REASON_BUSY
	case pbft.DropClientFull, pbft.DropWindow:
		reason = api.Reason_REASON_CLIENT_BUSY
	case pbft.DropExpired:
		reason = api.Reason_REASON_EXPIRED
	case pbft.DropLimits:
		reason = api.Reason_REASON_TOO_LARGE
	case pbft.DropSignature:
		reason = api.Reason_REASON_BAD_SIGNATURE
	case pbft.DropMalformed:
		reason = api.Reason_REASON_MALFORMED
	}
	t.counters.refuse(reason)
	t.refuse(r.Client, r.Digest(), reason)
}

// answer implements ingressSink.
func (t *replyRouter) answer(client crypto.PublicKey, r statemachine.Reply) {
	t.mu.RLock()
	epoch := t.epoch
	t.mu.RUnlock()
	for _, s := range t.of(client) {
		s.session.put(replyEntry{epoch: epoch, identity: s.identity, reply: r})
	}
}

// refuse implements ingressSink.
func (t *replyRouter) refuse(client crypto.PublicKey, digest pbft.Digest, why api.Reason) {
	for _, s := range t.of(client) {
		s.session.put(replyEntry{identity: s.identity, reason: why, refused: digest})
	}
}

// refuse implements ingressSource.
func (s *replySession) refuse(client crypto.PublicKey, digest pbft.Digest, why api.Reason) {
	identity := uint32(0)
	if client != s.client {
		s.router.mu.RLock()
		name, ok := s.names[client]
		s.router.mu.RUnlock()
		if !ok {
			return // detached meanwhile
		}
		identity = name
	}
	s.put(replyEntry{identity: identity, reason: why, refused: digest})
}

// carriesAny tells whether a session carries clients beside the owner of its connection.
func (t *replyRouter) carriesAny(s *replySession) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(s.names) > 0
}

// replyEntry is a reply; a refusal if reason is set; or what became of an attachment.
type replyEntry struct {
	epoch    pbft.Epoch
	identity uint32
	attached bool
	spare    bool // may be left out where it was not asked for
	reply    statemachine.Reply
	traced   pbft.Height // of the block whose first request this answers, else 0
	reason   api.Reason
	refused  pbft.Digest
}

// size is about what the entry takes on the wire.
func (e *replyEntry) size() int { return 96 + statemachine.ResultsSize(e.reply.Results) }

// replySession is the outbound queue of one session.
type replySession struct {
	client crypto.PublicKey
	router *replyRouter
	cut    func()
	ready  chan struct{} // has a token when there is something to send
	done   chan struct{} // closed by finish
	proofs int           // of attachments, verified so far; only the reader uses it

	// Guarded by the router's mutex.
	carried   map[uint32]crypto.PublicKey // attached to it
	names     map[crypto.PublicKey]uint32 // the same by key
	forgotten bool

	mu       sync.Mutex
	queue    []replyEntry
	bytes    int
	entries  int                  // how many may wait
	asked    map[pbft.Digest]bool // the client will not miss other replies; nil: it wants them all
	finished bool
}

// put queues an entry, or cuts the session if its reader is too slow. An entry
// that alone is over the limit passes when nothing else waits.
func (s *replySession) put(e replyEntry) {
	size := e.size()
	s.mu.Lock()
	if s.finished || !s.wanted(&e) {
		s.mu.Unlock()
		return
	}
	if len(s.queue) >= s.entries || len(s.queue) > 0 && s.bytes+size > s.router.limits.SessionBytes {
		s.finished = true
		s.queue, s.bytes = nil, 0
		close(s.done)
		s.mu.Unlock()
		s.router.counters.slowReaders.Add(1)
		s.cut()
		return
	}
	s.queue = append(s.queue, e)
	s.bytes += size
	s.mu.Unlock()
	s.router.counters.replies.Add(1)
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// finish ends the session after what is queued.
func (s *replySession) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		s.finished = true
		close(s.done)
	}
}

// take returns what waits, up to about limit bytes, and whether more does.
func (s *replySession) take(limit int) (entries []replyEntry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, bytes := 0, 0
	for n < len(s.queue) && (n == 0 || bytes < limit) {
		bytes += s.queue[n].size()
		n++
	}
	entries = s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	s.bytes -= bytes
	return entries, len(s.queue) > 0
}

// replyMessage packs entries into one message.
func replyMessage(entries []replyEntry) *api.ReplicaMessage {
	m := &api.ReplicaMessage{Replies: make([]*api.Reply, 0, len(entries))}
	for i := range entries {
		e := &entries[i]
		if e.attached {
			m.Attached = append(m.Attached, &api.Attached{Identity: e.identity, Reason: e.reason})
			continue
		}
		if e.reason != api.Reason_REASON_UNSPECIFIED {
			f := &api.Refusal{Reason: e.reason, RetryAfterMs: retryAfter(e.reason), Identity: e.identity}
			if !e.refused.IsZero() {
				f.Request = e.refused[:]
			}
			m.Refusals = append(m.Refusals, f)
			continue
		}
		r := &api.Reply{
			Epoch: uint64(e.epoch), Height: e.reply.Height, Request: e.reply.Request[:], Seq: e.reply.Seq,
			Outcome: api.Outcome(e.reply.Status), Identity: e.identity,
		}
		if n := statemachine.ResultsSize(e.reply.Results); n > 0 {
			r.Results = statemachine.AppendResults(make([]byte, 0, n), e.reply.Results)
		}
		m.Replies = append(m.Replies, r)
	}
	return m
}

// retryAfter is the hint in milliseconds: about how long what fills the queues
// takes to drain under full load.
func retryAfter(why api.Reason) uint32 {
	switch why {
	case api.Reason_REASON_BUSY, api.Reason_REASON_UNAVAILABLE:
		return 250
	case api.Reason_REASON_CLIENT_BUSY:
		return 100
	}
	return 0
}
