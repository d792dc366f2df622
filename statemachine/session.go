package statemachine

import (
	"math/bits"
	"slices"

	"github.com/parley-bft/parley/crypto"
)

// session is what is remembered of one client.
//
// Invariants: the bit of floor+1 is not set; every number in answers is at or
// below floor, or its bit is set; answers lie in (floor-MaxInFlight,
// floor+MaxInFlight], in ascending order of Seq, at most one for each.
type session struct {
	client crypto.PublicKey
	// floor: every number up to it is used or given up.
	floor uint64
	// window has bit seq%MaxInFlight for each used seq in (floor, floor+MaxInFlight].
	window []uint64
	// maxDeadline is the latest deadline of any request that ran: from then on no
	// request that ran can run again, even if nothing is remembered of it.
	maxDeadline Time
	answers     []*answer

	queued Time // the maxDeadline under which it stands in the eviction queue
	dirty  bool // listed in the table's dirty list
	small  [1]uint64
}

// answer is the outcome of one executed request, bound to its digest: a client
// that signs two requests under one number gets the other's outcome for neither.
// It is immutable once done, but for its links in the table's list of answers.
type answer struct {
	session *session
	seq     uint64
	request crypto.Digest
	height  uint64
	ordinal uint64 // how many requests had run before it, in the whole history
	results []Result
	size    int64         // what it counts in Limits.MaxCacheBytes
	digest  crypto.Digest // of all of the above but size
	done    bool          // results are there; not so while Apply runs

	older, newer *answer
}

func newSession(client crypto.PublicKey, maxInFlight int) *session {
	s := &session{client: client}
	if maxInFlight == 64 {
		s.window = s.small[:]
	} else {
		s.window = make([]uint64, maxInFlight/64)
	}
	return s
}

func (s *session) size() uint64 { return uint64(len(s.window)) * 64 }

// has tells whether the bit of seq, which must lie in the window, is set.
func (s *session) has(seq uint64) bool {
	i := seq % s.size()
	return s.window[i/64]>>(i%64)&1 == 1
}

func (s *session) set(seq uint64) {
	i := seq % s.size()
	s.window[i/64] |= 1 << (i % 64)
}

func (s *session) clear(seq uint64) {
	i := seq % s.size()
	s.window[i/64] &^= 1 << (i % 64)
}

// used tells whether seq can never run in this session again.
func (s *session) used(seq uint64) bool {
	return seq <= s.floor || seq-s.floor <= s.size() && s.has(seq)
}

// find returns the answer for seq, or nil.
func (s *session) find(seq uint64) *answer {
	if i, ok := s.search(seq); ok {
		return s.answers[i]
	}
	return nil
}

func (s *session) search(seq uint64) (int, bool) {
	// Requests mostly arrive in order: look at the end first.
	if n := len(s.answers); n == 0 || s.answers[n-1].seq < seq {
		return n, false
	}
	return slices.BinarySearchFunc(s.answers, seq, func(a *answer, seq uint64) int {
		switch {
		case a.seq < seq:
			return -1
		case a.seq > seq:
			return 1
		}
		return 0
	})
}

// raise moves the floor up to at least to, then over the used numbers that
// follow it.
func (s *session) raise(to uint64) {
	if to > s.floor {
		if to-s.floor >= s.size() {
			clear(s.window)
			s.floor = to
		} else {
			for s.floor < to {
				s.floor++
				s.clear(s.floor)
			}
		}
	}
	if len(s.window) == 1 {
		// One word: count the run of ones that starts at the bit of floor+1.
		if w := bits.RotateLeft64(s.window[0], -int((s.floor+1)%64)); w&1 == 1 {
			run := uint64(bits.TrailingZeros64(^w))
			s.floor += run
			s.window[0] = bits.RotateLeft64(w>>run<<run, int((s.floor-run+1)%64))
		}
		return
	}
	for s.has(s.floor + 1) {
		s.floor++
		s.clear(s.floor)
	}
}

// keepFrom is the lowest number whose answer is kept: the client wants answers
// from low on, and whoever has at most MaxInFlight unanswered requests wants none
// at floor-MaxInFlight or below.
func (s *session) keepFrom(low uint64) uint64 {
	if n := s.size(); s.floor >= n && s.floor-n+1 > low {
		return s.floor - n + 1
	}
	return low
}
