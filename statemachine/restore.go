package statemachine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/stream"
)

// Restore replaces everything by a snapshot. It checks that the session table
// and the application turn out to have the digests in the header; the caller has
// compared the header with a certificate ([ReadHeader], or [Executor.Digests]
// afterwards). Errors: ErrSnapshotFormat, ErrStateElsewhere, a *[MismatchError], the application's
// or r's own.
//
// As long as the application's part has not been reached an error leaves the
// executor as it was, and so does one that wraps ErrStateElsewhere; after that it refuses everything (ErrBroken) until a
// Restore succeeds. A quarantine stays.
//
// No method but Admissible, Lookup, Position and Quarantine may run meanwhile:
// they answer from before.
func (e *Executor) Restore(src io.Reader) error {
	r := stream.NewReader(src)
	p, err := e.readPart(r)
	if err != nil {
		return err
	}
	return e.adopt(p, func() error {
		if err := e.app.Restore(r.Rest()); err != nil {
			return fmt.Errorf("restoring the application: %w", err)
		}
		return snapshotError(r.End())
	})
}

// RestorePart is Restore with the application's state from elsewhere: src need not have
// more than [Header.AppAt] bytes, and sync makes the application's state the one whose
// digest the header has. Errors also of sync.
func (e *Executor) RestorePart(src io.Reader, sync func(h *Header) error) error {
	p, err := e.readPart(stream.NewReader(src))
	if err != nil {
		return err
	}
	return e.adopt(p, func() error { return sync(&p.header) })
}

// executorPart is what a snapshot says beside the application's state.
type executorPart struct {
	header Header
	table  *sessions
	leaves []crypto.Digest
}

func (e *Executor) readPart(r *stream.Reader) (*executorPart, error) {
	h := readHeader(r)
	if want := e.limits.Digest(); r.Err() == nil && h.Limits != want {
		return nil, fmt.Errorf("%w: made under other limits: their digest is %v, here %v", ErrSnapshotFormat, h.Limits, want)
	}
	t, leaves := readSessions(r, e.limits, &h)
	if r.Err() == nil && uint64(r.Read()) != h.AppAt {
		r.Fail("the application's state begins at %d, not at %d", r.Read(), h.AppAt)
	}
	if r.Err() != nil {
		return nil, snapshotError(r.Err())
	}
	if got := t.digest(); got != h.SessionsDigest {
		return nil, &MismatchError{Part: "sessions", Want: h.SessionsDigest, Got: got}
	}
	return &executorPart{h, t, leaves}, nil
}

// adopt has the application's state restored and makes p the executor's.
func (e *Executor) adopt(p *executorPart, restore func() error) error {
	if err := e.restoreApp(&p.header, restore); err != nil {
		if !errors.Is(err, ErrStateElsewhere) {
			e.broken = err
		}
		return err
	}
	e.leaves, e.broken = p.leaves, nil
	e.tree.Reset()
	for _, l := range p.leaves {
		e.tree.Add(l)
	}
	e.ran.clear()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.table, e.at = p.table, p.header.Position
	return nil
}

func (e *Executor) restoreApp(h *Header, restore func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = e.panicked("Restore", nil, v)
		}
	}()
	if err := restore(); err != nil {
		return err
	}
	got, err := e.appDigest()
	if err != nil {
		return err
	}
	if got != h.AppDigest {
		return &MismatchError{Part: "application", Want: h.AppDigest, Got: got}
	}
	if a, ok := e.app.(HeightAware); ok {
		a.Restored(h.Height)
	}
	return nil
}

