package explore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parley-bft/parley/pbft"
)

// tell makes the story of how a state comes about.
func (s *search) tell(f *finding) *Violation {
	var path []int32
	for at := f.state; at != none; at = s.parent[at] {
		path = append(path, at)
	}
	slices.Reverse(path)
	v := &Violation{Text: f.text}
	// Exchangeable replicas were sorted in every state: the story keeps them apart.
	now := slices.Clone(s.state(path[0]))
	v.Schedule = append(v.Schedule, s.beginning(now)...)
	for _, next := range path[1:] {
		st, ok := s.stepTo(now, s.state(next))
		if !ok {
			v.Schedule = append(v.Schedule, "(a step that could not be found again)")
			break
		}
		before := s.roles[st.position].locals[now[st.position]]
		now[st.position] = st.to
		after := s.roles[st.position].locals[st.to]
		id := s.ids[st.position]
		v.Schedule = append(v.Schedule, fmt.Sprintf("replica %d: %s%s", id, s.happens(&s.w.inputs[st.input]), s.effect(before, after)))
	}
	return v
}

// beginning says who the traitors are and what is sent before anything arrives.
func (s *search) beginning(now []int32) []string {
	var lines []string
	if len(s.w.cfg.Traitors) > 0 {
		lines = append(lines, fmt.Sprintf("traitors: %v; honest: %v", s.w.cfg.Traitors, s.ids))
	}
	for p, id := range now {
		if e := s.effect(&local{}, s.roles[p].locals[id]); e != "" {
			lines = append(lines, fmt.Sprintf("replica %d: starts%s", s.ids[p], e))
		}
	}
	return lines
}

// stepTo finds the step from a tuple to a state.
func (s *search) stepTo(now, next []int32) (step, bool) {
	var found step
	ok := false
	got := make([]int32, s.k)
	s.eachStep(slices.Clone(now), func(st step) {
		copy(got, now)
		got[st.position] = st.to
		s.sort(got)
		if !ok && slices.Equal(got, next) {
			found, ok = st, true
		}
	})
	return found, ok
}

func (s *search) happens(in *input) string {
	w := s.w
	switch in.kind {
	case requests:
		return "the clients' requests arrive"
	case arrives:
		return w.sayFact(in.fact) + " arrives"
	case torn:
		return w.sayFact(in.fact) + " arrives; crash when what may leave at once has left and the records are not on disk; restart"
	case leaves:
		return "sees that a quorum suspects or has left, or that the view does not open"
	case claims:
		var of []string
		if in.theirs >= 0 {
			of = append(of, "the traitors "+w.sayFact(in.theirs))
		}
		for _, c := range in.claims {
			of = append(of, w.sayFact(c))
		}
		return "ViewChanges arrive: " + strings.Join(of, "; ")
	case fetched:
		return "the blocks that it asked for arrive"
	case crashes:
		return "crash and restart"
	}
	return "?"
}

// effect says what a replica does between two local states.
func (s *search) effect(before, after *local) string {
	var does []string
	if after.view > before.view {
		does = append(does, fmt.Sprintf("goes to view %d", after.view))
	}
	after.sent.each(func(f int) {
		if before.sent.has(f) {
			return
		}
		switch fa := &s.w.facts[f]; fa.kind {
		case proposed:
			does = append(does, "sends proposal "+fa.block.name)
		case voted:
			does = append(does, "votes "+s.w.say(&fa.statement))
		case claimed:
			does = append(does, "sends ViewChange: "+s.w.sayFact(f))
		case opened:
			does = append(does, "sends "+s.w.sayFact(f))
		}
	})
	for h := len(before.chain); h < len(after.chain); h++ {
		does = append(does, "COMMITS "+after.chain[h].name)
	}
	if len(does) == 0 {
		return ""
	}
	return "; it " + strings.Join(does, ", ")
}

// sayFact is what arrives, in words.
func (w *world) sayFact(f int) string {
	switch fa := &w.facts[f]; fa.kind {
	case proposed:
		return fmt.Sprintf("proposal %s of view %d (by %d, on %s)", fa.block.name, fa.view, fa.block.proposal.Proposer, nameOf(fa.block.parent))
	case voted:
		return "the certificate " + w.say(&fa.statement)
	case opened:
		return w.sayNewView(fa.newView)
	case claimed:
		switch c := fa.claim; {
		case c.forged:
			return fmt.Sprintf("claim a certificate that does not exist for view %d", c.view)
		case c.certificate == nil:
			return fmt.Sprintf("claim nothing for view %d", c.view)
		default:
			return fmt.Sprintf("claim %s for view %d", w.say(&c.certificate.Statement), c.view)
		}
	case suspected:
		return fmt.Sprintf("suspicion in view %d", fa.view)
	}
	return "?"
}

func (w *world) sayNewView(n *newView) string {
	variant := ""
	if n.variant > 0 {
		variant = " (another one)"
	}
	base := "the start block"
	if c := n.message.Certificate; c != nil {
		base = fmt.Sprintf("%s by its %v certificate of view %d", nameOf(w.blockOf[c.Block]), c.Phase, c.View)
	}
	return fmt.Sprintf("NewView of view %d on %s%s", n.message.View, base, variant)
}

// say is a statement in words.
func (w *world) say(s *pbft.Statement) string {
	under := ""
	for i := range w.facts {
		if n := w.facts[i].newView; n != nil && n.variant > 0 && n.message.Digest() == s.NewView {
			under = " under another NewView"
		}
	}
	return fmt.Sprintf("%v(view %d, %s%s)", s.Phase, s.View, nameOf(w.blockOf[s.Block]), under)
}
