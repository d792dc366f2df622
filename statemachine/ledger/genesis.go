package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Genesis is what a ledger begins with. As JSON it is the genesis of a cluster file.
type Genesis struct {
	// Registrars are the keys that may open accounts. Without any, anybody may whom the
	// cluster serves.
	Registrars []crypto.PublicKey `json:"registrars,omitempty"`
	Accounts   []GenesisAccount   `json:"accounts,omitempty"`
	Assets     []GenesisAsset     `json:"assets,omitempty"`
	// StatementEntries is how many lines of each statement, of an account in an asset, the
	// state keeps; at least 16, and 0 for all of them. A line takes about 115 bytes and its
	// memo, on every replica and in every snapshot, for good. With a bound the oldest line
	// goes when a new one comes, and [Holding.Dropped] goes on to cover it ([DroppedDigest]),
	// so that what was archived can be checked against the ledger.
	StatementEntries uint64 `json:"statementEntries,omitempty"`
}

// GenesisAccount is an account that there is from the beginning.
type GenesisAccount struct {
	Name      string             `json:"name"`
	Keys      []crypto.PublicKey `json:"keys"`
	Threshold uint8              `json:"threshold,omitempty"` // 1 if left out
}

// GenesisAsset is an asset that there is from the beginning.
type GenesisAsset struct {
	Name        string           `json:"name"`
	Issuer      string           `json:"issuer"`
	Description string           `json:"description,omitempty"`
	Decimals    uint8            `json:"decimals,omitempty"`
	Rules       []string         `json:"rules,omitempty"`
	MaxSupply   string           `json:"maxSupply,omitempty"` // such as 1000.00
	Balances    []GenesisBalance `json:"balances,omitempty"`
}

// GenesisBalance is what is issued to an account from the beginning.
type GenesisBalance struct {
	Account string `json:"account"`
	Amount  string `json:"amount"` // such as 12.50
}

// ErrGenesis is wrapped by the errors for a genesis that makes no sense.
var ErrGenesis = errors.New("ledger genesis")

// actions are what the genesis comes to.
func (g *Genesis) actions(l *Limits) ([]Action, error) {
	if g == nil {
		return nil, nil
	}
	var all []Action
	bad := func(format string, args ...any) ([]Action, error) {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, fmt.Errorf(format, args...))
	}
	for i := range g.Accounts {
		a := &g.Accounts[i]
		if err := CheckAccountName(a.Name); err != nil {
			return bad("accounts[%d]: %w", i, err)
		}
		threshold := a.Threshold
		if threshold == 0 {
			threshold = 1
		}
		open := NewAccount(a.Name, threshold, a.Keys...)
		switch {
		case len(open.Keys) != len(a.Keys):
			return bad("accounts[%d]: %s has a key twice: name each once", i, a.Name)
		case int(threshold) > len(a.Keys) || len(a.Keys) > l.MaxKeys:
			return bad("accounts[%d]: %s has a threshold of %d and %d keys: give 1 to %d keys, and a threshold that is not above", i, a.Name, threshold, len(a.Keys), l.MaxKeys)
		}
		all = append(all, open)
	}
	for i := range g.Assets {
		a := &g.Assets[i]
		if err := CheckAssetName(a.Name); err != nil {
			return bad("assets[%d]: %w", i, err)
		}
		if a.Decimals > MaxDecimals || len(a.Description) > MaxMemo {
			return bad("assets[%d]: %s has %d decimals, %d at most, and a description of %d bytes, %d at most", i, a.Name, a.Decimals, MaxDecimals, len(a.Description), MaxMemo)
		}
		d := &DefineAsset{Asset: a.Name, Issuer: a.Issuer, Description: a.Description, Decimals: a.Decimals}
		for _, name := range a.Rules {
			r, ok := RuleNamed(name)
			if !ok {
				return bad("assets[%d]: %s has the rule %q: give some of %v", i, a.Name, name, allRules.Names())
			}
			d.Rules |= r
		}
		var err error
		if a.MaxSupply != "" {
			if d.MaxSupply, err = ParseAmount(a.MaxSupply, a.Decimals); err != nil {
				return bad("assets[%d]: maxSupply: %w", i, err)
			}
		}
		all = append(all, d)
		for k, b := range a.Balances {
			n, err := ParseAmount(b.Amount, a.Decimals)
			if err != nil {
				return bad("assets[%d].balances[%d]: %w", i, k, err)
			}
			if d.Rules.Has(RuleAdmission) && b.Account != a.Issuer {
				all = append(all, &Admit{Asset: a.Name, Account: b.Account, On: true})
			}
			all = append(all, &Issue{Asset: a.Name, To: b.Account, Amount: n})
		}
	}
	return all, nil
}

// Check says what is wrong with a genesis; nil is nothing. The error wraps ErrGenesis.
func (g *Genesis) Check(l Limits) error { return g.check(&l) }

func (g *Genesis) check(l *Limits) error {
	actions, err := g.actions(l)
	if err != nil || g == nil {
		return err
	}
	sorted := slices.Clone(g.Registrars)
	slices.SortFunc(sorted, crypto.PublicKey.Compare)
	if len(slices.Compact(sorted)) != len(g.Registrars) {
		return fmt.Errorf("%w: registrars: a key is there twice: name each once", ErrGenesis)
	}
	if len(g.Registrars) > maxKeysEncoded {
		return fmt.Errorf("%w: registrars: there are %d, %d at most", ErrGenesis, len(g.Registrars), maxKeysEncoded)
	}
	if n := g.StatementEntries; n > 0 && n < minStatement {
		return fmt.Errorf("%w: statementEntries is %d: give at least %d, or leave it out to keep all lines", ErrGenesis, n, minStatement)
	}
	s, err := store.Open(context.Background(), store.DefaultConfig())
	if err != nil {
		return err
	}
	defer s.Close()
	h := &Handler{cfg: Config{Limits: *l}}
	return h.found(s.Block(), actions)
}

// Found writes the state before the first block.
func (h *Handler) Found(t store.Txn) {
	if g := h.cfg.Genesis; g != nil && g.StatementEntries > 0 {
		t.Set(statementsKey, binary.BigEndian.AppendUint64(nil, g.StatementEntries))
	}
	actions, err := h.cfg.Genesis.actions(&h.cfg.Limits)
	if err == nil {
		err = h.found(t, actions)
	}
	if err != nil {
		panic(err) // it was checked
	}
	id := h.cfg.identity()
	t.Set(limitsKey, id[:])
	if g := h.cfg.Genesis; g != nil && len(g.Registrars) > 0 {
		r := registrars{slices.Clone(g.Registrars)}
		slices.SortFunc(r.keys, crypto.PublicKey.Compare)
		t.Set(registrarsKey, encode(&r))
	}
}

func (h *Handler) found(t store.Txn, actions []Action) error {
	x := exec{l: h, t: t, now: statemachine.Time(0)}
	for _, a := range actions {
		if err := a.run(&x); err != nil {
			return fmt.Errorf("%w: %w", ErrGenesis, err)
		}
	}
	return nil
}
