package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// ask asks one replica's application as it is.
func (d *directory) ask(ctx context.Context, i int, q []byte) ([]byte, error) {
	m, err := d.replica(i).Query(ctx, &api.QueryRequest{Query: q})
	if err != nil {
		return nil, fmt.Errorf("query %s at %s: %w", d.name(i), d.roster.Member(crypto.ReplicaID(i)).ClientAddress, err)
	}
	return m.Answer, nil
}

// ledgerRead is a command that reads.
type ledgerRead struct {
	operation
	from int // replica, or anyReplica
}

func newLedgerRead(cmd *cobra.Command, read func(*ledgerRead, *ledgerBook, []string) error) *cobra.Command {
	r := &ledgerRead{operation: operation{target: target{app: ledgerApplication.name}}}
	r.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&r.json, "json", false, "print JSON")
	replicaFlag(cmd, &r.from)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if r.from == anyReplica {
			return r.session(cmd, func(ctx context.Context, s *session) error {
				return read(r, &ledgerBook{cmd: cmd, ctx: ctx, session: s}, args)
			})
		}
		if err := r.resolve(cmd); err != nil {
			return err
		}
		d, err := r.direct()
		if err != nil {
			return err
		}
		defer d.close()
		if r.from < 0 || r.from >= d.roster.N() {
			return usagef(cmd, "--replica is %d: the cluster has 0 to %d", r.from, d.roster.N()-1)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), r.timeout)
		defer cancel()
		return read(r, &ledgerBook{cmd: cmd, ctx: ctx, replica: d, at: r.from}, args)
	}
	return cmd
}

// table prints rows, or JSON objects with the header's words as names.
func (r *ledgerRead) table(l *ledgerBook, header []string, rows [][]string) error {
	out := l.cmd.OutOrStdout()
	if r.json {
		e := json.NewEncoder(out)
		for _, row := range rows {
			o := make(map[string]string, len(header))
			for i, name := range header {
				o[strings.ToLower(strings.ReplaceAll(name, " ", ""))] = row[i]
			}
			if err := e.Encode(o); err != nil {
				return err
			}
		}
		return nil
	}
	cells := func(row []string) (all []any) {
		for _, c := range row {
			all = append(all, c)
		}
		return all
	}
	t := newTable(out, cells(header)...)
	for _, row := range rows {
		t.row(cells(row)...)
	}
	return t.render()
}

func newLedgerAccountShow() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "show NAME", Short: "What an account has", Args: exactArgs("NAME"),
		Long:    "The keys of an account, and what it has, of each asset: to spend, on hold, and owed to it on\ntrust lines (negative: what it owes).",
		Example: `  parley ledger account show --dir demo alice`,
	}, func(r *ledgerRead, l *ledgerBook, args []string) error {
		if err := accountNames(l, args[0]); err != nil {
			return err
		}
		v, err := l.get(ledger.AccountKey(args[0]), "there is no account "+args[0])
		if err != nil {
			return err
		}
		a, err := ledger.DecodeAccount(v)
		if err != nil {
			return err
		}
		if !r.json {
			out := l.cmd.OutOrStdout()
			fmt.Fprintf(out, "%s: %d of %d keys, sequence number %d, %d open holds, %d offers, %d trust lines\n", args[0], a.Threshold, len(a.Keys), a.Sequence, a.Holds, a.Offers, a.Lines)
			for _, k := range a.Keys {
				fmt.Fprintf(out, "  key %s\n", k.Hex())
			}
		}
		var rows [][]string
		err = l.each(ledger.HoldingsPage(args[0]), func(names []string, _, v []byte) error {
			h, err := ledger.DecodeHolding(v)
			if err != nil {
				return err
			}
			as, err := l.asset(names[1])
			if err != nil {
				return err
			}
			rows = append(rows, []string{names[1], ledger.FormatAmount(h.Balance, as.Decimals), ledger.FormatAmount(h.Held, as.Decimals), ledger.FormatSigned(h.Credit, as.Decimals), marks(&h)})
			return nil
		})
		if err != nil {
			return err
		}
		return r.table(l, []string{"ASSET", "BALANCE", "HELD", "OWED", "MARKS"}, rows)
	})
}

func marks(h *ledger.Holding) string {
	var all []string
	if h.Frozen {
		all = append(all, "frozen")
	}
	if h.Admitted {
		all = append(all, "admitted")
	}
	return strings.Join(all, " ")
}

