package ledger

import "github.com/parley-bft/parley/crypto"

func (x *exec) checkKeys(keys []crypto.PublicKey, threshold uint8) error {
	switch {
	case len(keys) > x.l.cfg.Limits.MaxKeys:
		return tooMany("keys of an account", uint64(len(keys))-1, uint64(x.l.cfg.Limits.MaxKeys))
	case threshold < 1 || int(threshold) > len(keys):
		return invalid("a threshold that is not from 1 to the number of keys")
	}
	return nil
}

func (a *OpenAccount) run(x *exec) error {
	if err := x.checkKeys(a.Keys, a.Threshold); err != nil {
		return err
	}
	if x.exists(AccountKey(a.Account)) {
		return reject(CodeExists, a.Account)
	}
	n, most := x.count(accountsKey), x.l.cfg.Limits.MaxAccounts
	if n >= most {
		return tooMany("accounts", n, most)
	}
	x.setCount(accountsKey, n+1)
	x.setAccount(a.Account, &Account{Keys: a.Keys, Threshold: a.Threshold})
	return nil
}

func (a *SetKeys) run(x *exec) error {
	if err := x.checkKeys(a.Keys, a.Threshold); err != nil {
		return err
	}
	acc, err := x.account(a.Account)
	if err != nil {
		return err
	}
	acc.Keys, acc.Threshold = a.Keys, a.Threshold
	x.setAccount(a.Account, &acc)
	return nil
}

func (a *Advance) run(x *exec) error {
	acc, err := x.account(a.Account)
	if err != nil {
		return err
	}
	acc.Sequence++
	x.setAccount(a.Account, &acc)
	return nil
}

// supply is the largest supply that a number means.
func supply(n uint64) uint64 {
	if n == 0 {
		return MaxAmount
	}
	return n
}

func (a *DefineAsset) run(x *exec) error {
	switch {
	case a.Decimals > MaxDecimals:
		return invalid("more than 18 decimals")
	case a.Rules&^allRules != 0:
		return invalid("rules that there are not")
	case x.exists(AssetKey(a.Asset)):
		return reject(CodeExists, a.Asset)
	}
	if err := x.known(a.Issuer); err != nil {
		return err
	}
	n, most := x.count(assetsKey), x.l.cfg.Limits.MaxAssets
	if n >= most {
		return tooMany("assets", n, most)
	}
	x.setCount(assetsKey, n+1)
	x.setAsset(a.Asset, &Asset{
		Issuer: a.Issuer, Description: a.Description, Decimals: a.Decimals, Rules: a.Rules, MaxSupply: supply(a.MaxSupply),
	})
	return nil
}

func (a *SetRules) run(x *exec) error {
	as, err := x.asset(a.Asset)
	most := supply(a.MaxSupply)
	switch {
	case err != nil:
		return err
	case as.Rules.Has(RuleFixed):
		return reject(CodeRules, a.Asset+": the rules are fixed")
	case a.Rules&^allRules != 0:
		return invalid("rules that there are not")
	case most < as.Supply():
		return short(CodeSupply, a.Asset, a.Asset, most, as.Supply())
	case !a.Rules.Has(RuleFreezable) && as.Frozen:
		return reject(CodeFrozen, a.Asset)
	}
	as.Rules, as.MaxSupply = a.Rules, most
	x.setAsset(a.Asset, &as)
	return nil
}

func (a *CloseAsset) run(x *exec) error {
	as, err := x.asset(a.Asset)
	if err != nil {
		return err
	}
	as.Closed = true
	x.setAsset(a.Asset, &as)
	return nil
}

