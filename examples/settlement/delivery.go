package main

import (
	"context"
	"errors"
	"time"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// deliveryAgainstPayment: Anna buys bonds of Ben. Neither has to deliver first, and
// nobody holds both in between.
func deliveryAgainstPayment(ctx context.Context, t *town) error {
	t.say("DELIVERY AGAINST PAYMENT")
	err := errors.Join(
		t.do(ctx, "central-bank",
			&ledger.DefineAsset{Asset: "EUR", Issuer: "central-bank", Decimals: 2, Rules: ledger.RuleFreezable, Description: "euro, a claim on the central bank"},
			&ledger.Issue{Asset: "EUR", To: "anna", Amount: 5000_00}),
		t.do(ctx, "treasury",
			&ledger.DefineAsset{Asset: "BOND-31", Issuer: "treasury", MaxSupply: 1000, Rules: ledger.RuleFixed, Description: "bond of the treasury, due 2031"},
			&ledger.Issue{Asset: "BOND-31", To: "ben", Amount: 20}),
	)
	if err != nil {
		return err
	}
	trade := &ledger.Transaction{
		Memo:    "trade 4711",
		Expires: fromNow(time.Hour), // no longer than that can it be brought
		Actions: []ledger.Action{
			&ledger.Transfer{Asset: "EUR", From: "anna", To: "ben", Amount: 1010_00},
			&ledger.Transfer{Asset: "BOND-31", From: "ben", To: "anna", Amount: 10},
		},
	}
	// Each signs where its key is; the signatures travel to the broker.
	annas, bens := t.sign("anna", trade), t.sign("ben", trade)
	if err := t.refused(ctx, "broker", ledger.Submit(trade, annas), ledger.ErrUnauthorized); err != nil {
		return err
	}
	changed := *trade
	changed.Actions = []ledger.Action{trade.Actions[0]}
	if err := t.refused(ctx, "broker", ledger.Submit(&changed, annas), ledger.ErrBadSignature); err != nil {
		return err
	}
	if _, err := t.submit(ctx, "broker", ledger.Submit(trade, annas, bens)); err != nil {
		return err
	}
	t.say("  settled: 1010.00 EUR against 10 BOND-31, in one step")
	if err := t.refused(ctx, "broker", ledger.Submit(trade, annas, bens), ledger.ErrReplayed); err != nil {
		return err
	}
	return errors.Join(t.show(ctx, "EUR", 2, "anna", "ben"), t.show(ctx, "BOND-31", 0, "anna", "ben"))
}