func newLedgerAccountList() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "list", Short: "All accounts", Args: exactArgs(), Long: "All accounts, in order.", Example: `  parley ledger account list --dir demo`,
	}, func(r *ledgerRead, l *ledgerBook, _ []string) error {
		var rows [][]string
		err := l.each(ledger.AccountsPage(), func(names []string, _, v []byte) error {
			a, err := ledger.DecodeAccount(v)
			rows = append(rows, []string{names[0], fmt.Sprintf("%d of %d", a.Threshold, len(a.Keys)), fmt.Sprint(a.Sequence)})
			return err
		})
		if err != nil {
			return err
		}
		return r.table(l, []string{"ACCOUNT", "KEYS", "SEQUENCE"}, rows)
	})
}

func assetRow(name string, a *ledger.Asset) []string {
	most, state := "", strings.Join(a.Rules.Names(), " ")
	if a.MaxSupply < ledger.MaxAmount {
		most = ledger.FormatAmount(a.MaxSupply, a.Decimals)
	}
	if a.Frozen {
		state += " FROZEN"
	}
	if a.Closed {
		state += " CLOSED"
	}
	return []string{name, a.Issuer, ledger.FormatAmount(a.Supply(), a.Decimals), most, ledger.FormatTotal(a.Issued, a.Decimals), ledger.FormatTotal(a.Retired, a.Decimals), strings.TrimSpace(state), a.Description}
}

var assetHeader = []string{"ASSET", "ISSUER", "SUPPLY", "MAX", "ISSUED", "RETIRED", "RULES", "DESCRIPTION"}

func newLedgerAssetShow() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "show ASSET", Short: "An asset: its issuer, supply and rules", Args: exactArgs("ASSET"),
		Long: "The issuer of an asset, how much there is of it, and its rules.", Example: `  parley ledger asset show --dir demo EUR`,
	}, func(r *ledgerRead, l *ledgerBook, args []string) error {
		a, err := l.asset(args[0])
		if err != nil {
			return err
		}
		return r.table(l, assetHeader, [][]string{assetRow(args[0], &a)})
	})
}

func newLedgerAssetList() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "list", Short: "All assets", Args: exactArgs(), Long: "All assets, in order.", Example: `  parley ledger asset list --dir demo`,
	}, func(r *ledgerRead, l *ledgerBook, _ []string) error {
		var rows [][]string
		err := l.each(ledger.AssetsPage(), func(names []string, _, v []byte) error {
			a, err := ledger.DecodeAsset(v)
			rows = append(rows, assetRow(names[0], &a))
			return err
		})
		if err != nil {
			return err
		}
		return r.table(l, assetHeader, rows)
	})
}

func newLedgerHoldList() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "list ACCOUNT", Short: "Open holds of an account, and for it", Args: exactArgs("ACCOUNT"),
		Long: "The open holds on an account's balances, and those for it.", Example: `  parley ledger hold list --dir demo alice`,
	}, func(r *ledgerRead, l *ledgerBook, args []string) error {
		var rows [][]string
		row := func(payer, ref string, v []byte) error {
			h, err := ledger.DecodeHold(v)
			if err == nil {
				rows = append(rows, []string{payer, ref, h.To, l.show(h.Asset, h.Amount), blockTime(h.Expires), h.Agent, fmt.Sprint(h.Locked)})
			}
			return err
		}
		if err := accountNames(l, args[0]); err != nil {
			return err
		}
		err := l.each(ledger.HoldsPage(args[0]), func(names []string, _, v []byte) error { return row(names[0], names[1], v) })
		if err == nil {
			err = l.each(ledger.IncomingPage(args[0]), func(names []string, _, _ []byte) error {
				v, err := l.get(ledger.HoldKey(names[1], names[2]), "")
				if isAbsent(err) {
					return nil // it has ended since
				}
				if err != nil {
					return err
				}
				return row(names[1], names[2], v)
			})
		}
		if err != nil {
			return err
		}
		return r.table(l, []string{"FROM", "REF", "TO", "AMOUNT", "UNTIL", "AGENT", "LOCKED"}, rows)
	})
}

func isAbsent(err error) bool {
	var a *absentError
	return errors.As(err, &a)
}

func blockTime(t statemachine.Time) string {
	if t == 0 {
		return ""
	}
	return time.Unix(0, int64(t)).UTC().Format("2006-01-02 15:04:05.000")
}

