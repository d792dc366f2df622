package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// auditRow is what the audit of one replica came to.
type auditRow struct {
	Replica  string            `json:"replica"`
	Height   uint64            `json:"height,omitempty"`
	Accounts uint64            `json:"accounts"`
	Holdings uint64            `json:"holdings"`
	Entries  uint64            `json:"entries"` // lines of statements
	Holds    uint64            `json:"holds"`
	Lines    uint64            `json:"lines"`
	Supplies map[string]uint64 `json:"suppliesUnits,omitempty"`
	Content  string            `json:"content,omitempty"` // digest of all of it
	Wrong    string            `json:"wrong,omitempty"`
	Error    string            `json:"error,omitempty"` // it could not be read
}

func newLedgerAudit() *cobra.Command {
	t := target{app: ledgerApplication.name}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "audit", Short: "Check the books of every replica", Args: exactArgs(),
		Long: `Read all of the ledger at every replica, as it was after one block, and check that it adds
up: that balances and holds are what was issued less what was retired, that what is owed
on trust lines cancels out, and that every line of every statement follows on the one
before, from nothing to what the account has. The replicas must also have the very same.

Nothing that a replica says is trusted but what it says of itself. Replicas remember the
last blocks only: on a cluster that works hard the audit may find that the block is
forgotten; then do it in a calmer hour. Exit code 6 if something does not add up.`,
		Example: `  parley ledger audit --dir demo`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), t.timeout)
			defer cancel()
			d, err := t.direct()
			if err != nil {
				return err
			}
			defer d.close()
			rows := d.audit(ctx, nil)
			return printAudit(cmd.OutOrStdout(), rows, asJSON)
		},
	}
	t.flags(cmd, 10*time.Minute)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// audit audits every replica at a height that all of them have. look, if not nil, is shown
// every entry of the state, for each replica on a goroutine of its own.
func (d *directory) audit(ctx context.Context, look func(i int, e *ledger.KeyValue)) []auditRow {
	rows := make([]auditRow, d.roster.N())
	heights := make([]uint64, len(rows))
	each := func(do func(i int) error) {
		var all sync.WaitGroup
		for i := range rows {
			if rows[i].Error != "" {
				continue
			}
			all.Go(func() {
				if err := do(i); err != nil {
					rows[i].Error = plain(err.Error())
				}
			})
		}
		all.Wait()
	}
	each(func(i int) error {
		rows[i].Replica = d.name(i)
		b, err := d.ask(ctx, i, ledger.HeightQuery())
		if err != nil {
			return err
		}
		heights[i], err = ledger.DecodeHeight(b)
		return err
	})
	lowest := ^uint64(0)
	for i, h := range heights {
		if rows[i].Error == "" {
			lowest = min(lowest, h)
		}
	}
	each(func(i int) error { return d.auditOne(ctx, i, lowest, &rows[i], look) })
	return rows
}

// auditOne reads all of one replica's ledger at a height.
func (d *directory) auditOne(ctx context.Context, i int, height uint64, row *auditRow, look func(int, *ledger.KeyValue)) error {
	a, content := ledger.NewAuditor(true), sha256.New()
	var p ledger.Page
	var n [8]byte
	for {
		b, err := d.ask(ctx, i, ledger.RangeAtQuery(height, p))
		if err != nil {
			return err
		}
		all, more, err := ledger.DecodeRange(b)
		if err != nil {
			return err
		}
		for k := range all {
			e := &all[k]
			if look != nil {
				look(i, e)
			}
			if string(e.Key) <= string(p.After) {
				return fmt.Errorf("its answer is out of order")
			}
			a.Add(e.Key, e.Value)
			binary.BigEndian.PutUint32(n[:4], uint32(len(e.Key)))
			binary.BigEndian.PutUint32(n[4:], uint32(len(e.Value)))
			content.Write(n[:])
			content.Write(e.Key)
			content.Write(e.Value)
			p.After = e.Key
		}
		if !more || len(all) == 0 {
			break
		}
	}
	if err := a.Finish(); err != nil {
		row.Wrong = err.Error()
	}
	row.Height, row.Accounts, row.Holdings, row.Entries, row.Holds, row.Lines = height, a.Accounts, a.Holdings, a.Entries, a.Holds, a.Lines
	row.Supplies, row.Content = a.Supplies(), hex.EncodeToString(content.Sum(nil))
	return nil
}

func printAudit(out io.Writer, rows []auditRow, asJSON bool) error {
	wrong, unread, differ, content := 0, 0, false, ""
	for i := range rows {
		switch r := &rows[i]; {
		case r.Error != "":
			unread++
		case r.Wrong != "":
			wrong++
		}
		if c := rows[i].Content; c != "" {
			differ = differ || content != "" && c != content
			content = c
		}
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(struct {
			Replicas []auditRow `json:"replicas"`
			Equal    bool       `json:"equal"`
		}{rows, !differ}); err != nil {
			return err
		}
	} else if err := tableAudit(out, rows); err != nil {
		return err
	}
	switch {
	case wrong > 0:
		return &invalidError{fmt.Sprintf("the books of %d of %d replicas are wrong", wrong, len(rows))}
	case differ:
		return &invalidError{"the replicas have different ledgers at one height"}
	case unread > 0:
		return fmt.Errorf("%d of %d replicas could not be read; the books of the others are right and equal", unread, len(rows))
	}
	if !asJSON {
		fmt.Fprintln(out, "All books add up, and all replicas have the same.")
	}
	return nil
}

func tableAudit(out io.Writer, rows []auditRow) error {
	t := newTable(out, "REPLICA", "BLOCK", "ACCOUNTS", "HOLDINGS", "STATEMENT LINES", "HOLDS", "TRUST LINES", "CONTENT", "VERDICT")
	var notes []error
	supplies := map[string]uint64{}
	for i := range rows {
		r := &rows[i]
		verdict := "adds up"
		switch {
		case r.Error != "":
			verdict = "unread"
			notes = append(notes, fmt.Errorf("%s: %s", r.Replica, r.Error))
		case r.Wrong != "":
			verdict = "WRONG"
			notes = append(notes, fmt.Errorf("%s: %s", r.Replica, r.Wrong))
		default:
			supplies = r.Supplies
		}
		t.row(r.Replica, r.Height, r.Accounts, r.Holdings, r.Entries, r.Holds, r.Lines, r.Content[:min(8, len(r.Content))], verdict)
	}
	if err := t.render(); err != nil {
		return err
	}
	if err := errors.Join(notes...); err != nil {
		fmt.Fprintln(out, err)
	}
	for _, name := range slices.Sorted(maps.Keys(supplies)) {
		fmt.Fprintf(out, "supply of %s: %d units\n", name, supplies[name])
	}
	return nil
}
