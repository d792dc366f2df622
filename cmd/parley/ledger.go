package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

func newLedger() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Assets, accounts, transactions, holds, trust lines",
		Long: `Commands for a cluster that runs the ledger ('parley cluster --app ledger').

A command acts with a client's key (--key, or client.key in --dir): it may do what
the accounts of that key may. Where several parties must agree, 'parley ledger tx'
makes a transaction that each signs in a file, and anybody submits; or it is proposed,
and each approves.

Amounts are written as the asset is shown, such as 12.50, and durations as 90m or 720h.
Exit code 4 says that the ledger refused it, and why; nothing was changed then.`,
		Example: `  parley cluster --app ledger --dir demo      # in another terminal
  parley ledger account open --dir demo bank
  parley ledger account open --dir demo alice
  parley ledger asset define --dir demo EUR bank --decimals 2
  parley ledger issue --dir demo EUR alice 100.00
  parley ledger statement --dir demo alice`,
	}
	group := func(use, short string, verbs ...*cobra.Command) *cobra.Command {
		g := &cobra.Command{Use: use, Short: short}
		g.AddCommand(verbs...)
		return g
	}
	verb := func(name string) *cobra.Command { return ledgerVerbNamed(name).command() }
	cmd.AddCommand(
		group("account", "Open accounts and read them", verb("account open"), verb("account keys"), verb("account advance"), newLedgerAccountShow(), newLedgerAccountList()),
		group("asset", "Define assets and read them", verb("asset define"), verb("asset rules"), verb("asset close"), newLedgerAssetShow(), newLedgerAssetList()),
		verb("issue"), verb("retire"), verb("transfer"), verb("freeze"), verb("unfreeze"), verb("admit"), verb("clawback"),
		group("hold", "Set amounts aside", verb("hold place"), verb("hold capture"), verb("hold release"), newLedgerHoldList()),
		verb("trust"), verb("pay"), newLedgerPath(), newLedgerLines(),
		group("offer", "Offers to exchange", verb("offer make"), verb("offer take"), verb("offer cancel"), newLedgerOfferList()),
		newLedgerTx(), newLedgerStatement(), newLedgerAudit(), newLedgerBench(),
	)
	return cmd
}

// ledgerVerb is an action as a command, and as a leg of a transaction.
type ledgerVerb struct {
	name, args   string // "hold place", "FROM TO ASSET AMOUNT"
	short, long  string
	example      string
	optionalArgs int // how many of the last may be left out
	// flags adds flags and returns what makes the action of the arguments.
	flags func(cmd *cobra.Command) func(l *ledgerBook, args []string) (ledger.Action, error)
}

func ledgerVerbNamed(name string) *ledgerVerb {
	for i := range ledgerVerbs {
		if ledgerVerbs[i].name == name {
			return &ledgerVerbs[i]
		}
	}
	panic("no verb of the ledger: " + name)
}

// findLedgerVerb finds the verb at the beginning of a leg's words.
func findLedgerVerb(words []string) (v *ledgerVerb, rest []string) {
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.Join(words[:n], " ")
		for i := range ledgerVerbs {
			if ledgerVerbs[i].name == name {
				return &ledgerVerbs[i], words[n:]
			}
		}
	}
	return nil, nil
}

func (v *ledgerVerb) checkArgs(cmd *cobra.Command, args []string) error {
	names := strings.Fields(v.args)
	for i := range names {
		names[i] = strings.Trim(names[i], "[]")
	}
	if n := len(names) - len(args); n > 0 && n <= v.optionalArgs {
		names = names[:len(args)]
	}
	return exactArgs(names...)(cmd, args)
}

// bare is the command without what it takes to run it: for the words of a leg too.
func (v *ledgerVerb) bare() (*cobra.Command, func(*ledgerBook, []string) (ledger.Action, error)) {
	use := v.name[strings.LastIndex(v.name, " ")+1:] + " " + v.args
	cmd := &cobra.Command{Use: use, Short: v.short, Long: v.long, Example: v.example, Args: v.checkArgs, SilenceErrors: true, SilenceUsage: true}
	return cmd, v.flags(cmd)
}

