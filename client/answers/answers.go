// Package answers decides what a client may believe of what replicas say about one
// request. It is pure: no time, no network, no locks. Package client counts with
// it, and so does the simulator.
package answers

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Answers are what the replicas said about a request. Of each only the last is
// kept, and of that only a digest: a replica that lies at length fills no memory.
// It is not safe for concurrent use.
type Answers struct {
	said []crypto.Digest // by replica; zero: nothing
}

// New returns the answers of n replicas, none of which has said anything.
func New(n int) Answers { return Answers{make([]crypto.Digest, n)} }

// Fits tells whether r can be the reply to request at all.
func Fits(request *pbft.Request, r *statemachine.Reply) bool {
	return about(request, r) && len(r.Results) == wanted(request, r)
}

// FitsEncoded is Fits for a reply whose results are encoded; those in r play no part.
func FitsEncoded(request *pbft.Request, r *statemachine.Reply, results []byte) bool {
	return about(request, r) && statemachine.AreResults(results, wanted(request, r))
}

// about tells whether r is about request, and its status one that there is.
func about(request *pbft.Request, r *statemachine.Reply) bool {
	return r.Client == request.Client && r.Seq == request.Seq && r.Request == request.Digest() &&
		r.Status >= statemachine.Executed && r.Status <= statemachine.Quarantined
}

// wanted is how many results r must have.
func wanted(request *pbft.Request, r *statemachine.Reply) int {
	if r.Status.Ran() {
		return len(request.Ops)
	}
	return 0
}

// Key is what must be equal for two replicas to have said the same. For a request
// that did not run, what the replicas' own progress puts into the answer plays no
// part. It hashes the results.
func Key(r *statemachine.Reply) crypto.Digest {
	return KeyOf(r, statemachine.AppendResults(make([]byte, 0, statemachine.ResultsSize(r.Results)), r.Results))
}

const domainSaid = crypto.Domain("parley/client/said")

// KeyOf is Key of a reply whose results are encoded; those in r play no part.
func KeyOf(r *statemachine.Reply, results []byte) crypto.Digest {
	status, height := r.Status, r.Height
	switch {
	case !status.Ran():
		height, results = 0, nil
	case status == statemachine.Duplicate:
		status = statemachine.Executed // these are the results of then
	}
	b := make([]byte, 0, crypto.PublicKeySize+8+crypto.DigestSize+1+8)
	b = append(b, r.Client[:]...)
	b = canon.AppendUint64(b, r.Seq)
	b = append(b, r.Request[:]...)
	b = canon.AppendUint8(b, uint8(status))
	b = canon.AppendUint64(b, height)
	return crypto.Hash(domainSaid, b, results)
}

// Hear records what a replica said and tells whether so much weight agrees that it
// is true: one of those who say it is honest.
func (a Answers) Hear(q *pbft.QuorumSystem, from pbft.ReplicaID, key crypto.Digest) bool {
	if int(from) >= len(a.said) {
		return false
	}
	a.said[from] = key
	set := crypto.NewBitmap(q.N())
	for id := range a.said {
		if a.said[id] == key {
			set.Set(pbft.ReplicaID(id))
		}
	}
	return q.IsBlocking(set)
}

// Of returns the key of what a replica said, zero if it said nothing.
func (a Answers) Of(from pbft.ReplicaID) crypto.Digest { return a.said[from] }

// Any tells whether anything was said.
func (a Answers) Any() bool {
	for id := range a.said {
		if !a.said[id].IsZero() {
			return true
		}
	}
	return false
}

// Others is how many replicas said something else than key.
func (a Answers) Others(key crypto.Digest) (n int) {
	for id := range a.said {
		if a.said[id] != key && !a.said[id].IsZero() {
			n++
		}
	}
	return n
}

// Forget makes room for answers to another attempt.
func (a Answers) Forget() { clear(a.said) }

// Verdict is what a reply that is true means for its request.
type Verdict uint8

// The verdicts.
const (
	// Ran: it was executed, and the results are here.
	Ran Verdict = iota + 1
	// Never: it has not run and never will.
	Never
	// Again: nothing is consumed; it may be tried again, later.
	Again
	// Unknown: it may have run, but the cluster does not say any more what came of it.
	Unknown
)

// Of returns the verdict of a status.
func Of(s statemachine.Status) Verdict {
	switch s {
	case statemachine.Executed, statemachine.Duplicate:
		return Ran
	case statemachine.Expired:
		return Never
	case statemachine.Window, statemachine.Busy, statemachine.Early:
		return Again
	}
	return Unknown
}
