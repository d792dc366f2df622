package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

type buildAction = func(l *ledgerBook, args []string) (ledger.Action, error)

// plain is a verb without flags of its own.
func plainVerb(build buildAction) func(*cobra.Command) buildAction {
	return func(*cobra.Command) buildAction { return build }
}

// accountNames checks names before anything is sent.
func accountNames(l *ledgerBook, names ...string) error {
	for _, n := range names {
		if err := ledger.CheckAccountName(n); err != nil {
			return usagef(l.cmd, "%v", err)
		}
	}
	return nil
}

func reference(l *ledgerBook, s string) error {
	if err := ledger.CheckReference(s); err != nil {
		return usagef(l.cmd, "%v", err)
	}
	return nil
}

// fromNow is the time so long from now, as block time.
func fromNow(d time.Duration) statemachine.Time {
	return statemachine.Time(time.Now().Add(d).UnixNano())
}

// publicKeys reads keys: 64 digits, or the name of a client's key file. Without any it
// is the key that the command acts with.
func publicKeys(l *ledgerBook, texts []string) ([]crypto.PublicKey, error) {
	if len(texts) == 0 {
		if l.session == nil {
			return nil, usagef(l.cmd, "--owner is missing: name the account's keys")
		}
		return []crypto.PublicKey{l.session.identity.client.Signing.Public()}, nil
	}
	var keys []crypto.PublicKey
	for _, t := range texts {
		k, err := crypto.ParsePublicKey(t)
		if err != nil {
			if _, missing := os.Stat(t); missing != nil {
				return nil, usagef(l.cmd, "--owner: %q is neither a public key of 64 digits nor a key file", t)
			}
			f, err := keyfile.LoadClient(t)
			if err != nil {
				return nil, fmt.Errorf("--owner: %w", err)
			}
			k = f.Signing.Public()
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// keyFlags are those of account open and account keys.
func keyFlags(make func(name string, threshold uint8, keys []crypto.PublicKey) ledger.Action) func(*cobra.Command) buildAction {
	return func(cmd *cobra.Command) buildAction {
		owners := cmd.Flags().StringSlice("owner", nil, "a public key, or a client's key file, that controls the account; may be repeated (default the key that the command acts with)")
		threshold := cmd.Flags().Uint8("threshold", 1, "how many of the keys it takes to act")
		return func(l *ledgerBook, args []string) (ledger.Action, error) {
			if err := accountNames(l, args[0]); err != nil {
				return nil, err
			}
			keys, err := publicKeys(l, *owners)
			if err != nil {
				return nil, err
			}
			return make(args[0], *threshold, keys), nil
		}
	}
}

func ruleFlags(cmd *cobra.Command) (rules *[]string, supply *string) {
	rules = cmd.Flags().StringSlice("rule", nil, "a rule of the asset: freezable, clawback, admission, holder-retires, fixed; may be repeated")
	supply = cmd.Flags().String("max-supply", "", "the most that there may be (default no limit)")
	return rules, supply
}

func readRules(l *ledgerBook, names []string) (all ledger.Rules, err error) {
	for _, n := range names {
		r, ok := ledger.RuleNamed(n)
		if !ok {
			return 0, usagef(l.cmd, "--rule: %q is none: give freezable, clawback, admission, holder-retires or fixed", n)
		}
		all |= r
	}
	return all, nil
}

func readSupply(l *ledgerBook, text string, decimals uint8) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := ledger.ParseAmount(text, decimals)
	if err != nil {
		return 0, usagef(l.cmd, "--max-supply: %v", err)
	}
	return n, nil
}

// ledgerVerbs are all actions.
var ledgerVerbs []ledgerVerb

func init() {
	ledgerVerbs = []ledgerVerb{
		{
			name: "account open", args: "NAME", short: "Open an account",
			long: `Open an account, controlled by the key that the command acts with, or by --owner: a
public key as 'parley keygen' prints it, or a key file. With several and --threshold M
it takes M of them to act.`,
			example: `  parley ledger account open --dir demo alice
  parley ledger account open --dir demo board --threshold 2 --owner a.key --owner b.key --owner c.key`,
			flags: keyFlags(func(name string, m uint8, keys []crypto.PublicKey) ledger.Action {
				return ledger.NewAccount(name, m, keys...)
			}),
		},
		{
			name: "account keys", args: "NAME", short: "Give an account other keys",
			long:    "Replace the keys of an account and their threshold. It takes the old ones.",
			example: `  parley ledger account keys --dir demo alice --owner new.key`,
			flags: keyFlags(func(name string, m uint8, keys []crypto.PublicKey) ledger.Action {
				o := ledger.NewAccount(name, m, keys...)
				return &ledger.SetKeys{Account: name, Keys: o.Keys, Threshold: m}
			}),
		},
		{
			name: "account advance", args: "NAME", short: "Void signed transactions that name the sequence number",
			long:    "Count up an account's sequence number: signed transactions that name the present one\n('tx make --sequence') can no longer run.",
			example: `  parley ledger account advance --dir demo alice`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				return &ledger.Advance{Account: args[0]}, accountNames(l, args[0])
			}),
		},
		{
			name: "asset define", args: "ASSET ISSUER", short: "Define an asset",
			long: `Define an asset that an account issues. Its rules decide what the issuer can do with
what others hold; 'fixed' makes them final.`,
			example: `  parley ledger asset define --dir demo EUR bank --decimals 2 --rule freezable
  parley ledger asset define --dir demo BOND treasury --max-supply 1000000 --rule fixed`,
			flags: func(cmd *cobra.Command) buildAction {
				decimals := cmd.Flags().Uint8("decimals", 0, "digits after the point")
				about := cmd.Flags().String("description", "", "what it is, for people")
				rules, supply := ruleFlags(cmd)
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					if err := ledger.CheckAssetName(args[0]); err != nil {
						return nil, usagef(l.cmd, "%v", err)
					}
					if err := accountNames(l, args[1]); err != nil {
						return nil, err
					}
					if *decimals > ledger.MaxDecimals {
						return nil, usagef(l.cmd, "--decimals is %d: give 0 to %d", *decimals, ledger.MaxDecimals)
					}
					r, err := readRules(l, *rules)
					if err != nil {
						return nil, err
					}
					most, err := readSupply(l, *supply, *decimals)
					l.define(args[0], *decimals)
					return &ledger.DefineAsset{Asset: args[0], Issuer: args[1], Description: *about, Decimals: *decimals, Rules: r, MaxSupply: most}, err
				}
			},
		},
		{
			name: "asset rules", args: "ASSET", short: "Change an asset's rules and largest supply",
			long:    "Replace all rules and the largest supply of an asset, unless the rules are fixed.",
			example: `  parley ledger asset rules --dir demo EUR --rule freezable --rule fixed`,
			flags: func(cmd *cobra.Command) buildAction {
				rules, supply := ruleFlags(cmd)
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					a, err := l.asset(args[0])
					if err != nil {
						return nil, err
					}
					r, err := readRules(l, *rules)
					if err != nil {
						return nil, err
					}
					most, err := readSupply(l, *supply, a.Decimals)
					return &ledger.SetRules{Asset: args[0], Rules: r, MaxSupply: most}, err
				}
			},
		},
		{
			name: "asset close", args: "ASSET", short: "End the issuing of an asset for good",
			long:    "End the issuing of an asset for good: there will never be more of it.",
			example: `  parley ledger asset close --dir demo BOND`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				_, err := l.asset(args[0])
				return &ledger.CloseAsset{Asset: args[0]}, err
			}),
		},
		{
			name: "issue", args: "ASSET TO AMOUNT", short: "Issue units of an asset",
			long: "Make new units of an asset, which an account gets. It takes the issuer.", example: `  parley ledger issue --dir demo EUR alice 100.00`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				n, err := l.amount(args[0], args[2])
				if err == nil {
					err = accountNames(l, args[1])
				}
				return &ledger.Issue{Asset: args[0], To: args[1], Amount: n}, err
			}),
		},
		{
			name: "retire", args: "ASSET FROM AMOUNT", short: "Take units of an asset out of the world",
			long:    "Take units out of the world: the issuer its own, or any holder where the rules say\nso (holder-retires).",
			example: `  parley ledger retire --dir demo EUR bank 12.50`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				n, err := l.amount(args[0], args[2])
				if err == nil {
					err = accountNames(l, args[1])
				}
				return &ledger.Retire{Asset: args[0], From: args[1], Amount: n}, err
			}),
		},
		{
			name: "transfer", args: "ASSET FROM TO AMOUNT", short: "Move units from one account to another",
			long: "Move units from one account to another.", example: `  parley ledger transfer --dir demo EUR alice bob 12.50 --memo rent`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				n, err := l.amount(args[0], args[3])
				if err == nil {
					err = accountNames(l, args[1:3]...)
				}
				return &ledger.Transfer{Asset: args[0], From: args[1], To: args[2], Amount: n}, err
			}),
		},
		freezeVerb("freeze", true), freezeVerb("unfreeze", false),
		{
			name: "admit", args: "ASSET ACCOUNT", short: "Let an account receive an asset",
			long:    "Let an account receive an asset whose rules have 'admission', or with --off no longer.",
			example: `  parley ledger admit --dir demo FUND alice`,
			flags: func(cmd *cobra.Command) buildAction {
				off := cmd.Flags().Bool("off", false, "no longer")
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					return &ledger.Admit{Asset: args[0], Account: args[1], On: !*off}, accountNames(l, args[1])
				}
			},
		},
		{
			name: "clawback", args: "ASSET FROM AMOUNT", short: "Take units back to the issuer",
			long:    "Take units from an account back to the issuer, where the rules have 'clawback'. What is\nfrozen can be taken, what is on hold not.",
			example: `  parley ledger clawback --dir demo EUR mallory 99.00`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				n, err := l.amount(args[0], args[2])
				if err == nil {
					err = accountNames(l, args[1])
				}
				return &ledger.Clawback{Asset: args[0], From: args[1], Amount: n}, err
			}),
		},
		{
			name: "hold place", args: "ASSET FROM TO AMOUNT", short: "Set an amount aside for a payee",
			long: `Set an amount of FROM aside for TO. It cannot be spent until TO, or the --agent, captures
or releases it; when its time is over it goes back by itself.`,
			example: `  parley ledger hold place --dir demo EUR alice hotel 300.00 --ref room-12 --for 72h`,
			flags: func(cmd *cobra.Command) buildAction {
				ref := cmd.Flags().String("ref", "", "the hold's name among those of FROM (needed)")
				life := cmd.Flags().Duration("for", 24*time.Hour, "after how long it goes back")
				agent := cmd.Flags().String("agent", "", "the account that decides in place of TO")
				lock := cmd.Flags().String("lock", "", "SHA-256 of a secret that capturing takes, in 64 digits")
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					if *ref == "" {
						return nil, usagef(l.cmd, "--ref is missing: give the hold a name")
					}
					h := &ledger.PlaceHold{Asset: args[0], From: args[1], To: args[2], Reference: *ref, Agent: *agent, Expires: fromNow(*life)}
					if err := reference(l, *ref); err != nil {
						return nil, err
					}
					if *lock != "" {
						if err := h.Lock.UnmarshalText([]byte(*lock)); err != nil {
							return nil, usagef(l.cmd, "--lock: %v", err)
						}
					}
					names := args[1:3]
					if *agent != "" {
						names = append(names[:2:2], *agent)
					}
					n, err := l.amount(args[0], args[3])
					if err == nil {
						err = accountNames(l, names...)
					}
					h.Amount = n
					return h, err
				}
			},
		},
		{
			name: "hold capture", args: "FROM REF", short: "Pay out a hold",
			long:    "Pay out a hold of FROM to its payee, all of it or --amount; what is left goes back.",
			example: `  parley ledger hold capture --dir demo alice room-12 --amount 280.00`,
			flags: func(cmd *cobra.Command) buildAction {
				amount := cmd.Flags().String("amount", "", "how much of it (default all)")
				secret := cmd.Flags().String("secret", "", "what opens its lock")
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					c := &ledger.Capture{From: args[0], Reference: args[1], Secret: []byte(*secret)}
					if err := accountNames(l, args[0]); err != nil {
						return nil, err
					}
					if err := reference(l, args[1]); err != nil {
						return nil, err
					}
					if *amount == "" {
						return c, nil
					}
					v, err := l.get(ledger.HoldKey(args[0], args[1]), fmt.Sprintf("%s has no open hold %s", args[0], args[1]))
					if err != nil {
						return nil, err
					}
					h, err := ledger.DecodeHold(v)
					if err != nil {
						return nil, err
					}
					c.Amount, err = l.amount(h.Asset, *amount)
					return c, err
				}
			},
		},
		{
			name: "hold release", args: "FROM REF", short: "Give a hold back",
			long:    "Give a hold back to FROM. It takes the payee or the agent.",
			example: `  parley ledger hold release --dir demo alice room-12`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				if err := accountNames(l, args[0]); err != nil {
					return nil, err
				}
				return &ledger.Release{From: args[0], Reference: args[1]}, reference(l, args[1])
			}),
		},
		{
			name: "trust", args: "ACCOUNT PEER ASSET LIMIT", short: "Say how much a peer may owe an account",
			long: `Say how much PEER may owe ACCOUNT in units of an asset. With --ripple payments of
others may pass through ACCOUNT over this line; a limit of 0 with --ripple says so of
a line on which only the peer grants credit.`,
			example: `  parley ledger trust --dir demo alice bank EUR 1000.00
  parley ledger trust --dir demo bank alice EUR 0 --ripple`,
			flags: func(cmd *cobra.Command) buildAction {
				ripple := cmd.Flags().Bool("ripple", false, "let payments of others pass through ACCOUNT over this line")
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					n, err := l.amount(args[2], args[3])
					if err == nil {
						err = accountNames(l, args[:2]...)
					}
					return &ledger.Trust{Account: args[0], Peer: args[1], Asset: args[2], Limit: n, Ripple: *ripple}, err
				}
			},
		},
		{
			name: "pay", args: "ASSET FROM TO AMOUNT", short: "Pay with IOUs along trust lines",
			long: `Pay an amount in IOUs: along a path of trust lines each account owes the next one so
much more, or is owed less. The path is found, or given by --path; --with pays in
another asset, which a market maker on the path exchanges.`,
			example: `  parley ledger pay --dir demo EUR alice bob 10.00
  parley ledger pay --dir demo USD alice bob 10.00 --with EUR --max 9.60
  parley ledger pay --dir demo EUR alice bob 10.00 --path bank:EUR`,
			flags: payFlags,
		},
		{
			name: "offer make", args: "ACCOUNT REF SELL AMOUNT BUY PRICE", short: "Offer one asset for another",
			long: `Offer up to AMOUNT of the asset SELL for the asset BUY, at PRICE of BUY for each 1 of
SELL. Nothing is set aside. With --credit it is for payments on trust lines that pass
through ACCOUNT, else for balances.`,
			example: `  parley ledger offer make --dir demo maker usd-eur USD 5000.00 EUR 0.95 --credit`,
			flags: func(cmd *cobra.Command) buildAction {
				credit := cmd.Flags().Bool("credit", false, "for payments on trust lines")
				life := cmd.Flags().Duration("for", 0, "after how long it ends (default never)")
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					sell, err := l.asset(args[2])
					if err != nil {
						return nil, err
					}
					o := ledger.Offer{Sell: args[2], Buy: args[4], Credit: *credit}
					if o.Amount, err = l.amount(args[2], args[3]); err != nil {
						return nil, err
					}
					if o.Price, err = l.price(args[4], args[5], sell.Decimals); err != nil {
						return nil, err
					}
					if *life != 0 {
						o.Expires = fromNow(*life)
					}
					if err := accountNames(l, args[0]); err != nil {
						return nil, err
					}
					return &ledger.MakeOffer{Account: args[0], Reference: args[1], Offer: o}, reference(l, args[1])
				}
			},
		},
		{
			name: "offer take", args: "ACCOUNT REF TAKER AMOUNT", short: "Take an offer of balances",
			long:    "Get AMOUNT of what the offer sells, for its price, of at most --max.",
			example: `  parley ledger offer take --dir demo dealer bonds alice 3 --max 310.00`,
			flags: func(cmd *cobra.Command) buildAction {
				most := cmd.Flags().String("max", "", "the most to be paid (default whatever it costs now)")
				return func(l *ledgerBook, args []string) (ledger.Action, error) {
					if err := accountNames(l, args[0], args[2]); err != nil {
						return nil, err
					}
					if err := reference(l, args[1]); err != nil {
						return nil, err
					}
					v, err := l.get(ledger.OfferKey(args[0], args[1]), fmt.Sprintf("%s has no offer %s", args[0], args[1]))
					if err != nil {
						return nil, err
					}
					o, err := ledger.DecodeOffer(v)
					if err != nil {
						return nil, err
					}
					t := &ledger.TakeOffer{Account: args[0], Reference: args[1], Taker: args[2]}
					if t.Amount, err = l.amount(o.Sell, args[3]); err != nil {
						return nil, err
					}
					if *most != "" {
						t.MaxCost, err = l.amount(o.Buy, *most)
						return t, err
					}
					cost, ok := o.Cost(t.Amount)
					if !ok {
						return nil, usagef(l.cmd, "AMOUNT: the price of that is no amount")
					}
					t.MaxCost = cost
					return t, nil
				}
			},
		},
		{
			name: "offer cancel", args: "ACCOUNT REF", short: "Withdraw an offer",
			long: "Withdraw an offer.", example: `  parley ledger offer cancel --dir demo maker usd-eur`,
			flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
				if err := accountNames(l, args[0]); err != nil {
					return nil, err
				}
				return &ledger.CancelOffer{Account: args[0], Reference: args[1]}, reference(l, args[1])
			}),
		},
	}
}

