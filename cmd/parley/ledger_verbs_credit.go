package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// creditVerbs are the actions of trust lines and offers.
func creditVerbs() []ledgerVerb {
	return []ledgerVerb{
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
