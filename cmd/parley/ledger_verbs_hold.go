package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// holdVerbs are the actions that set amounts aside.
func holdVerbs() []ledgerVerb {
	return []ledgerVerb{
		{
			name: "hold place", args: "ASSET FROM TO AMOUNT", short: "Set an amount aside for a payee",
			long: `Set an amount of FROM aside for TO. It cannot be spent until TO, or the --agent, captures
or releases it; when its time is over it goes back by itself. With --lock capturing takes the
secret whose SHA-256 that is: two ledgers can be settled so by one secret.`,
			example: `  parley ledger hold place --dir demo EUR alice hotel 300.00 --ref room-12 --for 72h
  parley ledger hold place --dir demo EUR alice bob 5.00 --ref swap-1 --lock $(printf secret | sha256sum | cut -c1-64)`,
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
			long: "Pay out a hold of FROM to its payee, all of it or --amount; what is left goes back.",
			example: `  parley ledger hold capture --dir demo alice room-12 --amount 280.00
  parley ledger hold capture --dir demo alice swap-1 --secret secret`,
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
	}
}