func freezeVerb(name string, on bool) ledgerVerb {
	what := "Freeze"
	if !on {
		what = "Lift the freezing of"
	}
	return ledgerVerb{
		name: name, args: "ASSET [ACCOUNT]", optionalArgs: 1, short: what + " what an account has of an asset, or all of it",
		long: what + " what an account has of an asset, or without ACCOUNT all of the asset. It takes the\nissuer, and the rule 'freezable'.", example: "  parley ledger " + name + " --dir demo EUR mallory",
		flags: plainVerb(func(l *ledgerBook, args []string) (ledger.Action, error) {
			f := &ledger.Freeze{Asset: args[0], On: on}
			if len(args) > 1 {
				f.Account = args[1]
				return f, accountNames(l, f.Account)
			}
			return f, nil
		}),
	}
}

func payFlags(cmd *cobra.Command) buildAction {
	with := cmd.Flags().String("with", "", "the asset to pay in (default ASSET)")
	most := cmd.Flags().String("max", "", "the most to be paid (default AMOUNT; needed with --with)")
	path := cmd.Flags().String("path", "", "accounts between FROM and TO as ACCOUNT:ASSET, separated by commas; - is none, directly")
	return func(l *ledgerBook, args []string) (ledger.Action, error) {
		p := &ledger.Pay{Asset: args[0], From: args[1], To: args[2], Source: *with, Find: *path == ""}
		if p.Source == "" {
			p.Source = p.Asset
		}
		var err error
		if p.Amount, err = l.amount(p.Asset, args[3]); err != nil {
			return nil, err
		}
		if err := accountNames(l, p.From, p.To); err != nil {
			return nil, err
		}
		switch {
		case *most != "":
			if p.MaxCost, err = l.amount(p.Source, *most); err != nil {
				return nil, err
			}
		case p.Source != p.Asset:
			return nil, usagef(l.cmd, "--max is missing: say how much of %s it may cost ('parley ledger path' tells what it would)", p.Source)
		default:
			p.MaxCost = p.Amount
		}
		if *path != "" && *path != "-" {
			for _, hop := range strings.Split(*path, ",") {
				account, asset, ok := strings.Cut(hop, ":")
				if !ok || ledger.CheckAssetName(asset) != nil {
					return nil, usagef(l.cmd, "--path: %q is no hop: write ACCOUNT:ASSET", hop)
				}
				if err := accountNames(l, account); err != nil {
					return nil, err
				}
				p.Path = append(p.Path, ledger.Hop{Account: account, Asset: asset})
			}
		}
		return p, nil
	}
}

