package ledger

import (
	"slices"

	"github.com/parley-bft/parley/statemachine/store"
)

// How a path is found. The search goes from the payee to the payer, level by level: to
// those who can pay the payee, to those who can pay them, and so on. It must find what
// honest lines give whatever others add, and its work is bounded. So:
//
//   - It goes to those only whom an account trusts or owes. Strangers can trust whom they
//     like, and as many, but they come into no search by that: a line is looked at from
//     the side that has agreed to be paid over it (see [Line.payer]).
//   - The payer is looked for directly, from each account that is reached, and not among
//     all who could pay that account: a bank may have any number of customers.
//   - What an account has below it, which may all be its own inventions, takes nothing from
//     the others beside it and above: a level is gone through in turns (see fair), shared
//     equally, and at most half of what is left is spent on each of its two steps.
//   - A way that lets nothing through, or costs more, is no reason to leave another one to
//     the same account (see reach).

// visit is a point that a search has reached, from the end.
type visit struct {
	step
	next  int   // index of the visit that the payment goes on to; -1 at the end
	pass  bool  // the account lets payments of others go on there
	below []int // the visits that go on to this one
}

// label is what is to be known of a visit but the amount: what can go on from it. One that
// was reached by an offer can be paid by whoever can pay the account; one that was reached
// by a line over which payments pass, by whoever can over a line where they pass too, and
// by offers; any other by offers alone.
type label struct {
	Hop
	pass, converted bool
}

func (v *visit) label() label { return label{v.Hop, v.pass, v.offer != ""} }

// find returns the way with the fewest hops that costs at most s.most, the cheapest of
// these; if there is none, a dearer one; nil if there is no way within the limits. Each
// account is on it once in each asset, so it crosses no line twice.
func (s *search) find(amount uint64) *plan {
	s.visits = []visit{{step: step{Hop: s.to, amount: amount}, next: -1, pass: true}}
	s.known = map[label]uint64{{Hop: s.to, pass: true}: amount}
	dear := -1
	for hops := range s.limits.MaxHops {
		level := s.fair(0, hops)
		if len(level) == 0 {
			break
		}
		at := s.arrive(level)
		switch {
		case at >= 0 && s.visits[at].amount <= s.most:
			return s.planOf(at)
		case at >= 0 && (dear < 0 || s.visits[at].amount < s.visits[dear].amount):
			dear = at
		}
		if hops+1 < s.limits.MaxHops {
			s.spread(level)
		}
	}
	if dear >= 0 {
		return s.planOf(dear)
	}
	return nil
}

// planOf is the way from the payer by a visit that it can pay.
func (s *search) planOf(i int) *plan {
	p := &plan{[]step{{Hop: s.from, amount: s.visits[i].amount}}}
	for ; i >= 0; i = s.visits[i].next {
		p.steps = append(p.steps, s.visits[i].step)
	}
	return p
}

// fair returns the visits so many levels below one, in turns of what is below each of
// those beneath it, and so on down: of n accounts beside each other each has an nth of
// any beginning of the list, as long as it has anything.
func (s *search) fair(i, levels int) []int {
	v := &s.visits[i]
	if levels == 0 {
		if s.beaten(v) {
			return nil
		}
		return []int{i}
	}
	var lists [][]int
	for _, b := range v.below {
		if l := s.fair(b, levels-1); len(l) > 0 {
			lists = append(lists, l)
		}
	}
	if len(lists) == 1 {
		return lists[0]
	}
	var all []int
	for len(lists) > 0 {
		left := lists[:0]
		for _, l := range lists {
			if all = append(all, l[0]); len(l) > 1 {
				left = append(left, l[1:])
			}
		}
		lists = left
	}
	return all
}

// beaten tells whether a visit's point was reached at less cost later.
func (s *search) beaten(v *visit) bool { return s.known[v.label()] < v.amount }

// through tells whether a payment that comes to v by a line would go on by another one:
// then the account must let payments through on both. Offers are an agreement of their
// own.
func (v *visit) through() bool { return v.next >= 0 && v.offer == "" }

