package ledgertest

import (
	"math/big"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

const ok = statemachine.CodeOK

// act is one action.
func (m *Model) act(a ledger.Action) statemachine.ResultCode {
	s := m.s
	switch a := a.(type) {
	case *ledger.OpenAccount:
		return m.openAccount(a)
	case *ledger.SetKeys:
		c := m.checkKeys(a.Keys, a.Threshold)
		switch {
		case c != ok:
			return c
		case !m.known(a.Account):
			return ledger.CodeUnknownAccount
		}
		s.accounts[a.Account] = account{a.Keys, int(a.Threshold)}
		return ok
	case *ledger.Advance:
		if !m.known(a.Account) {
			return ledger.CodeUnknownAccount
		}
		s.sequences[a.Account]++
		return ok
	case *ledger.DefineAsset:
		return m.defineAsset(a)
	case *ledger.SetRules:
		return m.setRules(a)
	case *ledger.CloseAsset:
		as := s.assets[a.Asset]
		as.closed = true
		s.assets[a.Asset] = as
		return ok
	case *ledger.Issue:
		return m.issue(a)
	case *ledger.Retire:
		return m.retire(a)
	case *ledger.Freeze:
		as := s.assets[a.Asset]
		switch {
		case a.On && !as.rules.Has(ledger.RuleFreezable):
			return ledger.CodeRules
		case a.Account == "":
			as.frozen = a.On
			s.assets[a.Asset] = as
			return ok
		case !m.known(a.Account):
			return ledger.CodeUnknownAccount
		}
		k := [2]string{a.Account, a.Asset}
		h := s.holdings[k]
		h.frozen = a.On
		s.holdings[k] = h
		return ok
	case *ledger.Admit:
		if !m.known(a.Account) {
			return ledger.CodeUnknownAccount
		}
		k := [2]string{a.Account, a.Asset}
		h := s.holdings[k]
		h.admitted = a.On
		s.holdings[k] = h
		return ok
	case *ledger.Clawback:
		as := s.assets[a.Asset]
		switch {
		case !as.rules.Has(ledger.RuleClawback):
			return ledger.CodeRules
		case a.Amount == 0 || a.From == as.issuer:
			return ledger.CodeInvalid
		case !m.known(a.From):
			return ledger.CodeUnknownAccount
		case s.holdings[[2]string{a.From, a.Asset}].balance < a.Amount:
			return ledger.CodeInsufficient
		}
		s.shift(a.Asset, a.From, as.issuer, a.Amount)
		return ok
	case *ledger.Transfer:
		return m.move(a.Asset, a.From, a.To, a.Amount)
	case *ledger.PlaceHold:
		return m.placeHold(a)
	case *ledger.Capture:
		return m.capture(a)
	case *ledger.Release:
		k := [2]string{a.From, a.Reference}
		h, there := s.holds[k]
		if !there {
			return ledger.CodeUnknownHold
		}
		s.end(k, h, h.amount)
		return ok
	case *ledger.Trust:
		return m.trust(a)
	case *ledger.Pay:
		return m.pay(a)
	case *ledger.MakeOffer:
		return m.makeOffer(a)
	case *ledger.CancelOffer:
		k := [2]string{a.Account, a.Reference}
		if _, there := s.offers[k]; !there {
			return ledger.CodeUnknownOffer
		}
		delete(s.offers, k)
		return ok
	case *ledger.TakeOffer:
		return m.takeOffer(a)
	}
	return statemachine.CodeUnsupported
}

func (m *Model) issue(a *ledger.Issue) statemachine.ResultCode {
	as, there := m.s.assets[a.Asset]
	k := [2]string{a.To, a.Asset}
	h := m.s.holdings[k]
	issued := new(big.Int).Add(as.issued, number(a.Amount))
	supply := new(big.Int).Sub(issued, as.retired)
	switch {
	case !there:
		return ledger.CodeUnknownAsset
	case !m.known(a.To):
		return ledger.CodeUnknownAccount
	case a.Amount == 0:
		return ledger.CodeInvalid
	case as.closed:
		return ledger.CodeSupply
	case above(supply):
		return ledger.CodeOverflow
	case supply.Cmp(as.most) > 0:
		return ledger.CodeSupply
	}
	if c := m.s.receives(as, h, a.To); c != ok {
		return c
	}
	as.issued.Set(issued)
	h.balance += a.Amount
	m.s.holdings[k] = h
	return ok
}

func (m *Model) retire(a *ledger.Retire) statemachine.ResultCode {
	as, there := m.s.assets[a.Asset]
	k := [2]string{a.From, a.Asset}
	h := m.s.holdings[k]
	switch {
	case !there:
		return ledger.CodeUnknownAsset
	case a.Amount == 0:
		return ledger.CodeInvalid
	case a.From != as.issuer && !as.rules.Has(ledger.RuleHolderRetires):
		return ledger.CodeRules
	case as.frozen || h.frozen:
		return ledger.CodeFrozen
	case h.balance < a.Amount:
		return ledger.CodeInsufficient
	}
	as.retired.Add(as.retired, number(a.Amount))
	h.balance -= a.Amount
	m.s.holdings[k] = h
	return ok
}

func (s *state) receives(as asset, h holding, who string) statemachine.ResultCode {
	switch {
	case as.frozen || h.frozen:
		return ledger.CodeFrozen
	case as.rules.Has(ledger.RuleAdmission) && !h.admitted && who != as.issuer:
		return ledger.CodeNotAdmitted
	}
	return ok
}

func (s *state) shift(asset, from, to string, n uint64) {
	f := s.holdings[[2]string{from, asset}]
	f.balance -= n
	s.holdings[[2]string{from, asset}] = f
	t := s.holdings[[2]string{to, asset}]
	t.balance += n
	s.holdings[[2]string{to, asset}] = t
}

func (m *Model) move(asset, from, to string, n uint64) statemachine.ResultCode {
	s := m.s
	as, there := s.assets[asset]
	f, t := s.holdings[[2]string{from, asset}], s.holdings[[2]string{to, asset}]
	switch {
	case !there:
		return ledger.CodeUnknownAsset
	case !m.known(to):
		return ledger.CodeUnknownAccount
	case n == 0 || from == to:
		return ledger.CodeInvalid
	case as.frozen || f.frozen:
		return ledger.CodeFrozen
	}
	if c := s.receives(as, t, to); c != ok {
		return c
	}
	if f.balance < n {
		return ledger.CodeInsufficient
	}
	s.shift(asset, from, to, n)
	return ok
}

func (m *Model) placeHold(a *ledger.PlaceHold) statemachine.ResultCode {
	s := m.s
	as, there := s.assets[a.Asset]
	k := [2]string{a.From, a.Reference}
	_, taken := s.holds[k]
	at := [2]string{a.From, a.Asset}
	h := s.holdings[at]
	open := 0
	for k := range s.holds {
		if k[0] == a.From {
			open++
		}
	}
	switch c := m.lasts(a.Expires); {
	case !there:
		return ledger.CodeUnknownAsset
	case !m.known(a.To) || a.Agent != "" && !m.known(a.Agent):
		return ledger.CodeUnknownAccount
	case c != ok:
		return c
	case !m.known(a.From):
		return ledger.CodeUnknownAccount
	case a.Amount == 0 || a.From == a.To:
		return ledger.CodeInvalid
	case taken:
		return ledger.CodeExists
	case as.frozen || h.frozen:
		return ledger.CodeFrozen
	case h.balance < a.Amount:
		return ledger.CodeInsufficient
	case open >= int(m.limits.MaxHolds):
		return ledger.CodeTooMany
	}
	h.balance -= a.Amount
	h.held += a.Amount
	s.holdings[at] = h
	s.holds[k] = hold{to: a.To, asset: a.Asset, agent: a.Agent, amount: a.Amount, expires: a.Expires, lock: a.Lock}
	return ok
}

// end ends a hold: so much goes back.
func (s *state) end(k [2]string, h hold, back uint64) {
	delete(s.holds, k)
	at := [2]string{k[0], h.asset}
	p := s.holdings[at]
	p.held -= h.amount
	p.balance += back
	s.holdings[at] = p
}

func (m *Model) capture(a *ledger.Capture) statemachine.ResultCode {
	s := m.s
	k := [2]string{a.From, a.Reference}
	h, there := s.holds[k]
	if !there {
		return ledger.CodeUnknownHold
	}
	as := s.assets[h.asset]
	n := a.Amount
	if n == 0 {
		n = h.amount
	}
	to := [2]string{h.to, h.asset}
	switch {
	case m.now >= h.expires:
		return ledger.CodeExpired
	case h.lock.IsZero() != (len(a.Secret) == 0) || !h.lock.IsZero() && ledger.LockOf(a.Secret) != h.lock:
		return ledger.CodeSecret
	case n > h.amount:
		return ledger.CodeInsufficient
	case as.frozen || s.holdings[[2]string{a.From, h.asset}].frozen:
		return ledger.CodeFrozen
	}
	if c := s.receives(as, s.holdings[to], h.to); c != ok {
		return c
	}
	s.end(k, h, h.amount-n)
	q := s.holdings[to]
	q.balance += n
	s.holdings[to] = q
	return ok
}

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
