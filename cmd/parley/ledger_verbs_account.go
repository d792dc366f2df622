package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// accountVerbs are the actions about accounts.
func accountVerbs() []ledgerVerb {
	return []ledgerVerb{
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
	}
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
