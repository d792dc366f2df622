package ledgertest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// Names of what the world does not begin with: a few more than there may be.
func newAccount(rng *rand.Rand) string { return fmt.Sprintf("n%d", rng.IntN(5)) }
func newAsset(rng *rand.Rand) string   { return fmt.Sprintf("A%d", rng.IntN(4)) }

// definition is an action about what there is: accounts and their keys, assets and their
// rules.
func (w *Workload) definition(rng *rand.Rand, who string) ledger.Action {
	asset := w.asset(rng)
	if rng.IntN(3) == 0 {
		asset = newAsset(rng)
	}
	most := uint64(0)
	if rng.IntN(3) == 0 {
		most = rng.Uint64N(2000)
	}
	switch rng.IntN(8) {
	case 0:
		keys, threshold := w.control(rng, who)
		return ledger.NewAccount(newAccount(rng), threshold, keys...)
	case 1, 2:
		keys, threshold := w.control(rng, who)
		o := ledger.NewAccount(who, threshold, keys...)
		return &ledger.SetKeys{Account: who, Keys: o.Keys, Threshold: o.Threshold}
	case 3:
		return &ledger.DefineAsset{
			Asset: asset, Issuer: who, Description: "new", Decimals: uint8(rng.IntN(20)), Rules: someRules(rng), MaxSupply: most,
		}
	case 4, 5, 6:
		return &ledger.SetRules{Asset: asset, Rules: someRules(rng), MaxSupply: most}
	}
	if rng.IntN(4) > 0 {
		asset = newAsset(rng) // so that most of the money is issued on
	}
	return &ledger.CloseAsset{Asset: asset}
}

// control is who may control an account from now on: mostly those who did from the
// beginning, with others, and with as many of them as it takes.
func (w *Workload) control(rng *rand.Rand, who string) (keys []crypto.PublicKey, threshold uint8) {
	keys = []crypto.PublicKey{w.key(rng.IntN(people))}
	for _, a := range w.genesis.Accounts {
		if a.Name == who {
			keys, threshold = slices.Clone(a.Keys), a.Threshold
		}
	}
	switch rng.IntN(12) {
	case 0:
		return nil, uint8(rng.IntN(2))
	case 1:
		for i := range w.Limits().MaxKeys + 1 {
			keys = append(keys, crypto.PublicKey{0xfe, byte(i)})
		}
		return keys, 1
	case 2:
		return keys, uint8(len(keys) + 1)
	case 3, 4, 5:
		keys = append(keys, w.key(rng.IntN(people)))
	case 6, 7:
		if len(w.clients) > 0 {
			keys = append(keys, w.clients[rng.IntN(len(w.clients))])
		}
	case 8: // one of them, where it took more
		return keys, 1
	case 9, 10: // one of them goes, and with it what it approved
		if len(keys) > 1 {
			i := rng.IntN(len(keys))
			keys = slices.Delete(keys, i, i+1)
			threshold = min(threshold, uint8(len(keys)))
		}
	}
	return keys, max(threshold, 1)
}

// someRules are seldom such that nothing goes any more.
func someRules(rng *rand.Rand) ledger.Rules {
	r := ledger.Rules(rng.IntN(16)) &^ ledger.RuleAdmission
	switch rng.IntN(24) {
	case 0:
		r |= ledger.RuleFixed
	case 1, 2, 3:
		r |= ledger.RuleAdmission
	case 4:
		r |= 1 << 6 // which is none
	}
	return r
}
