package ledger

import (
	"slices"

	"github.com/parley-bft/parley/crypto"
)

// need is the authority that an action takes: that of any of these accounts, or that of
// a registrar, or none at all.
type need struct {
	anyOf     []string
	registrar bool
}

func needOf(account string) (need, error) { return need{anyOf: []string{account}}, nil }

// gather finds the authority that the actions take. What they will open and set aside
// is noted, so that later ones can act on it.
func (x *exec) gather(tx *Transaction) ([]need, error) {
	needs := make([]need, len(tx.Actions))
	for i, a := range tx.Actions {
		var err error
		if needs[i], err = a.needs(x); err != nil {
			return nil, at(i, err)
		}
	}
	return needs, nil
}

// controller is the account whose keys decide: as it is, or as the transaction opens it.
func (x *exec) controller(name string) (*Account, error) {
	a, err := x.account(name)
	if err == nil {
		return &a, nil
	}
	if o := x.opened[name]; o != nil {
		return o, nil
	}
	return nil, err
}

func (x *exec) registrars() []crypto.PublicKey {
	var r registrars
	x.load(registrarsKey, &r)
	return r.keys
}

// registrars are the keys that may open accounts; none: anybody may.
type registrars struct{ keys []crypto.PublicKey }

func (r *registrars) fields(c *codec) { c.keys(&r.keys, maxKeysEncoded) }

// parties are the keys that may have a say in any of the needs. The map is for looking
// keys up: its order means nothing.
func (x *exec) parties(needs []need) map[crypto.PublicKey]bool {
	say := make(map[crypto.PublicKey]bool)
	if slices.ContainsFunc(needs, func(n need) bool { return n.registrar }) {
		for _, k := range x.registrars() {
			say[k] = true
		}
	}
	for _, n := range needs {
		for _, name := range n.anyOf {
			if a, err := x.controller(name); err == nil {
				for _, k := range a.Keys {
					say[k] = true
				}
			}
		}
	}
	return say
}

// authorised tells whether there is all the authority that is needed; else the error
// names the first action that lacks some.
func (x *exec) authorised(needs []need) error {
	for i, n := range needs {
		if err := x.satisfied(n); err != nil {
			return at(i, err)
		}
	}
	return nil
}

func (x *exec) satisfied(n need) error {
	if n.registrar {
		all := x.registrars()
		if len(all) == 0 || slices.ContainsFunc(x.authority, func(k crypto.PublicKey) bool { return slices.Contains(all, k) }) {
			return nil
		}
		return &Rejection{Code: CodeUnauthorized, Action: NoAction, Subject: "a registrar", Want: 1}
	}
	var missing error
	for _, name := range n.anyOf {
		a, err := x.controller(name)
		if err != nil {
			return err
		}
		have := uint64(0)
		for i, k := range x.authority {
			if a.controls(k) && !slices.Contains(x.authority[:i], k) {
				have++
			}
		}
		if have >= uint64(a.Threshold) {
			return nil
		}
		if missing == nil {
			missing = &Rejection{Code: CodeUnauthorized, Action: NoAction, Subject: name, Have: have, Want: uint64(a.Threshold)}
		}
	}
	return missing
}

func (a *OpenAccount) needs(x *exec) (need, error) {
	if x.opened == nil {
		x.opened = make(map[string]*Account)
	}
	x.opened[a.Account] = &Account{Keys: a.Keys, Threshold: a.Threshold}
	return need{registrar: true}, nil
}

func (a *SetKeys) needs(x *exec) (need, error)    { return needOf(a.Account) }
func (a *Advance) needs(x *exec) (need, error)    { return needOf(a.Account) }
func (a *SetRules) needs(x *exec) (need, error)   { return x.issuer(a.Asset) }
func (a *CloseAsset) needs(x *exec) (need, error) { return x.issuer(a.Asset) }
func (a *Issue) needs(x *exec) (need, error)      { return x.issuer(a.Asset) }
func (a *Retire) needs(x *exec) (need, error)     { return needOf(a.From) }
func (a *Freeze) needs(x *exec) (need, error)     { return x.issuer(a.Asset) }
func (a *Admit) needs(x *exec) (need, error)      { return x.issuer(a.Asset) }
func (a *Clawback) needs(x *exec) (need, error)   { return x.issuer(a.Asset) }
func (a *Transfer) needs(x *exec) (need, error)   { return needOf(a.From) }

func (a *DefineAsset) needs(x *exec) (need, error) {
	if x.defined == nil {
		x.defined = make(map[string]string)
	}
	x.defined[a.Asset] = a.Issuer
	return needOf(a.Issuer)
}

func (a *PlaceHold) needs(x *exec) (need, error) {
	if x.placed == nil {
		x.placed = make(map[string]*Hold)
	}
	x.placed[string(HoldKey(a.From, a.Reference))] = &Hold{To: a.To, Agent: a.Agent, Expires: a.Expires}
	return needOf(a.From)
}

// decider is the hold as the transaction has placed it by then, or as it is. (If there is
// one already under the reference, placing another fails, and so does everything.)
func (x *exec) decider(payer, reference string) (*Hold, error) {
	if p := x.placed[string(HoldKey(payer, reference))]; p != nil {
		return p, nil
	}
	h, err := x.hold(payer, reference)
	return &h, err
}

func (a *Capture) needs(x *exec) (need, error) {
	h, err := x.decider(a.From, a.Reference)
	switch {
	case err != nil:
		return need{}, err
	case h.Agent != "":
		return needOf(h.Agent)
	}
	return needOf(h.To)
}

func (a *Release) needs(x *exec) (need, error) {
	h, err := x.decider(a.From, a.Reference)
	if err != nil {
		return need{}, err
	}
	n := need{anyOf: []string{h.To}}
	if h.Agent != "" && h.Agent != h.To {
		n.anyOf = append(n.anyOf, h.Agent)
	}
	if x.now >= h.Expires {
		n.anyOf = append(n.anyOf, a.From)
	}
	return n, nil
}

func (a *Trust) needs(x *exec) (need, error)       { return needOf(a.Account) }
func (a *Pay) needs(x *exec) (need, error)         { return needOf(a.From) }
func (a *MakeOffer) needs(x *exec) (need, error)   { return needOf(a.Account) }
func (a *CancelOffer) needs(x *exec) (need, error) { return needOf(a.Account) }
func (a *TakeOffer) needs(x *exec) (need, error)   { return needOf(a.Taker) }

// issuer is the need for the issuer of an asset as it is, or as the transaction defines
// it.
func (x *exec) issuer(asset string) (need, error) {
	a, err := x.asset(asset)
	if err == nil {
		return needOf(a.Issuer)
	}
	if who, ok := x.defined[asset]; ok {
		return needOf(who)
	}
	return need{}, err
}