func (v *ledgerVerb) command() *cobra.Command {
	cmd, build := v.bare()
	o := newLedgerOperation()
	o.flags(cmd)
	memo := cmd.Flags().String("memo", "", "goes into the statements")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return o.act(cmd, func(l *ledgerBook) ([]byte, error) {
			a, err := build(l, args)
			if err != nil {
				return nil, err
			}
			return ledger.Submit(&ledger.Transaction{Memo: *memo, Actions: []ledger.Action{a}}), nil
		}, v.name)
	}
	return cmd
}

func newLedgerOperation() *operation { return &operation{target: target{app: ledgerApplication.name}} }

// act makes an operation, runs it, and reports how it went.
func (o *operation) act(cmd *cobra.Command, build func(*ledgerBook) ([]byte, error), what string) error {
	return o.session(cmd, func(ctx context.Context, s *session) error {
		l := &ledgerBook{cmd: cmd, ctx: ctx, session: s}
		op, err := build(l)
		if err != nil {
			return err
		}
		a, err := o.run(ctx, s, op)
		if err != nil {
			return err
		}
		r, err := ledger.DecodeResult(a.Result)
		if err != nil {
			return fmt.Errorf("the cluster's answer: %w", err)
		}
		return o.proven(o.reportLedger(l, what, &r, &a))
	})
}