func (a *Issue) run(x *exec) error {
	as, err := x.asset(a.Asset)
	if err != nil {
		return err
	}
	if err := x.known(a.To); err != nil {
		return err
	}
	supply, ok := add(as.Supply(), a.Amount)
	switch {
	case a.Amount == 0:
		return invalid("an amount of 0")
	case as.Closed:
		return reject(CodeSupply, a.Asset+": no more is issued")
	case !ok:
		return short(CodeOverflow, a.Asset, a.Asset, MaxAmount-as.Supply(), a.Amount)
	case supply > as.MaxSupply:
		return short(CodeSupply, a.Asset, a.Asset, as.MaxSupply-as.Supply(), a.Amount)
	}
	h := x.holding(a.To, a.Asset)
	if err := x.mayReceive(a.Asset, &as, a.To, &h); err != nil {
		return err
	}
	as.Issued = as.Issued.plus(a.Amount)
	x.setAsset(a.Asset, &as)
	h.Balance += a.Amount // at most the supply
	x.post(a.To, a.Asset, &h, Entry{Kind: EntryIssue, With: as.Issuer, Balance: int64(a.Amount)})
	return nil
}

func (a *Retire) run(x *exec) error {
	as, err := x.asset(a.Asset)
	if err != nil {
		return err
	}
	h := x.holding(a.From, a.Asset)
	switch {
	case a.Amount == 0:
		return invalid("an amount of 0")
	case a.From != as.Issuer && !as.Rules.Has(RuleHolderRetires):
		return reject(CodeRules, a.Asset+": only its issuer, "+as.Issuer+", retires units")
	case as.Frozen || h.Frozen:
		return frozen(a.Asset, &as, a.From)
	case h.Balance < a.Amount:
		return short(CodeInsufficient, a.From, a.Asset, h.Balance, a.Amount)
	}
	as.Retired = as.Retired.plus(a.Amount)
	x.setAsset(a.Asset, &as)
	h.Balance -= a.Amount
	x.post(a.From, a.Asset, &h, Entry{Kind: EntryRetire, With: as.Issuer, Balance: -int64(a.Amount)})
	return nil
}

func (a *Freeze) run(x *exec) error {
	as, err := x.asset(a.Asset)
	switch {
	case err != nil:
		return err
	case a.On && !as.Rules.Has(RuleFreezable):
		return reject(CodeRules, a.Asset+" is not freezable")
	case a.Account == "":
		as.Frozen = a.On
		x.setAsset(a.Asset, &as)
		return nil
	}
	if err := x.known(a.Account); err != nil {
		return err
	}
	h := x.holding(a.Account, a.Asset)
	h.Frozen = a.On
	x.setHolding(a.Account, a.Asset, &h)
	return nil
}

func (a *Admit) run(x *exec) error {
	if _, err := x.asset(a.Asset); err != nil {
		return err
	}
	if err := x.known(a.Account); err != nil {
		return err
	}
	h := x.holding(a.Account, a.Asset)
	h.Admitted = a.On
	x.setHolding(a.Account, a.Asset, &h)
	return nil
}

func (a *Clawback) run(x *exec) error {
	as, err := x.asset(a.Asset)
	switch {
	case err != nil:
		return err
	case !as.Rules.Has(RuleClawback):
		return reject(CodeRules, a.Asset+" cannot be clawed back")
	case a.Amount == 0:
		return invalid("an amount of 0")
	case a.From == as.Issuer:
		return invalid("a clawback from the issuer")
	}
	if err := x.known(a.From); err != nil {
		return err
	}
	f, g := x.holding(a.From, a.Asset), x.holding(as.Issuer, a.Asset)
	return x.shift(EntryClawback, a.Asset, a.From, as.Issuer, &f, &g, a.Amount, "")
}

func frozen(asset string, a *Asset, account string) error {
	if a.Frozen {
		return reject(CodeFrozen, asset)
	}
	return reject(CodeFrozen, account+"'s "+asset)
}

// mayReceive tells whether an account may get units of an asset.
func (x *exec) mayReceive(asset string, a *Asset, account string, h *Holding) error {
	switch {
	case a.Frozen || h.Frozen:
		return frozen(asset, a, account)
	case a.Rules.Has(RuleAdmission) && !h.Admitted && account != a.Issuer:
		return reject(CodeNotAdmitted, account+", to "+asset)
	}
	return nil
}
