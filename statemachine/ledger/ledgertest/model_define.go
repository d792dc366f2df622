package ledgertest

import (
	"math/big"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

func (m *Model) checkKeys(keys []crypto.PublicKey, threshold uint8) statemachine.ResultCode {
	switch {
	case len(keys) > m.limits.MaxKeys:
		return ledger.CodeTooMany
	case threshold == 0 || int(threshold) > len(keys):
		return ledger.CodeInvalid
	}
	return ok
}

func (m *Model) openAccount(a *ledger.OpenAccount) statemachine.ResultCode {
	c := m.checkKeys(a.Keys, a.Threshold)
	switch {
	case c != ok:
		return c
	case m.known(a.Account):
		return ledger.CodeExists
	case uint64(len(m.s.accounts)) >= m.limits.MaxAccounts:
		return ledger.CodeTooMany
	}
	m.s.accounts[a.Account] = account{a.Keys, int(a.Threshold)}
	return ok
}

// rules are all that there are.
const rules = ledger.RuleFreezable | ledger.RuleClawback | ledger.RuleAdmission | ledger.RuleHolderRetires | ledger.RuleFixed

// mostOf is the largest supply that a number means.
func mostOf(n uint64) *big.Int {
	if n == 0 {
		return number(ledger.MaxAmount)
	}
	return number(n)
}

func (m *Model) defineAsset(a *ledger.DefineAsset) statemachine.ResultCode {
	_, there := m.s.assets[a.Asset]
	switch {
	case a.Decimals > ledger.MaxDecimals || a.Rules&^rules != 0:
		return ledger.CodeInvalid
	case there:
		return ledger.CodeExists
	case !m.known(a.Issuer):
		return ledger.CodeUnknownAccount
	case uint64(len(m.s.assets)) >= m.limits.MaxAssets:
		return ledger.CodeTooMany
	}
	m.s.assets[a.Asset] = asset{issuer: a.Issuer, rules: a.Rules, most: mostOf(a.MaxSupply), issued: new(big.Int), retired: new(big.Int)}
	return ok
}

func (m *Model) setRules(a *ledger.SetRules) statemachine.ResultCode {
	as := m.s.assets[a.Asset]
	switch {
	case as.rules.Has(ledger.RuleFixed):
		return ledger.CodeRules
	case a.Rules&^rules != 0:
		return ledger.CodeInvalid
	case mostOf(a.MaxSupply).Cmp(new(big.Int).Sub(as.issued, as.retired)) < 0:
		return ledger.CodeSupply
	case as.frozen && !a.Rules.Has(ledger.RuleFreezable):
		return ledger.CodeFrozen
	}
	as.rules, as.most = a.Rules, mostOf(a.MaxSupply)
	m.s.assets[a.Asset] = as
	return ok
}
