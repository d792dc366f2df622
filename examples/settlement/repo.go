package main

import (
	"context"
	"errors"
	"time"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// term is how long the repo runs; in the world it would be days.
const term = 4 * time.Second

// repo: Anna needs cash for a while, and Ben lends it against bonds that she sets aside
// for him. Both ways are signed before the first is brought: Ben cannot keep the bonds if
// Anna pays on the day, and if she does not, he captures them.
func repo(ctx context.Context, t *town) error {
	t.say("\nREPO")
	maturity, grace := fromNow(term), fromNow(term+24*time.Hour)
	there := &ledger.Transaction{
		Memo: "repo 12, near leg", Expires: maturity,
		Actions: []ledger.Action{
			&ledger.Transfer{Asset: "EUR", From: "ben", To: "anna", Amount: 500_00},
			// If neither the far leg nor Ben does anything they go back to Anna by themselves.
			&ledger.PlaceHold{From: "anna", Reference: "repo-12", Asset: "BOND-31", To: "ben", Amount: 6, Expires: grace},
		},
	}
	back := &ledger.Transaction{
		Memo: "repo 12, far leg", NotBefore: maturity, Expires: grace,
		Actions: []ledger.Action{
			&ledger.Transfer{Asset: "EUR", From: "anna", To: "ben", Amount: 500_80}, // with interest
			&ledger.Release{From: "anna", Reference: "repo-12"},                     // which takes Ben's authority
		},
	}
	near := ledger.Submit(there, t.sign("anna", there), t.sign("ben", there))
	far := ledger.Submit(back, t.sign("anna", back), t.sign("ben", back))

	if _, err := t.submit(ctx, "anna", near); err != nil {
		return err
	}
	t.say("  near leg: 500.00 EUR against 6 BOND-31 set aside")
	if err := t.show(ctx, "BOND-31", 0, "anna"); err != nil {
		return err
	}
	// The bonds are Anna's and cannot be sold twice.
	spend := ledger.Do(&ledger.Transfer{Asset: "BOND-31", From: "anna", To: "broker", Amount: 5})
	if err := t.refused(ctx, "anna", spend, ledger.ErrInsufficient); err != nil {
		return err
	}
	if err := t.refused(ctx, "anna", far, ledger.ErrTooEarly); err != nil {
		return err
	}
	// The day comes when blocks say so.
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, err := t.submit(ctx, "anna", far)
		if err == nil {
			break
		}
		if !errors.Is(err, ledger.ErrTooEarly) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	t.say("  far leg: 500.80 EUR back, and the bonds are free")
	return errors.Join(t.show(ctx, "EUR", 2, "anna", "ben"), t.show(ctx, "BOND-31", 0, "anna"))
}
