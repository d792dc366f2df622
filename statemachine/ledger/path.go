package ledger

import (
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
	nodes, edges *int // that may still be gone on from, and looked at
	from, to     Hop
	most         uint64 // that the payment may cost; a dearer way is taken if there is no other

	share  int // of the edges, for the visit under way; below 0: all
	visits []visit
	known  map[label]uint64 // the least amount with which each point was reached
}

// look takes a line or an offer from what may be looked at; false if there is nothing left.
func (s *search) look() bool {
	if *s.edges == 0 || s.share == 0 {
		return false
	}
	*s.edges--
	s.share--
	return true
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
	s.share = -1
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
		if !s.look() {
			return
		}
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
