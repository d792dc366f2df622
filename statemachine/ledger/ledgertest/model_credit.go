package ledgertest

import (
	"math/big"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

func (m *Model) trust(a *ledger.Trust) statemachine.ResultCode {
	s := m.s
	granted := 0
	for k, l := range s.lines {
		if k[0] == a.Account && l.limit > 0 {
			granted++
		}
	}
	mine, theirs := [3]string{a.Account, a.Peer, a.Asset}, [3]string{a.Peer, a.Account, a.Asset}
	nothing := s.lines[theirs].limit == 0 && s.owed[mine] == 0
	switch _, there := s.assets[a.Asset]; {
	case !there:
		return ledger.CodeUnknownAsset
	case !m.known(a.Peer) || !m.known(a.Account):
		return ledger.CodeUnknownAccount
	case a.Account == a.Peer:
		return ledger.CodeInvalid
	case s.lines[mine].limit == 0 && a.Limit > 0 && granted >= int(m.limits.MaxLines):
		return ledger.CodeTooMany
	case a.Limit == 0 && a.Ripple && nothing:
		return ledger.CodeInvalid
	}
	s.lines[mine] = side{a.Limit, a.Ripple}
	s.tidy(a.Account, a.Peer, a.Asset)
	return ok
}

// tidy forgets what two accounts said of a line on which nothing is owed nor may be.
func (s *state) tidy(a, b, asset string) {
	mine, theirs := [3]string{a, b, asset}, [3]string{b, a, asset}
	if s.lines[mine].limit == 0 && s.lines[theirs].limit == 0 && s.owed[mine] == 0 {
		delete(s.lines, mine)
		delete(s.lines, theirs)
	}
}

// credit is what an account is owed in an asset, less what it owes.
func (s *state) credit(account, asset string) *big.Int {
	sum := new(big.Int)
	for k, n := range s.owed {
		if k[0] == account && k[2] == asset {
			sum.Add(sum, big.NewInt(n))
		}
	}
	return sum
}

// owe lets from owe to so much more; owed has each debt from both sides.
func (m *Model) owe(from, to, asset string, n uint64) statemachine.ResultCode {
	s := m.s
	after := new(big.Int).Add(big.NewInt(s.owed[[3]string{to, from, asset}]), number(n))
	limit := number(s.lines[[3]string{to, from, asset}].limit)
	if after.Cmp(limit) > 0 && after.Sign() > 0 {
		return ledger.CodeCredit
	}
	s.owed[[3]string{to, from, asset}] = after.Int64()
	s.owed[[3]string{from, to, asset}] = -after.Int64()
	if above(new(big.Int).Neg(s.credit(from, asset))) || above(s.credit(to, asset)) {
		return ledger.CodeOverflow
	}
	return ok
}

// cost is what n units cost by an offer, or nil.
func cost(o *ledger.Offer, n uint64) *big.Int {
	if o.Price[1] == 0 {
		return nil
	}
	product := new(big.Int).Mul(number(n), number(o.Price[0]))
	q, r := new(big.Int).QuoRem(product, number(o.Price[1]), new(big.Int))
	if r.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	if q.Sign() == 0 || above(q) {
		return nil
	}
	return q
}

func (m *Model) pay(a *ledger.Pay) statemachine.ResultCode {
	s := m.s
	_, there1 := s.assets[a.Source]
	_, there2 := s.assets[a.Asset]
	switch {
	case !there1 || !there2:
		return ledger.CodeUnknownAsset
	case !m.known(a.To):
		return ledger.CodeUnknownAccount
	case a.Amount == 0 || a.From == a.To && a.Source == a.Asset || a.Find:
		return ledger.CodeInvalid
	}
	hops := append(append([]ledger.Hop{{Account: a.From, Asset: a.Source}}, a.Path...), ledger.Hop{Account: a.To, Asset: a.Asset})
	n, refs := make([]uint64, len(hops)), make([]string, len(hops))
	last := len(hops) - 1
	n[last] = a.Amount
	for i := last - 1; i >= 0; i-- {
		p, q := hops[i], hops[i+1]
		switch {
		case p == q, p.Account != q.Account && p.Asset != q.Asset:
			return ledger.CodeInvalid
		case p.Account != q.Account:
			if !m.known(p.Account) {
				return ledger.CodeUnknownAccount
			}
			n[i] = n[i+1]
		case i == 0 || i == last-1:
			return ledger.CodeInvalid
		default:
			for k, o := range s.offers {
				c := cost(&o, n[i+1])
				if k[0] != p.Account || !o.Credit || o.Sell != q.Asset || o.Buy != p.Asset || o.Amount < n[i+1] || c == nil {
					continue
				}
				if refs[i] == "" || c.Uint64() < n[i] || c.Uint64() == n[i] && k[1] < refs[i] {
					refs[i], n[i] = k[1], c.Uint64()
				}
			}
			if refs[i] == "" {
				return ledger.CodeUnknownOffer
			}
		}
	}
	if n[0] > a.MaxCost {
		return ledger.CodeCost
	}
	s.cost = n[0]
	for i := range last {
		p, q := hops[i], hops[i+1]
		if refs[i] != "" {
			if c := s.fill([2]string{p.Account, refs[i]}, n[i+1]); c != ok {
				return c
			}
			continue
		}
		if i > 0 && refs[i-1] == "" && (!s.lines[[3]string{p.Account, hops[i-1].Account, p.Asset}].ripple || !s.lines[[3]string{p.Account, q.Account, p.Asset}].ripple) {
			return ledger.CodeCredit
		}
		if c := m.owe(p.Account, q.Account, p.Asset, n[i+1]); c != ok {
			return c
		}
	}
	for i := range last {
		if refs[i] == "" {
			s.tidy(hops[i].Account, hops[i+1].Account, hops[i].Asset)
		}
	}
	return ok
}

func (m *Model) makeOffer(a *ledger.MakeOffer) statemachine.ResultCode {
	s := m.s
	_, there1 := s.assets[a.Offer.Sell]
	_, there2 := s.assets[a.Offer.Buy]
	others := 0
	for k := range s.offers {
		if k[0] == a.Account && k[1] != a.Reference {
			others++
		}
	}
	c := ok
	if a.Offer.Expires != 0 {
		c = m.lasts(a.Offer.Expires)
	}
	switch {
	case !there1 || !there2:
		return ledger.CodeUnknownAsset
	case a.Offer.Amount == 0 || a.Offer.Price[0] == 0 || a.Offer.Price[1] == 0 || a.Offer.Sell == a.Offer.Buy:
		return ledger.CodeInvalid
	case c != ok:
		return c
	case !m.known(a.Account):
		return ledger.CodeUnknownAccount
	case others >= int(m.limits.MaxOffers):
		return ledger.CodeTooMany
	}
	s.offers[[2]string{a.Account, a.Reference}] = a.Offer
	return ok
}

func (s *state) fill(k [2]string, n uint64) statemachine.ResultCode {
	o, there := s.offers[k]
	switch {
	case !there:
		return ledger.CodeUnknownOffer
	case o.Amount < n:
		return ledger.CodeInsufficient
	case o.Amount == n:
		delete(s.offers, k)
		return ok
	}
	o.Amount -= n
	s.offers[k] = o
	return ok
}

func (m *Model) takeOffer(a *ledger.TakeOffer) statemachine.ResultCode {
	k := [2]string{a.Account, a.Reference}
	o, there := m.s.offers[k]
	if !there {
		return ledger.CodeUnknownOffer
	}
	price := cost(&o, a.Amount)
	switch {
	case a.Amount == 0 || o.Credit:
		return ledger.CodeInvalid
	case price == nil:
		return ledger.CodeOverflow
	case price.Uint64() > a.MaxCost:
		return ledger.CodeCost
	}
	if c := m.s.fill(k, a.Amount); c != ok {
		return c
	}
	if c := m.move(o.Buy, a.Taker, a.Account, price.Uint64()); c != ok {
		return c
	}
	m.s.cost = price.Uint64()
	return m.move(o.Sell, a.Account, a.Taker, a.Amount)
}