// arrive returns the visit of a level that the payer can pay, the cheapest; -1 if there
// is none. It takes one line for each.
func (s *search) arrive(level []int) int {
	at := -1
	s.share = (*s.edges + 1) / 2
	for _, i := range level {
		v := &s.visits[i]
		if !v.pass || v.Asset != s.from.Asset || v.Account == s.from.Account || at >= 0 && s.visits[at].amount <= v.amount {
			continue
		}
		if !s.look() {
			break
		}
		low := v.Account < s.from.Account
		if l, _ := s.line(v.Account, s.from.Account, v.Asset); l.room(low) >= v.amount && (!v.through() || l.ripples(low)) {
			at = i
		}
	}
	return at
}

// spread goes on from the visits of a level, at most as many as half of what is left, with
// half of the lines and offers that may still be looked at. What one leaves the others have.
func (s *search) spread(level []int) {
	level = level[:min(len(level), (*s.nodes+1)/2)]
	*s.nodes -= len(level)
	left := (*s.edges + 1) / 2
	for n, i := range level {
		before := *s.edges
		s.share = (left + len(level) - n - 1) / (len(level) - n)
		v := s.visits[i]
		if v.through() && v.Account != s.from.Account && v.Account != s.to.Account {
			s.conversions(i, &v)
		}
		if v.pass {
			s.payers(spaceTrusts, i, &v)
			s.payers(spaceOwes, i, &v)
		}
		left -= before - *s.edges
	}
}

// reach adds a visit, unless its point was reached already at no higher cost and whatever
// goes on from here goes on from there: so somebody who trusts an account that lets nothing
// through to it hides no way through that account.
func (s *search) reach(v visit) {
	if v.Hop == s.from {
		return // see arrive
	}
	own := v.label()
	for _, l := range []label{own, {v.Hop, true, own.converted}} {
		if best, ok := s.known[l]; ok && best <= v.amount {
			return
		}
	}
	if !v.pass && !s.sells(v.Account) {
		return
	}
	for i := v.next; i >= 0; i = s.visits[i].next {
		if s.visits[i].Hop == v.Hop {
			return
		}
	}
	s.known[own] = v.amount
	s.visits[v.next].below = append(s.visits[v.next].below, len(s.visits))
	s.visits = append(s.visits, v)
}

// sells tells whether an account has offers.
func (s *search) sells(account string) bool {
	var a Account
	b, ok := s.r.Get(AccountKey(account))
	if ok {
		mustDecode(b, &a)
	}
	return a.Offers > 0
}

// conversions reaches what the account of a visit takes for what goes out there: each
// asset once, at its best price.
func (s *search) conversions(i int, v *visit) {
	var ways []visit
	s.offersOf(v.Account, func(ref string, o *Offer) {
		cost, ok := o.Cost(v.amount)
		if o.Sell != v.Asset || o.Amount < v.amount || !ok {
			return
		}
		w := visit{step: step{Hop: Hop{v.Account, o.Buy}, amount: cost, offer: ref}, next: i, pass: true}
		at := slices.IndexFunc(ways, func(w visit) bool { return w.Asset == o.Buy })
		switch {
		case at < 0:
			ways = append(ways, w)
		case cost < ways[at].amount:
			ways[at] = w
		}
	})
	for _, w := range ways {
		s.reach(w)
	}
}

// payers reaches those who can pay the account of a visit, in the order of their names:
// those whom it trusts, or those whom it owes and no more.
func (s *search) payers(space byte, i int, v *visit) {
	prefix := key(space, v.Account, v.Asset)
	for k := range s.r.Range(prefix, store.PrefixEnd(prefix)) {
		if !s.look() {
			return
		}
		peer := string(k[len(prefix) : len(k)-1])
		low := v.Account < peer
		l, _ := s.line(v.Account, peer, v.Asset)
		if l.room(low) < v.amount || v.through() && !l.ripples(low) {
			continue
		}
		s.reach(visit{step: step{Hop: Hop{peer, v.Asset}, amount: v.amount}, next: i, pass: l.ripples(!low)})
	}
}
