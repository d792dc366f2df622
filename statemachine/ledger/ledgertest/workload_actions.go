package ledgertest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// payeeOf is whom a hold under a reference is for: always the same, so that who decides
// on it is known.
func payeeOf(w *Workload, payer, ref string) string {
	all := w.genesis.Accounts
	i := slices.IndexFunc(all, func(a ledger.GenesisAccount) bool { return a.Name == payer })
	return all[(i+1+int(ref[1]-'0'))%len(all)].Name
}

func (w *Workload) action(rng *rand.Rand, who string, now statemachine.Time) ledger.Action {
	if who == joint && len(w.clients) < 2 {
		who = w.accounts[0] // there is no joint account
	}
	asset := w.asset(rng)
	other := w.anyone(rng)
	amount := rng.Uint64N(40)
	if rng.IntN(10) == 0 {
		amount = ledger.MaxAmount - amount
	}
	ref := fmt.Sprintf("r%d", rng.IntN(4))
	switch rng.IntN(38) {
	case 32, 33:
		return w.definition(rng, who)
	case 0:
		return &ledger.Issue{Asset: asset, To: who, Amount: amount}
	case 1:
		return &ledger.Retire{Asset: asset, From: who, Amount: amount}
	case 2:
		account := other
		if rng.IntN(6) == 0 {
			account = ""
		}
		return &ledger.Freeze{Asset: asset, Account: account, On: rng.IntN(4) == 0}
	case 3:
		return &ledger.Admit{Asset: asset, Account: other, On: rng.IntN(4) > 0}
	case 4:
		return &ledger.Clawback{Asset: asset, From: other, Amount: amount}
	case 5, 6:
		return &ledger.PlaceHold{From: who, Reference: ref, Asset: asset, To: payeeOf(w, who, ref), Amount: amount, Expires: later(rng, now)}
	case 7, 8, 9:
		if len(w.holds) > 0 {
			h := w.holds[rng.IntN(len(w.holds))]
			if rng.IntN(3) == 0 {
				return &ledger.Release{From: h.From, Reference: h.Reference}
			}
			return &ledger.Capture{From: h.From, Reference: h.Reference, Amount: rng.Uint64N(2) * amount}
		}
		return &ledger.Capture{From: other, Reference: ref, Amount: amount}
	case 10, 11, 12:
		if len(w.lines) > 0 && rng.IntN(2) == 0 { // the other way round
			l := w.lines[len(w.lines)-1-rng.IntN(min(len(w.lines), 8))]
			return &ledger.Trust{Account: l.Peer, Peer: l.Account, Asset: l.Asset, Limit: 1 + amount, Ripple: true}
		}
		// Among few, so that lines meet.
		return &ledger.Trust{Account: w.genesis.Accounts[rng.IntN(4)].Name, Peer: w.genesis.Accounts[rng.IntN(5)].Name, Asset: money[rng.IntN(2)], Limit: rng.Uint64N(4) * amount, Ripple: rng.IntN(8) > 0}
	case 13, 14, 15, 16, 26, 27, 28, 29, 34, 35:
		p := w.payment(rng, who, other, asset, amount)
		if rng.IntN(12) == 0 {
			p.MaxCost /= 2
		}
		return p
	case 17:
		if len(w.offers) > 0 && rng.IntN(2) == 0 {
			o := w.offers[rng.IntN(len(w.offers))]
			return &ledger.CancelOffer{Account: o.Account, Reference: o.Reference}
		}
		return w.offer(rng, who, ref, asset, amount, now)
	case 18:
		return w.offer(rng, who, ref, asset, amount, now)
	case 19, 30, 31:
		if open := slices.DeleteFunc(slices.Clone(w.offers), func(o *ledger.MakeOffer) bool { return o.Offer.Credit }); len(open) > 0 {
			o := open[rng.IntN(len(open))]
			return &ledger.TakeOffer{Account: o.Account, Reference: o.Reference, Taker: other, Amount: rng.Uint64N(4), MaxCost: 40}
		}
		return &ledger.TakeOffer{Account: other, Reference: ref, Taker: who, Amount: amount / 4, MaxCost: 40}
	case 20:
		return &ledger.Advance{Account: who}
	default:
		return &ledger.Transfer{Asset: asset, From: who, To: other, Amount: amount}
	}
}

func (w *Workload) offer(rng *rand.Rand, who, ref, asset string, amount uint64, now statemachine.Time) ledger.Action {
	o := ledger.Offer{
		Sell: asset, Buy: money[rng.IntN(2)], Amount: amount, Price: [2]uint64{rng.Uint64N(12), 1 + rng.Uint64N(6)}, Expires: later(rng, now),
	}
	if rng.IntN(2) == 0 { // for payments, where there are lines
		i := rng.IntN(2)
		who, o.Credit, o.Sell, o.Buy, o.Expires = w.genesis.Accounts[rng.IntN(4)].Name, true, money[i], money[1-i], 0
	}
	return &ledger.MakeOffer{Account: who, Reference: ref, Offer: o}
}

// payment is one over a line that there may be, over two, or with an exchange between
// them; or over none.
func (w *Workload) payment(rng *rand.Rand, who, other, asset string, amount uint64) *ledger.Pay {
	p := &ledger.Pay{From: who, To: other, Source: asset, Asset: asset, Amount: amount, MaxCost: amount}
	if len(w.lines) == 0 || rng.IntN(8) == 0 {
		p.Path = []ledger.Hop{{Account: w.anyone(rng), Asset: asset}}
		return p
	}
	last := w.lines[rng.IntN(len(w.lines))]
	p.From, p.To, p.Source, p.Asset = last.Peer, last.Account, last.Asset, last.Asset
	if rng.IntN(3) == 0 { // what is owed is paid back
		p.From, p.To = p.To, p.From
		return p
	}
	middle := last.Peer
	switch rng.IntN(7) {
	case 0, 1, 2, 3:
		for _, i := range rng.Perm(len(w.lines)) {
			if l := w.lines[i]; l.Account == middle && l.Asset == last.Asset && l.Ripple && l.Peer != last.Account {
				p.Amount, p.MaxCost = 1+rng.Uint64N(4), 4
				p.From, p.Path = l.Peer, []ledger.Hop{{Account: middle, Asset: last.Asset}}
			}
		}
	case 4, 5:
		for _, i := range rng.Perm(len(w.offers)) {
			o := w.offers[i]
			for _, out := range w.lines {
				for _, in := range w.lines {
					if !o.Offer.Credit || in.Account != o.Account || in.Asset != o.Offer.Buy || out.Peer != o.Account || out.Asset != o.Offer.Sell || in.Peer == out.Account {
						continue
					}
					return &ledger.Pay{
						From: in.Peer, To: out.Account, Source: in.Asset, Asset: out.Asset, Amount: 1 + rng.Uint64N(6), MaxCost: 20,
						Path: []ledger.Hop{{Account: o.Account, Asset: in.Asset}, {Account: o.Account, Asset: out.Asset}},
					}
				}
			}
		}
	}
	return p
}

func (w *Workload) remember(a ledger.Action) {
	switch a := a.(type) {
	case *ledger.PlaceHold:
		w.holds = keep(w.holds, a)
	case *ledger.Trust:
		if a.Limit > 0 {
			w.lines = keep(w.lines, a)
		}
	case *ledger.MakeOffer:
		if a.Offer.Amount > 5 && a.Offer.Price[0] > 0 {
			w.offers = keep(w.offers, a)
		}
	}
}
