package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// acrossBorders: Anna has an account at a bank in Europe, Ben at one in America, and
// the banks do not know each other. A market maker has accounts at both and offers
// dollars for euros. What moves are debts between parties that trust each other.
func acrossBorders(ctx context.Context, t *town) error {
	t.say("\nACROSS BORDERS")
	trust := func(who, whom, asset string, limit uint64, ripple bool) error {
		return t.do(ctx, who, &ledger.Trust{Account: who, Peer: whom, Asset: asset, Limit: limit, Ripple: ripple})
	}
	pay := func(from, to, asset string, amount uint64) error {
		return t.do(ctx, from, &ledger.Pay{From: from, To: to, Source: asset, Asset: asset, Amount: amount, MaxCost: amount})
	}
	err := errors.Join(
		t.do(ctx, "dollar-bank", &ledger.DefineAsset{Asset: "USD", Issuer: "dollar-bank", Decimals: 2}),
		// Anna's deposit: the bank owes her 2000 euros. Payments may pass through the bank.
		trust("anna", "euro-bank", "EUR", 10_000_00, false), pay("euro-bank", "anna", "EUR", 2000_00),
		trust("euro-bank", "anna", "EUR", 0, true), trust("maker", "euro-bank", "EUR", 50_000_00, false), trust("euro-bank", "maker", "EUR", 0, true),
		// The maker's deposit in America, and Ben's account there.
		trust("maker", "dollar-bank", "USD", 50_000_00, false), pay("dollar-bank", "maker", "USD", 8000_00),
		trust("dollar-bank", "maker", "USD", 0, true), trust("ben", "dollar-bank", "USD", 10_000_00, false), trust("dollar-bank", "ben", "USD", 0, true),
	)
	if err != nil {
		return err
	}
	order := &ledger.Pay{From: "anna", To: "ben", Source: "EUR", Asset: "USD", Amount: 540_00, MaxCost: 505_00, Find: true}
	if err := t.refused(ctx, "anna", ledger.Do(order), ledger.ErrNoPath); err != nil {
		return err
	}
	// 0.93 EUR for a dollar.
	if err := t.do(ctx, "maker", &ledger.MakeOffer{Account: "maker", Reference: "usd", Offer: ledger.Offer{Sell: "USD", Buy: "EUR", Amount: 5000_00, Price: [2]uint64{93, 100}, Credit: true}}); err != nil {
		return err
	}
	answer, err := t.parties["anna"].client.Submit(ctx, ledger.PathQuery(order, fromNow(0)))
	if err != nil {
		return err
	}
	path, err := ledger.DecodePath(answer.Data)
	if err != nil {
		return err
	}
	var hops []string
	for _, h := range path.Hops {
		hops = append(hops, fmt.Sprintf("%s (%s)", h.Account, h.Asset))
	}
	t.say("  540.00 USD would cost %s EUR, by way of %s", ledger.FormatAmount(path.Cost, 2), strings.Join(hops, ", "))
	dear := *order
	dear.MaxCost = 500_00
	if err := t.refused(ctx, "anna", ledger.Do(&dear), ledger.ErrCost); err != nil {
		return err
	}
	r, err := t.submit(ctx, "anna", ledger.Do(order))
	if err != nil {
		return err
	}
	t.say("  paid: %s EUR of Anna's became 540.00 USD of Ben's, in one step", ledger.FormatAmount(r.Cost, 2))
	return errors.Join(t.show(ctx, "EUR", 2, "anna", "maker"), t.show(ctx, "USD", 2, "maker", "ben"))
}
