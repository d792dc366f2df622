package ledgertest

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/store"
)

// Judge runs an operation in the model and says how its result differs from what a
// ledger answered, or nil. What reads is not judged.
func (m *Model) Judge(client crypto.PublicKey, op []byte, got statemachine.Result) error {
	code, pending, cost, judged := m.Apply(client, op)
	if !judged {
		return nil
	}
	r, err := ledger.DecodeResult(got)
	switch {
	case err != nil:
		return err
	case r.Code != code:
		want := "success"
		if code != statemachine.CodeOK {
			want = (&ledger.Rejection{Code: code, Action: ledger.NoAction}).Error()
		}
		return fmt.Errorf("the ledger says %v, the model %s", r.Err(), want)
	case r.Pending != pending || r.Cost != cost:
		return fmt.Errorf("the ledger says pending %t and a cost of %d, the model %t and %d", r.Pending, r.Cost, pending, cost)
	}
	return nil
}

// Compare says how what the accounts of a ledger have differs from the model, or nil.
func (m *Model) Compare(r store.Reader) error {
	for _, account := range m.w.accounts {
		for _, asset := range assets {
			var have ledger.Holding
			if v, found := r.Get(ledger.HoldingKey(account, asset)); found {
				var err error
				if have, err = ledger.DecodeHolding(v); err != nil {
					return err
				}
			}
			h := m.s.holdings[[2]string{account, asset}]
			want := ledger.Holding{
				Balance: h.balance, Held: h.held, Credit: m.s.credit(account, asset).Int64(), Entries: have.Entries, Frozen: h.frozen, Admitted: h.admitted,
				First: have.First, Dropped: have.Dropped,
			}
			if have != want {
				return fmt.Errorf("%s has %+v of %s, in the model %+v", account, have, asset, want)
			}
		}
	}
	return nil
}