// readSessions reads what stands between the header and the application's state,
// checking every invariant of the table: a peer may have made the bytes.
func readSessions(r *stream.Reader, limits Limits, h *Header) (*sessions, []crypto.Digest) {
	t := newSessions(limits)
	t.executed = r.Uint64()
	t.forgottenUntil = Time(r.Uint64())
	nSessions, nLeaves := r.Uint32(), r.Uint32()
	if int64(nSessions) > int64(limits.MaxSessions) {
		r.Fail("%d sessions, limit %d", nSessions, limits.MaxSessions)
	}
	var answers []*answer
	var last *session
	for i := uint32(0); i < nSessions && r.Err() == nil; i++ {
		s := t.readSession(r, h)
		if r.Err() != nil {
			break
		}
		if last != nil && bytes.Compare(last.client[:], s.client[:]) >= 0 {
			r.Fail("sessions out of order: %v after %v", s.client, last.client)
			break
		}
		last = s
		answers = append(answers, s.answers...)
		t.byKey[s.client] = s
		t.queue.push(s)
		t.touch(s)
	}
	slices.SortFunc(answers, func(a, b *answer) int { return cmp.Compare(a.ordinal, b.ordinal) })
	for i, a := range answers {
		if i > 0 && a.ordinal == answers[i-1].ordinal {
			r.Fail("two requests executed as number %d", a.ordinal)
			break
		}
		t.link(a)
	}
	var leaves []crypto.Digest
	for i := uint32(0); i < nLeaves && r.Err() == nil; i++ {
		var d crypto.Digest
		r.Fixed(d[:])
		leaves = append(leaves, d)
	}
	return t, leaves
}

func (t *sessions) readSession(r *stream.Reader, h *Header) *session {
	var client crypto.PublicKey
	r.Fixed(client[:])
	s := newSession(client, t.limits.MaxInFlight)
	s.floor = r.Uint64()
	s.maxDeadline = Time(r.Uint64())
	window := make([]byte, s.size()/8)
	r.Fixed(window)
	for i := range s.size() {
		if window[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if seq := s.floor + 1 + i; seq == 0 || seq < s.floor || i == 0 {
			r.Fail("session %v: number %d cannot be marked above the floor %d", client, seq, s.floor)
			return nil
		}
		s.set(s.floor + 1 + i)
	}
	n := r.Uint32()
	if uint64(n) > 2*s.size() {
		r.Fail("session %v: %d answers, limit %d", client, n, 2*s.size())
	}
	for i := uint32(0); i < n && r.Err() == nil; i++ {
		a := t.readAnswer(r, s, h)
		if r.Err() != nil {
			return nil
		}
		if len(s.answers) > 0 && s.answers[len(s.answers)-1].seq >= a.seq {
			r.Fail("session %v: answers out of order at %d", client, a.seq)
			return nil
		}
		s.answers = append(s.answers, a)
	}
	return s
}

func (t *sessions) readAnswer(r *stream.Reader, s *session, h *Header) *answer {
	a := &answer{session: s, done: true, seq: r.Uint64()}
	r.Fixed(a.request[:])
	a.height = r.Uint64()
	a.ordinal = r.Uint64()
	n := r.Uint32()
	switch {
	case r.Err() != nil:
		return nil
	case a.seq < s.keepFrom(1) || !s.used(a.seq):
		r.Fail("session %v: an answer for %d, which is outside its window or not used", s.client, a.seq)
	case a.height > h.Height || a.ordinal >= t.executed:
		r.Fail("session %v: answer for %d comes from the future", s.client, a.seq)
	case n > maxOpsPerAnswer:
		r.Fail("session %v: answer for %d has %d results, limit %d", s.client, a.seq, n, maxOpsPerAnswer)
	}
	left := t.limits.MaxReplyBytes
	for i := uint32(0); i < n && r.Err() == nil; i++ {
		res := Result{Code: ResultCode(r.Uint32())}
		res.Data = r.Bytes(min(left, t.limits.MaxResultBytes))
		left -= len(res.Data)
		a.results = append(a.results, res)
	}
	a.size = answerSize(a.results)
	if t.cached += a.size; t.cached > t.limits.MaxCacheBytes {
		r.Fail("answers of more than %d bytes", t.limits.MaxCacheBytes)
	}
	if r.Err() != nil {
		return nil
	}
	a.digest = a.rehash(a.results)
	return a
}
