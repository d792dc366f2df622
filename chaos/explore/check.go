package explore

import (
	"fmt"

	"github.com/parley-bft/parley/pbft"
)

func (s *search) fail(state int32, format string, args ...any) {
	if s.found == nil {
		s.found = &finding{state, fmt.Sprintf(format, args...)}
	}
}

// check looks at a state that is new: at the replica that moved, and at it against the
// others.
func (s *search) check(state int32, before []int32, st step) {
	r := s.roles[st.position]
	l, old := r.locals[st.to], r.locals[before[st.position]]
	if l.bad != "" {
		s.fail(state, "%s", l.bad)
		return
	}
	for h, b := range old.chain {
		if l.chain[h] != b {
			s.fail(state, "replica %d gives up %s at height %d, which it had committed, for %s", s.ids[st.position], b.name, h+1, l.chain[h].name)
		}
	}
	for q, id := range before {
		if q == st.position {
			continue
		}
		o := s.roles[q].locals[id]
		for h := range min(len(l.chain), len(o.chain)) {
			if l.chain[h] != o.chain[h] {
				s.fail(state, "agreement: at height %d replica %d has committed %s and replica %d %s", h+1, s.ids[st.position], l.chain[h].name, s.ids[q], o.chain[h].name)
				return
			}
		}
	}
}

// checkEnd looks at a state in which the honest can do nothing more by themselves.
// If the primary of the last view is one of them, everything must have been committed
// by everybody: nothing that the traitors did may have taken that from them. And if all
// have come to the last view, it must be open. They need not: who has nothing to wait
// for suspects nobody, and lets one whose timer was too short wait in a later view.
func (s *search) checkEnd(state int32, now []int32) {
	w := s.w
	last := w.cfg.lastView()
	if w.cfg.AgreementOnly || w.traitor[w.primary(last)] || s.honestNeeded(0) > s.k {
		return
	}
	for p, id := range now {
		// A primary that was restarted in its view does not propose in it (R6).
		if s.ids[p] == w.primary(last) && s.roles[p].locals[id].crashes > 0 {
			return
		}
	}
	s.ends++
	together := true
	for p, id := range now {
		together = together && s.roles[p].locals[id].view == last
	}
	for p, id := range now {
		l := s.roles[p].locals[id]
		done := 0
		for _, r := range w.requests {
			for _, b := range l.chain {
				if b.has(r) {
					done++
					break
				}
			}
		}
		if together && !l.open || done < len(w.requests) {
			s.fail(state, "deadlock: the honest replicas can do nothing more, and replica %d is in view %d (entered %t, open %t) with %d of %d requests committed",
				s.ids[p], l.view, l.entered, l.open, done, len(w.requests))
			return
		}
	}
}

func (b *block) has(r *pbft.Request) bool {
	for _, o := range b.proposal.Requests {
		if o.Digest() == r.Digest() {
			return true
		}
	}
	return false
}