func newLedgerOfferList() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "list ACCOUNT", Short: "Offers of an account", Args: exactArgs("ACCOUNT"),
		Long: "The offers of an account. PRICE is in the smallest units of both: so many of FOR for so many of\nwhat it SELLS.", Example: `  parley ledger offer list --dir demo maker`,
	}, func(r *ledgerRead, l *ledgerBook, args []string) error {
		if err := accountNames(l, args[0]); err != nil {
			return err
		}
		var rows [][]string
		err := l.each(ledger.OffersPage(args[0]), func(names []string, _, v []byte) error {
			o, err := ledger.DecodeOffer(v)
			kind := "balances"
			if o.Credit {
				kind = "credit"
			}
			rows = append(rows, []string{names[1], l.show(o.Sell, o.Amount), o.Buy, fmt.Sprintf("%d for %d", o.Price[0], o.Price[1]), kind, blockTime(o.Expires)})
			return err
		})
		if err != nil {
			return err
		}
		return r.table(l, []string{"REF", "SELLS", "FOR", "PRICE", "OF", "UNTIL"}, rows)
	})
}

func newLedgerLines() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "lines ACCOUNT", Short: "Trust lines of an account", Args: exactArgs("ACCOUNT"),
		Long:    "The trust lines of an account: what each peer owes it (negative: what it owes the peer), and\nhow much each may owe the other.",
		Example: `  parley ledger lines --dir demo alice`,
	}, func(r *ledgerRead, l *ledgerBook, args []string) error {
		me := args[0]
		if err := accountNames(l, me); err != nil {
			return err
		}
		var rows [][]string
		row := func(peer, asset string, v []byte) error {
			line, err := ledger.DecodeLine(v)
			if err != nil {
				return err
			}
			balance, mine, theirs, ripple := line.Balance, line.LimitLow, line.LimitHigh, line.RippleLow
			if me > peer {
				balance, mine, theirs, ripple = -balance, theirs, mine, line.RippleHigh
			}
			rows = append(rows, []string{peer, asset, l.signed(asset, balance), l.signed(asset, int64(mine)), l.signed(asset, int64(theirs)), fmt.Sprint(ripple)})
			return nil
		}
		err := l.each(ledger.LinesPage(me), func(names []string, _, v []byte) error { return row(names[2], names[1], v) })
		if err == nil {
			err = l.each(ledger.LowerLinesPage(me), func(names []string, _, _ []byte) error {
				v, err := l.get(ledger.LineKey(me, names[2], names[1]), "")
				if isAbsent(err) {
					return nil
				}
				if err != nil {
					return err
				}
				return row(names[2], names[1], v)
			})
		}
		if err != nil {
			return err
		}
		return r.table(l, []string{"PEER", "ASSET", "OWES", "MAY OWE", "MAY BE OWED", "RIPPLE"}, rows)
	})
}

func newLedgerPath() *cobra.Command {
	cmd := &cobra.Command{
		Use: "path ASSET FROM TO AMOUNT", Short: "What a payment on trust lines would cost", Args: exactArgs("ASSET", "FROM", "TO", "AMOUNT"),
		Long:    "The path that 'parley ledger pay' would take now, and what it would cost. Exit code 4 if\nthere is none.",
		Example: `  parley ledger path --dir demo USD alice bob 10.00 --with EUR`,
	}
	with := cmd.Flags().String("with", "", "the asset to pay in (default ASSET)")
	return newLedgerRead(cmd, func(r *ledgerRead, l *ledgerBook, args []string) error {
		p := &ledger.Pay{Asset: args[0], From: args[1], To: args[2], Source: args[0], Find: true}
		if *with != "" {
			p.Source = *with
		}
		if err := accountNames(l, p.From, p.To); err != nil {
			return err
		}
		var err error
		if p.Amount, err = l.amount(p.Asset, args[3]); err != nil {
			return err
		}
		if _, err = l.asset(p.Source); err != nil {
			return err
		}
		b, err := l.ask(ledger.PathQuery(p, fromNow(0)))
		if err != nil {
			return err
		}
		found, err := ledger.DecodePath(b)
		switch {
		case err != nil:
			return err
		case !found.Found:
			return &absentError{fmt.Sprintf("no path from %s to %s for %s within the limits", p.From, p.To, l.show(p.Asset, p.Amount))}
		}
		hops := []string{p.From + ":" + p.Source}
		for _, h := range found.Hops {
			hops = append(hops, h.Account+":"+h.Asset)
		}
		hops = append(hops, p.To+":"+p.Asset)
		return r.table(l, []string{"COST", "PATH"}, [][]string{{l.show(p.Source, found.Cost), strings.Join(hops, " ")}})
	})
}