// price reads what one of an asset with so many decimals costs in another, which may be
// a fraction of a unit.
func (l *ledgerBook) price(buy, text string, decimals uint8) (p [2]uint64, err error) {
	a, err := l.asset(buy)
	if err != nil {
		return p, err
	}
	digits := uint8(0)
	if _, part, ok := strings.Cut(text, "."); ok {
		digits = uint8(min(len(part), 255))
	}
	digits = max(digits, a.Decimals)
	if int(digits)-int(a.Decimals)+int(decimals) > ledger.MaxDecimals {
		return p, usagef(l.cmd, "PRICE: %q has too many digits after the point", text)
	}
	if p[0], err = ledger.ParseAmount(text, digits); err != nil {
		return p, usagef(l.cmd, "PRICE: %v", err)
	}
	p[1] = 1
	for range int(digits) - int(a.Decimals) + int(decimals) {
		p[1] *= 10
	}
	return p, nil
}

// define notes what later legs of a transaction will find.
func (l *ledgerBook) define(asset string, decimals uint8) {
	if l.assets == nil {
		l.assets = make(map[string]ledger.Asset)
	}
	if _, ok := l.assets[asset]; !ok {
		l.assets[asset] = ledger.Asset{Decimals: decimals}
	}
}

// hexDigest reads a digest of 64 digits.
func hexDigest(cmd *cobra.Command, s string) (d crypto.Digest, err error) {
	if _, err := hex.DecodeString(s); err != nil || len(s) != 2*crypto.DigestSize {
		return d, usagef(cmd, "%q is no digest: write the 64 digits", s)
	}
	return d, d.UnmarshalText([]byte(s))
}
