package ledgertest

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

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

// Compare says how a ledger's accounts, their holdings, its assets and its proposals
// differ from the model, or nil.
func (m *Model) Compare(r store.Reader) error {
	for d, p := range m.s.proposals {
		v, _ := r.Get(ledger.ProposalKey(d))
		have, err := ledger.DecodeProposal(v)
		if err != nil {
			return fmt.Errorf("proposal %v: %w", d, err)
		}
		if want := slices.SortedFunc(slices.Values(p.approvals), crypto.PublicKey.Compare); have.Proposer != p.proposer || !slices.Equal(have.Approvals, want) {
			return fmt.Errorf("proposal %v has approvals of %v, in the model of %v", d, have.Approvals, want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.s.accounts)) {
		v, _ := r.Get(ledger.AccountKey(name))
		have, err := ledger.DecodeAccount(v)
		if err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
		want := m.s.accounts[name]
		keys := slices.SortedFunc(slices.Values(want.keys), crypto.PublicKey.Compare)
		if !slices.Equal(have.Keys, keys) || int(have.Threshold) != want.threshold || have.Sequence != m.s.sequences[name] {
			return fmt.Errorf("account %s is %+v, in the model %+v with sequence number %d", name, have, want, m.s.sequences[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.s.assets)) {
		v, _ := r.Get(ledger.AssetKey(name))
		have, err := ledger.DecodeAsset(v)
		if err != nil {
			return fmt.Errorf("asset %s: %w", name, err)
		}
		a := m.s.assets[name]
		want := ledger.Asset{
			Issuer: a.issuer, Description: have.Description, Decimals: have.Decimals, Rules: a.rules, Frozen: a.frozen, Closed: a.closed,
			MaxSupply: a.most.Uint64(), Issued: total(a.issued), Retired: total(a.retired),
		}
		if have != want {
			return fmt.Errorf("asset %s is %+v, in the model %+v", name, have, want)
		}
		for _, account := range slices.Sorted(maps.Keys(m.s.accounts)) {
			if err := m.compareHolding(r, account, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Model) compareHolding(r store.Reader, account, asset string) (err error) {
	var have ledger.Holding
	if v, found := r.Get(ledger.HoldingKey(account, asset)); found {
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
	return nil
}

func total(n *big.Int) ledger.Total {
	low := new(big.Int).And(n, new(big.Int).SetUint64(^uint64(0)))
	return ledger.Total{High: new(big.Int).Rsh(n, 64).Uint64(), Low: low.Uint64()}
}