func newLedgerStatement() *cobra.Command {
	cmd := &cobra.Command{
		Use: "statement ACCOUNT [ASSET]", Short: "The statement of an account",
		Long: `Every change of what an account has, in one asset or in all: the balance, what is held,
and what is owed to it on trust lines, each with what there was afterwards.`,
		Example: `  parley ledger statement --dir demo alice
  parley ledger statement --dir demo alice EUR --since 24h
  parley ledger statement --dir demo alice EUR --from-height 1200 --limit 50 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactArgs("ACCOUNT")(cmd, args)
		},
	}
	since := cmd.Flags().Duration("since", 0, "only what was within this time until now")
	height := cmd.Flags().Uint64("from-height", 0, "only what was in this block and later")
	number := cmd.Flags().Uint64("from-line", 0, "only from this line of each asset's statement on (from 0)")
	limit := cmd.Flags().Int("limit", 0, "at most so many lines of each asset; 0: all")
	return newLedgerRead(cmd, func(r *ledgerRead, l *ledgerBook, args []string) error {
		if err := accountNames(l, args[0]); err != nil {
			return err
		}
		var names []string
		if len(args) == 2 {
			if _, err := l.asset(args[1]); err != nil {
				return err
			}
			names = args[1:]
		} else {
			err := l.each(ledger.HoldingsPage(args[0]), func(n []string, _, _ []byte) error { names = append(names, n[1]); return nil })
			if err != nil {
				return err
			}
		}
		var all []statementLine
		for _, asset := range names {
			p := ledger.StatementPage{Account: args[0], Asset: asset, Number: *number, Height: *height}
			if *since > 0 {
				p.Time = fromNow(-*since)
			}
			lines, err := l.statement(p, *limit)
			if err != nil {
				return err
			}
			all = append(all, lines...)
		}
		if len(all) == 0 {
			if _, err := l.get(ledger.AccountKey(args[0]), "there is no account "+args[0]); err != nil {
				return err
			}
		}
		sort.SliceStable(all, func(i, j int) bool { return all[i].entry.Height < all[j].entry.Height })
		var rows [][]string
		for _, s := range all {
			rows = append(rows, s.row(l))
		}
		return r.table(l, []string{"BLOCK", "TIME", "ASSET", "LINE", "WHAT", "WITH", "AMOUNT", "BALANCE", "HELD", "OWED", "REF", "MEMO", "TX"}, rows)
	})
}

// statementLine is a line of the statement in an asset.
type statementLine struct {
	asset  string
	number uint64
	entry  ledger.Entry
}

// statement reads lines, page by page; limit 0 is all.
func (l *ledgerBook) statement(p ledger.StatementPage, limit int) (all []statementLine, err error) {
	for {
		if limit > 0 {
			p.Limit = uint32(limit - len(all))
		}
		b, err := l.ask(ledger.StatementQuery(p))
		if err != nil {
			return nil, err
		}
		s, err := ledger.DecodeStatement(b)
		if err != nil {
			return nil, err
		}
		for i, e := range s.Entries {
			all = append(all, statementLine{p.Asset, s.First + uint64(i), e})
		}
		if !s.More || len(s.Entries) == 0 || limit > 0 && len(all) >= limit {
			return all, nil
		}
		p.Number, p.Height, p.Time = s.First+uint64(len(s.Entries)), 0, 0
	}
}

func (s *statementLine) row(l *ledgerBook) []string {
	e := &s.entry
	amount := e.Balance
	if amount == 0 {
		amount = e.Held
	}
	if e.Kind == ledger.EntryCredit {
		amount = e.Credit
	}
	tx := ""
	if e.Tx != (ledger.TxID{}) {
		tx = fmt.Sprintf("%x", e.Tx)
	}
	return []string{
		fmt.Sprint(e.Height), blockTime(e.Time), s.asset, fmt.Sprint(s.number), e.Kind.String(), e.With, l.signed(s.asset, amount),
		l.signed(s.asset, int64(e.BalanceThen)), l.signed(s.asset, int64(e.HeldThen)), l.signed(s.asset, e.CreditThen), e.Ref, e.Memo, tx,
	}
}
