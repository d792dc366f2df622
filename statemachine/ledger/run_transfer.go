package ledger

import (
	"crypto/sha256"

	"github.com/parley-bft/parley/crypto"
)

func (a *Transfer) run(x *exec) error {
	return x.move(EntryTransfer, a.Asset, a.From, a.To, a.Amount, "")
}

// move is a transfer from one account to another, as the asset's rules allow it.
func (x *exec) move(kind EntryKind, asset, from, to string, amount uint64, ref string) error {
	as, err := x.asset(asset)
	if err != nil {
		return err
	}
	if err := x.known(to); err != nil {
		return err
	}
	f, g := x.holding(from, asset), x.holding(to, asset)
	switch {
	case amount == 0:
		return invalid("an amount of 0")
	case from == to:
		return invalid("a transfer from " + from + " to itself")
	case as.Frozen || f.Frozen:
		return frozen(asset, &as, from)
	}
	if err := x.mayReceive(asset, &as, to, &g); err != nil {
		return err
	}
	return x.shift(kind, asset, from, to, &f, &g, amount, ref)
}

// shift moves units from the holding f to g whatever the rules say.
func (x *exec) shift(kind EntryKind, asset, from, to string, f, g *Holding, amount uint64, ref string) error {
	if f.Balance < amount {
		return short(CodeInsufficient, from, asset, f.Balance, amount)
	}
	sum, ok := add(g.Balance, amount)
	if !ok {
		return short(CodeOverflow, to, asset, MaxAmount-g.Balance, amount)
	}
	f.Balance -= amount
	g.Balance = sum
	x.post(from, asset, f, Entry{Kind: kind, With: to, Ref: ref, Balance: -int64(amount)})
	x.post(to, asset, g, Entry{Kind: kind, With: from, Ref: ref, Balance: int64(amount)})
	return nil
}

func (a *PlaceHold) run(x *exec) error {
	as, err := x.asset(a.Asset)
	if err != nil {
		return err
	}
	if err := x.known(a.To); err != nil {
		return err
	}
	if a.Agent != "" {
		if err := x.known(a.Agent); err != nil {
			return err
		}
	}
	if err := x.lasts("the hold", a.Expires); err != nil {
		return err
	}
	k := HoldKey(a.From, a.Reference)
	acc, err := x.account(a.From)
	if err != nil {
		return err
	}
	h := x.holding(a.From, a.Asset)
	switch {
	case a.Amount == 0:
		return invalid("an amount of 0")
	case a.From == a.To:
		return invalid("a hold of " + a.From + " for itself")
	case x.exists(k):
		return reject(CodeExists, "hold "+a.Reference+" of "+a.From)
	case as.Frozen || h.Frozen:
		return frozen(a.Asset, &as, a.From)
	case h.Balance < a.Amount:
		return short(CodeInsufficient, a.From, a.Asset, h.Balance, a.Amount)
	case acc.Holds >= x.l.cfg.Limits.MaxHolds:
		return tooMany("open holds of "+a.From, uint64(acc.Holds), uint64(x.l.cfg.Limits.MaxHolds))
	}
	acc.Holds++
	x.setAccount(a.From, &acc)
	x.t.Set(k, encode(&Hold{
		Asset: a.Asset, To: a.To, Agent: a.Agent, Amount: a.Amount, Expires: a.Expires, Locked: !a.Lock.IsZero(), Lock: a.Lock, Memo: x.memo,
	}))
	x.t.Set(payeeKey(a.To, a.From, a.Reference), nil)
	x.t.Set(dueKey(a.Expires, k), nil)
	h.Balance -= a.Amount
	h.Held += a.Amount // at most the supply, with the balance
	x.post(a.From, a.Asset, &h, Entry{Kind: EntryHold, With: a.To, Ref: a.Reference, Balance: -int64(a.Amount), Held: int64(a.Amount)})
	return nil
}

// unhold ends a hold: so much of it goes back to the payer's balance and the rest is
// gone from the payer.
func (x *exec) unhold(kind EntryKind, payer, reference string, h *Hold, back uint64) {
	k := HoldKey(payer, reference)
	x.t.Delete(k)
	x.t.Delete(payeeKey(h.To, payer, reference))
	x.t.Delete(dueKey(h.Expires, k))
	var acc Account
	x.load(AccountKey(payer), &acc)
	acc.Holds--
	x.setAccount(payer, &acc)
	p := x.holding(payer, h.Asset)
	p.Held -= h.Amount
	p.Balance += back
	x.post(payer, h.Asset, &p, Entry{Kind: kind, With: h.To, Ref: reference, Balance: int64(back), Held: -int64(h.Amount)})
}

func (a *Capture) run(x *exec) error {
	h, err := x.hold(a.From, a.Reference)
	if err != nil {
		return err
	}
	as, err := x.asset(h.Asset)
	if err != nil {
		return err
	}
	amount := a.Amount
	if amount == 0 {
		amount = h.Amount
	}
	p, q := x.holding(a.From, h.Asset), x.holding(h.To, h.Asset)
	switch {
	case x.now >= h.Expires:
		return reject(CodeExpired, "hold "+a.Reference+" of "+a.From)
	case h.Locked != (len(a.Secret) > 0) || h.Locked && LockOf(a.Secret) != h.Lock:
		return reject(CodeSecret, "hold "+a.Reference+" of "+a.From)
	case amount > h.Amount:
		return short(CodeInsufficient, "hold "+a.Reference+" of "+a.From, h.Asset, h.Amount, amount)
	case as.Frozen || p.Frozen:
		return frozen(h.Asset, &as, a.From)
	}
	if err := x.mayReceive(h.Asset, &as, h.To, &q); err != nil {
		return err
	}
	sum, ok := add(q.Balance, amount)
	if !ok {
		return short(CodeOverflow, h.To, h.Asset, MaxAmount-q.Balance, amount)
	}
	x.unhold(EntryCapture, a.From, a.Reference, &h, h.Amount-amount)
	q.Balance = sum
	x.post(h.To, h.Asset, &q, Entry{Kind: EntryCapture, With: a.From, Ref: a.Reference, Balance: int64(amount)})
	return nil
}

func (a *Release) run(x *exec) error {
	h, err := x.hold(a.From, a.Reference)
	if err != nil {
		return err
	}
	x.unhold(EntryRelease, a.From, a.Reference, &h, h.Amount)
	return nil
}

// LockOf is the lock that a secret opens, for [PlaceHold].
func LockOf(secret []byte) crypto.Digest { return crypto.Digest(sha256.Sum256(secret)) }
