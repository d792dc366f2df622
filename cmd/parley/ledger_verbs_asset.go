package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// assetVerbs are the actions about assets and who has them.
func assetVerbs() []ledgerVerb {
	return []ledgerVerb{
		{
			name: "asset define", args: "ASSET ISSUER", short: "Define an asset",
			long: `Define an asset that an account issues. Its rules decide what the issuer can do with
what others hold; 'fixed' makes them final.

There can be 9223372036854775807 units of an asset at a time, so each digit after the point
leaves a tenth of the room: 92 million billion with --decimals 2, 9.22 trillion with 6,
9.22 billion with 9, and 9.22 in all with 18.`,
			example: `  parley ledger asset define --dir demo EUR bank --decimals 2 --rule freezable
  parley ledger asset define --dir demo BOND treasury --max-supply 1000000 --rule fixed`,
			flags: func(cmd *cobra.Command) buildAction {
				decimals := cmd.Flags().Uint8("decimals", 0, "digits after the point, 0 to 18; see above for how much each leaves room for")
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
			long:    "Replace all rules and the largest supply of an asset, unless the rules are fixed: a rule that\nis not given is taken away, and without --max-supply there is no limit any more.",
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
	}
}

func ruleFlags(cmd *cobra.Command) (rules *[]string, supply *string) {
	rules = cmd.Flags().StringSlice("rule", nil, "a rule of the asset: freezable, clawback, admission, holder-retires, fixed; may be repeated")
	supply = cmd.Flags().String("max-supply", "", "the most that there may be (default as much as there can be)")
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
