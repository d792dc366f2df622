package ledger

import (
	"encoding/binary"
	"fmt"
)

// mustDecode reads what the ledger itself has written.
func mustDecode(b []byte, v fielder) {
	if err := decode(b, v); err != nil {
		panic(fmt.Sprintf("ledger: the state has a %T that does not decode: %v", v, err))
	}
}

func (x *exec) load(k []byte, v fielder) bool {
	b, ok := x.t.Get(k)
	if ok {
		mustDecode(b, v)
	}
	return ok
}

func (x *exec) exists(k []byte) bool {
	_, ok := x.t.Get(k)
	return ok
}

func (x *exec) account(name string) (a Account, err error) {
	if !x.load(AccountKey(name), &a) {
		return a, reject(CodeUnknownAccount, name)
	}
	return a, nil
}

// known tells whether there is an account of that name.
func (x *exec) known(name string) error {
	if !x.exists(AccountKey(name)) {
		return reject(CodeUnknownAccount, name)
	}
	return nil
}

func (x *exec) setAccount(name string, a *Account) { x.t.Set(AccountKey(name), encode(a)) }

func (x *exec) asset(name string) (a Asset, err error) {
	if !x.load(AssetKey(name), &a) {
		return a, reject(CodeUnknownAsset, name)
	}
	return a, nil
}

func (x *exec) setAsset(name string, a *Asset) { x.t.Set(AssetKey(name), encode(a)) }

func (x *exec) holding(account, asset string) (h Holding) {
	x.load(HoldingKey(account, asset), &h)
	return h
}

func (x *exec) setHolding(account, asset string, h *Holding) {
	x.t.Set(HoldingKey(account, asset), encode(h))
}

// post writes a changed holding and the line of its statement that says why.
func (x *exec) post(account, asset string, h *Holding, e Entry) {
	e.Height, e.Time, e.Tx, e.Memo = x.height, x.now, x.id, x.memo
	e.BalanceThen, e.HeldThen, e.CreditThen = h.Balance, h.Held, h.Credit
	x.t.Set(EntryKey(account, asset, h.Entries), encode(&e))
	h.Entries++
	x.shorten(account, asset, h)
	x.setHolding(account, asset, h)
}

func (x *exec) hold(payer, reference string) (h Hold, err error) {
	if !x.load(HoldKey(payer, reference), &h) {
		return h, reject(CodeUnknownHold, payer+" "+reference)
	}
	return h, nil
}

func (x *exec) offer(account, reference string) (o Offer, err error) {
	if !x.load(OfferKey(account, reference), &o) {
		return o, reject(CodeUnknownOffer, account+" "+reference)
	}
	return o, nil
}

// count reads a counter.
func (x *exec) count(k []byte) uint64 {
	if v, ok := x.t.Get(k); ok {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (x *exec) setCount(k []byte, n uint64) {
	if n == 0 {
		x.t.Delete(k)
		return
	}
	x.t.Set(k, binary.BigEndian.AppendUint64(nil, n))
}

func tooMany(what string, have, most uint64) error {
	return &Rejection{Code: CodeTooMany, Action: NoAction, Subject: what, Have: most, Want: have + 1}
}

func invalid(why string) error { return reject(CodeInvalid, why) }
