package statemachine

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

const (
	domainAnswer   = crypto.Domain("parley/session-answer")
	domainSession  = crypto.Domain("parley/session")
	domainPath     = crypto.Domain("parley/session-path")
	domainSessions = crypto.Domain("parley/sessions")
	domainState    = crypto.Domain("parley/state")
)

// record is an immutable copy of a session, made when the table is sealed: what
// the digest covers and what snapshots contain.
type record struct {
	client      crypto.PublicKey
	floor       uint64
	maxDeadline Time
	window      []byte // bit i%8 of byte i/8 stands for floor+1+i
	answers     []*answer
}

func (s *session) record() *record {
	r := &record{client: s.client, floor: s.floor, maxDeadline: s.maxDeadline, window: make([]byte, s.size()/8)}
	for i := range s.size() {
		if s.has(s.floor + 1 + i) {
			r.window[i/8] |= 1 << (i % 8)
		}
	}
	r.answers = append(r.answers, s.answers...)
	return r
}

// digest covers everything in the record. The answers' results enter through the
// answers' digests, so an unchanged answer is not hashed again.
func (r *record) digest() crypto.Digest {
	b := make([]byte, 0, 32+8+8+4+len(r.window)+4+len(r.answers)*crypto.DigestSize)
	b = append(b, r.client[:]...)
	b = canon.AppendUint64(b, r.floor)
	b = canon.AppendUint64(b, uint64(r.maxDeadline))
	b = canon.AppendBytes(b, r.window)
	b = canon.AppendUint32(b, uint32(len(r.answers)))
	for _, a := range r.answers {
		b = append(b, a.digest[:]...)
	}
	return crypto.Hash(domainSession, b)
}

// answerDigest covers an answer. leaves are the digests of its leaves in the tree of
// results, which cover the results.
func answerDigest(a *answer, leaves []crypto.Digest) crypto.Digest {
	b := make([]byte, 0, 1024)
	b = canon.AppendUint64(b, a.seq)
	b = append(b, a.request[:]...)
	b = canon.AppendUint64(b, a.height)
	b = canon.AppendUint64(b, a.ordinal)
	b = canon.AppendUint32(b, uint32(len(leaves)))
	for i := range leaves {
		b = append(b, leaves[i][:]...)
	}
	return crypto.Hash(domainAnswer, b)
}

// rehash computes an answer's digest from its results alone.
func (a *answer) rehash(results []Result) crypto.Digest {
	leaves := make([]crypto.Digest, len(results))
	for i := range results {
		l := receiptLeaf(a.height, &a.request, i, &results[i])
		leaves[i] = l.Digest()
	}
	return answerDigest(a, leaves)
}

// path is the session's place in the trie. Clients choose their keys, so the
// place is a hash: nobody can grow a long branch.
func sessionPath(client crypto.PublicKey) crypto.Digest { return crypto.Hash(domainPath, client[:]) }

// seal brings the records and the trie up to date: it costs in proportion to the
// sessions that changed since it was last called.
func (t *sessions) seal() {
	for _, client := range t.gone {
		t.sealed.Delete(string(client[:]))
		t.trie.Delete(sessionPath(client))
	}
	clear(t.gone)
	t.gone = t.gone[:0]
	for _, s := range t.dirty {
		s.dirty = false
		if t.byKey[s.client] != s {
			continue // evicted since, and perhaps followed by a new session
		}
		r := s.record()
		t.sealed.Set(string(s.client[:]), r)
		t.trie.Set(sessionPath(s.client), r.digest())
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
}

// digest covers the whole table and the limits that it is kept under.
func (t *sessions) digest() crypto.Digest {
	t.seal()
	limits, root := t.limits.Digest(), t.trie.Root()
	b := append([]byte(nil), limits[:]...)
	b = canon.AppendUint64(b, t.executed)
	b = canon.AppendUint64(b, uint64(t.forgottenUntil))
	b = canon.AppendUint64(b, uint64(len(t.byKey)))
	b = append(b, root[:]...)
	return crypto.Hash(domainSessions, b)
}

// StateDigest joins what a checkpoint certifies of the state: the application's
// digest, the session table's, and the root of the snapshot's manifest, which is
// zero unless a snapshot is due at that checkpoint.
func StateDigest(app, sessions, manifest crypto.Digest) crypto.Digest {
	return crypto.Hash(domainState, app[:], sessions[:], manifest[:])
}