// jsonLedger is an operation's outcome for --json.
type jsonLedger struct {
	Done     bool           `json:"done"`
	Block    uint64         `json:"block"`
	Tx       string         `json:"tx,omitempty"`
	Pending  bool           `json:"pending,omitempty"`
	Proposal *crypto.Digest `json:"proposal,omitempty"`
	Cost     uint64         `json:"costUnits,omitempty"`
	Code     uint32         `json:"code,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Receipt  string         `json:"receipt,omitempty"`
}

func (o *operation) reportLedger(l *ledgerBook, what string, r *ledger.Result, a *client.Answer) error {
	out := l.cmd.OutOrStdout()
	refused := l.refusal(r)
	if o.json {
		j := jsonLedger{Done: refused == nil && !r.Pending, Block: uint64(a.Ref.Height), Pending: r.Pending, Cost: r.Cost, Code: uint32(r.Code)}
		if o.noProof == nil {
			j.Receipt = o.receipt
		}
		if refused == nil {
			j.Tx = fmt.Sprintf("%x", r.Tx)
		} else {
			j.Reason = refused.Error()
		}
		if r.Pending {
			j.Proposal = &r.Digest
		}
		return errors.Join(json.NewEncoder(out).Encode(j), refused)
	}
	switch {
	case refused != nil:
	case r.Pending:
		fmt.Fprintf(out, "%s: waits for more approvals, block %d\n  parley ledger tx approve %s\n", what, a.Ref.Height, r.Digest.Hex())
	case r.Cost > 0:
		fmt.Fprintf(out, "%s: done for %d units, tx %x, block %d\n", what, r.Cost, r.Tx, a.Ref.Height)
	default:
		fmt.Fprintf(out, "%s: done, tx %x, block %d\n", what, r.Tx, a.Ref.Height)
	}
	return refused
}

// refusal is what the ledger says against an operation, for people, or nil.
func (l *ledgerBook) refusal(r *ledger.Result) error {
	rej := r.Rejection
	if rej == nil {
		return nil
	}
	text := rej.Error()
	if rej.Asset != "" {
		if a, err := l.asset(rej.Asset); err == nil {
			short := *rej
			short.Asset = ""
			short.Have, short.Want = 0, 0
			text = fmt.Sprintf("%s: there is %s %s, and it takes %s", short.Error(),
				ledger.FormatAmount(rej.Have, a.Decimals), rej.Asset, ledger.FormatAmount(rej.Want, a.Decimals))
		}
	}
	switch rej.Code {
	case ledger.CodeUnauthorized:
		text += fmt.Sprintf(". This command acts with key %s (--key names another); where several keys are needed use 'parley ledger tx'", l.session.identity.client.Signing.Public().Hex())
	case ledger.CodeUnknownAccount:
		text += " ('parley ledger account open' opens one)"
	case ledger.CodeUnknownAsset:
		text += " ('parley ledger asset list' has those that there are)"
	}
	return &absentError{text}
}

// ledgerBook is a ledger that a command reads, through the log, at one replica, or not
// at all: then amounts are shown in units.
type ledgerBook struct {
	cmd     *cobra.Command
	ctx     context.Context
	session *session   // or
	replica *directory // the replica at
	at      int
	assets  map[string]ledger.Asset
}

func (l *ledgerBook) ask(q []byte) ([]byte, error) {
	switch {
	case l.session == nil && l.replica == nil:
		return nil, errors.New("nothing is asked")
	case l.session == nil:
		return l.replica.ask(l.ctx, l.at, q)
	}
	a, err := l.session.Do(l.ctx, q)
	switch {
	case err != nil:
		return nil, err
	case a.Result.Code != statemachine.CodeOK:
		return nil, no(fmt.Errorf("the ledger does not take the query: %v", a.Result.Code))
	}
	return a.Result.Data, nil
}

// get reads one record; an absence is the error of absent.
func (l *ledgerBook) get(key []byte, absent string) ([]byte, error) {
	b, err := l.ask(ledger.GetQuery(key))
	if err != nil {
		return nil, err
	}
	v, found, err := ledger.DecodeValue(b)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, &absentError{absent}
	}
	return v, nil
}

func (l *ledgerBook) asset(name string) (ledger.Asset, error) {
	if a, ok := l.assets[name]; ok {
		return a, nil
	}
	if err := ledger.CheckAssetName(name); err != nil {
		return ledger.Asset{}, usagef(l.cmd, "%v", err)
	}
	v, err := l.get(ledger.AssetKey(name), fmt.Sprintf("there is no asset %s ('parley ledger asset list' has those that there are)", name))
	if err != nil {
		return ledger.Asset{}, err
	}
	a, err := ledger.DecodeAsset(v)
	if err != nil {
		return a, err
	}
	if l.assets == nil {
		l.assets = make(map[string]ledger.Asset)
	}
	l.assets[name] = a
	return a, nil
}

// amount reads an amount as it is written of an asset.
func (l *ledgerBook) amount(asset, text string) (uint64, error) {
	a, err := l.asset(asset)
	if err != nil {
		return 0, err
	}
	n, err := ledger.ParseAmount(text, a.Decimals)
	if err != nil {
		return 0, usagef(l.cmd, "%v", err)
	}
	return n, nil
}

// show writes an amount as it is written of an asset, whose name goes with it.
func (l *ledgerBook) show(asset string, n uint64) string {
	a, err := l.asset(asset)
	if err != nil {
		return fmt.Sprintf("%d units of %s", n, asset)
	}
	return ledger.FormatAmount(n, a.Decimals) + " " + asset
}

func (l *ledgerBook) signed(asset string, n int64) string {
	a, err := l.asset(asset)
	if err != nil {
		return fmt.Sprintf("%d units", n)
	}
	return ledger.FormatSigned(n, a.Decimals)
}

// each calls do with every entry of a range, page by page.
func (l *ledgerBook) each(p ledger.Page, do func(names []string, key, value []byte) error) error {
	for {
		b, err := l.ask(ledger.RangeQuery(p))
		if err != nil {
			return err
		}
		all, more, err := ledger.DecodeRange(b)
		if err != nil {
			return err
		}
		for _, e := range all {
			if err := do(ledger.NamesOf(e.Key), e.Key, e.Value); err != nil {
				return err
			}
			p.After = e.Key
		}
		if !more || len(all) == 0 {
			return nil
		}
	}
}
