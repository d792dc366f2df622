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
