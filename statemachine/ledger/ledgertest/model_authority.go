package ledgertest

import (
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// needs is the authority that a transaction takes, action by action: that of any of some
// accounts, or of a registrar.
type needs struct {
	anyOf []need
	// controllers are the accounts as they are, and as the transaction opens them.
	controllers map[string]account
	registrars  []crypto.PublicKey
}

type need struct {
	accounts  []string
	registrar bool
}

// gather finds the authority that a transaction takes before anything of it is run. What
// an action defines or sets aside is there for those that come later; what it opens is
// there for all.
func (m *Model) gather(tx *ledger.Transaction) (needs, statemachine.ResultCode) {
	n := needs{controllers: map[string]account{}, registrars: m.w.Genesis().Registrars}
	defined, placed := map[string]string{}, map[[2]string]hold{}
	for _, a := range tx.Actions {
		switch a := a.(type) {
		case *ledger.OpenAccount:
			n.controllers[a.Account] = account{a.Keys, int(a.Threshold)}
		case *ledger.DefineAsset:
			defined[a.Asset] = a.Issuer
		case *ledger.PlaceHold:
			placed[[2]string{a.From, a.Reference}] = hold{to: a.To, agent: a.Agent, expires: a.Expires}
		}
		who, code := m.need(a, defined, placed)
		if code != statemachine.CodeOK {
			return n, code
		}
		n.anyOf = append(n.anyOf, who)
	}
	for name, a := range m.s.accounts {
		n.controllers[name] = a
	}
	return n, statemachine.CodeOK
}

func of(accounts ...string) (need, statemachine.ResultCode) {
	return need{accounts: accounts}, statemachine.CodeOK
}

// need is the authority that one action takes.
func (m *Model) need(a ledger.Action, defined map[string]string, placed map[[2]string]hold) (need, statemachine.ResultCode) {
	issuer := func(name string) (need, statemachine.ResultCode) {
		if as, ok := m.s.assets[name]; ok {
			return of(as.issuer)
		}
		if who, ok := defined[name]; ok {
			return of(who)
		}
		return need{}, ledger.CodeUnknownAsset
	}
	decided := func(payer, reference string) (h hold, ok bool) {
		k := [2]string{payer, reference}
		if h, ok = placed[k]; !ok {
			h, ok = m.s.holds[k]
		}
		return h, ok
	}
	switch a := a.(type) {
	case *ledger.OpenAccount:
		return need{registrar: true}, statemachine.CodeOK
	case *ledger.SetKeys:
		return of(a.Account)
	case *ledger.Advance:
		return of(a.Account)
	case *ledger.DefineAsset:
		return of(a.Issuer)
	case *ledger.SetRules:
		return issuer(a.Asset)
	case *ledger.CloseAsset:
		return issuer(a.Asset)
	case *ledger.Issue:
		return issuer(a.Asset)
	case *ledger.Freeze:
		return issuer(a.Asset)
	case *ledger.Admit:
		return issuer(a.Asset)
	case *ledger.Clawback:
		return issuer(a.Asset)
	case *ledger.Retire:
		return of(a.From)
	case *ledger.Transfer:
		return of(a.From)
	case *ledger.PlaceHold:
		return of(a.From)
	case *ledger.Capture:
		h, ok := decided(a.From, a.Reference)
		switch {
		case !ok:
			return need{}, ledger.CodeUnknownHold
		case h.agent != "":
			return of(h.agent)
		}
		return of(h.to)
	case *ledger.Release:
		h, ok := decided(a.From, a.Reference)
		if !ok {
			return need{}, ledger.CodeUnknownHold
		}
		who := []string{h.to}
		if h.agent != "" {
			who = append(who, h.agent)
		}
		if m.now >= h.expires {
			who = append(who, a.From)
		}
		return of(who...)
	case *ledger.Trust:
		return of(a.Account)
	case *ledger.Pay:
		return of(a.From)
	case *ledger.MakeOffer:
		return of(a.Account)
	case *ledger.CancelOffer:
		return of(a.Account)
	case *ledger.TakeOffer:
		return of(a.Taker)
	}
	return need{}, statemachine.CodeUnsupported // there is no other
}

func (m *Model) known(name string) bool {
	_, ok := m.s.accounts[name]
	return ok
}

// name tells whether an account's authority may be among what is needed.
func (n *needs) name(name string) bool {
	return slices.ContainsFunc(n.anyOf, func(who need) bool { return slices.Contains(who.accounts, name) })
}

// party tells whether a key has a say.
func (n *needs) party(k crypto.PublicKey) bool {
	return slices.ContainsFunc(n.anyOf, func(who need) bool {
		return who.registrar && slices.Contains(n.registrars, k) ||
			slices.ContainsFunc(who.accounts, func(name string) bool { return slices.Contains(n.controllers[name].keys, k) })
	})
}

// met tells whether these keys are all the authority that is needed.
func (n *needs) met(have []crypto.PublicKey) statemachine.ResultCode {
	for _, who := range n.anyOf {
		if who.registrar && len(n.registrars) > 0 && !slices.ContainsFunc(have, func(k crypto.PublicKey) bool { return slices.Contains(n.registrars, k) }) {
			return ledger.CodeUnauthorized
		}
		satisfied := who.registrar
		for _, name := range who.accounts {
			a, ok := n.controllers[name]
			if !ok {
				return ledger.CodeUnknownAccount
			}
			missing := a.threshold
			for _, k := range a.keys {
				if slices.Contains(have, k) {
					missing--
				}
			}
			if satisfied = missing <= 0; satisfied {
				break
			}
		}
		if !satisfied {
			return ledger.CodeUnauthorized
		}
	}
	return statemachine.CodeOK
}
