package ledger

import (
	"slices"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// step is a point of a plan: the amount that arrives there, and, if the next point is
// the same account, the offer that converts it.
type step struct {
	Hop
	amount uint64
	offer  string
}

// plan is how a payment goes, from its source to its destination.
type plan struct{ steps []step }

// search looks for the way of a payment. It reads, and changes nothing but its budget.
type search struct {
	r            store.Reader
	now          statemachine.Time
	limits       *Limits
	nodes, edges *int // that may still be visited and looked at
	from, to     Hop
}

func (s *search) line(a, b, asset string) (l Line, ok bool) {
	v, ok := s.r.Get(LineKey(a, b, asset))
	if ok {
		mustDecode(v, &l)
	}
	return l, ok
}

// follow plans a payment along a path that was given. Amounts are planned from the end.
func (s *search) follow(path []Hop, amount uint64) (*plan, error) {
	p := &plan{make([]step, 0, len(path)+2)}
	p.steps = append(p.steps, step{Hop: s.from})
	for _, h := range path {
		p.steps = append(p.steps, step{Hop: h})
	}
	p.steps = append(p.steps, step{Hop: s.to, amount: amount})
	last := len(p.steps) - 1
	for i := last - 1; i >= 0; i-- {
		a, b := &p.steps[i], &p.steps[i+1]
		switch {
		case a.Hop == b.Hop:
			return nil, invalid("a path with " + a.Account + " twice in a row")
		case a.Account != b.Account && a.Asset != b.Asset:
			return nil, invalid("a path from " + a.Account + " to " + b.Account + " in two assets: name the account that converts twice")
		case a.Account != b.Account:
			if _, ok := s.r.Get(AccountKey(a.Account)); !ok {
				return nil, reject(CodeUnknownAccount, a.Account)
			}
			a.amount = b.amount
		case i == 0 || i == last-1:
			return nil, invalid("a path on which the payer or the payee converts")
		default:
			if a.offer, a.amount = s.best(a.Account, b.Asset, a.Asset, b.amount); a.offer == "" {
				return nil, reject(CodeUnknownOffer, a.Account+" for "+b.Asset+", to be paid with "+a.Asset)
			}
		}
	}
	return p, nil
}

// offersOf yields the offers for payments of an account.
func (s *search) offersOf(account string, yield func(ref string, o *Offer)) {
	prefix := key(spaceOffer, account)
	for k, v := range s.r.Range(prefix, store.PrefixEnd(prefix)) {
		if *s.edges == 0 {
			return
		}
		*s.edges--
		var o Offer
		mustDecode(v, &o)
		if o.Credit && (o.Expires == 0 || s.now < o.Expires) {
			yield(string(k[len(prefix):len(k)-1]), &o)
		}
	}
}

// best is the cheapest offer of an account for n units of sell, and its price; the
// first of equals by reference.
func (s *search) best(account, sell, buy string, n uint64) (ref string, cost uint64) {
	s.offersOf(account, func(r string, o *Offer) {
		if o.Sell != sell || o.Buy != buy || o.Amount < n {
			return
		}
		if c, ok := o.Cost(n); ok && (ref == "" || c < cost) {
			ref, cost = r, c
		}
	})
	return ref, cost
}

// visit is a point that a search has reached, from the end.
type visit struct {
	step
	next int // index of the visit that the payment goes on to
	hops int
}

// find searches from the end, breadth first: the first way found has the fewest hops.
// Each account is visited once in each asset, so the way crosses no line twice.
func (s *search) find(amount uint64) *plan {
	if *s.nodes == 0 {
		return nil
	}
	*s.nodes--
	visits := []visit{{step: step{Hop: s.to, amount: amount}, next: -1}}
	seen := map[Hop]bool{s.to: true}
	found := -1
	reach := func(v visit) bool {
		if seen[v.Hop] || found >= 0 || *s.nodes == 0 {
			return found < 0
		}
		*s.nodes--
		seen[v.Hop] = true
		visits = append(visits, v)
		if v.Hop == s.from {
			found = len(visits) - 1
		}
		return found < 0
	}
	for i := 0; i < len(visits) && found < 0 && *s.nodes > 0; i++ {
		v := visits[i]
		if v.hops == s.limits.MaxHops {
			break // and so have all that follow
		}
		if v.next >= 0 && v.offer == "" && v.Account != s.from.Account && v.Account != s.to.Account {
			s.conversions(i, &v, reach)
		}
		s.debtors(i, &v, visits, reach)
	}
	if found < 0 {
		return nil
	}
	p := new(plan)
	for i := found; i >= 0; i = visits[i].next {
		p.steps = append(p.steps, visits[i].step)
	}
	return p
}

// conversions reaches what the account of a visit takes for what goes out there: each
// asset once, at its best price.
func (s *search) conversions(i int, v *visit, reach func(visit) bool) {
	var ways []visit
	s.offersOf(v.Account, func(ref string, o *Offer) {
		cost, ok := o.Cost(v.amount)
		if o.Sell != v.Asset || o.Amount < v.amount || !ok {
			return
		}
		w := visit{step: step{Hop: Hop{v.Account, o.Buy}, amount: cost, offer: ref}, next: i, hops: v.hops + 1}
		at := slices.IndexFunc(ways, func(w visit) bool { return w.Asset == o.Buy })
		switch {
		case at < 0:
			ways = append(ways, w)
		case cost < ways[at].amount:
			ways[at] = w
		}
	})
	for _, w := range ways {
		if !reach(w) {
			return
		}
	}
}

// debtors reaches the accounts that can pay the account of a visit: first those with
// higher names than its own, then those with lower ones.
func (s *search) debtors(i int, v *visit, visits []visit, reach func(visit) bool) {
	through := v.next >= 0 && v.offer == "" // in by a line, and out by one
	if through {
		out, _ := s.line(v.Account, visits[v.next].Account, v.Asset)
		if !out.ripples(v.Account < visits[v.next].Account) {
			return
		}
	}
	try := func(peer string, l *Line) bool {
		low := v.Account < peer
		if l.room(low) < v.amount || through && !l.ripples(low) {
			return true
		}
		return reach(visit{step: step{Hop: Hop{peer, v.Asset}, amount: v.amount}, next: i, hops: v.hops + 1})
	}
	prefix := key(spaceLine, v.Account, v.Asset)
	for k, b := range s.r.Range(prefix, store.PrefixEnd(prefix)) {
		if *s.edges == 0 {
			return
		}
		*s.edges--
		var l Line
		mustDecode(b, &l)
		if !try(string(k[len(prefix):len(k)-1]), &l) {
			return
		}
	}
	prefix = key(spaceHigh, v.Account, v.Asset)
	for k := range s.r.Range(prefix, store.PrefixEnd(prefix)) {
		if *s.edges == 0 {
			return
		}
		*s.edges--
		peer := string(k[len(prefix) : len(k)-1])
		if l, ok := s.line(peer, v.Account, v.Asset); ok && !try(peer, &l) {
			return
		}
	}
}
