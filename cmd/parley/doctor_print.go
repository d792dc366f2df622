package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parley-bft/parley/replica"
)

func printPatients(out io.Writer, patients []patient, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(patients)
	}
	t := newTable(out, "REPLICA", "STATE", "EXECUTED", "DIVERGENCES", "NOTE")
	for i := range patients {
		p := &patients[i]
		executed := "-"
		if p.Source == "replica" {
			executed = fmt.Sprint(p.Report.Executed)
		}
		t.row(p.Name, p.State, executed, len(p.Report.Cases), p.remark())
	}
	if err := t.render(); err != nil {
		return err
	}
	for i := range patients {
		printCases(out, &patients[i])
	}
	return nil
}

func (p *patient) remark() string {
	switch s := p.Scrub; {
	case p.Error != "":
		return p.Error
	case p.Report.Failed != "":
		return p.Report.Failed
	case p.Report.Diverged != 0:
		return fmt.Sprintf("its state differs from the certified one since checkpoint %d", p.Report.Diverged)
	case p.Report.Split != 0:
		return fmt.Sprintf("no certificate can exist for checkpoint %d: the replicas came to different states", p.Report.Split)
	case s != nil && s.Error != "":
		return "its state cannot be read: " + s.Error + ": run 'parley doctor --heal " + p.Data + "'"
	case s != nil && len(s.Damaged) > 0:
		return fmt.Sprintf("its state at height %d is damaged: run 'parley doctor --heal %s'", s.Height, p.Data)
	case s != nil:
		return fmt.Sprintf("its state at height %d is whole: %d keys, %d bytes", s.Height, s.Keys, s.Bytes)
	}
	return ""
}

func printCases(out io.Writer, p *patient) {
	if p.Scrub != nil {
		for _, d := range p.Scrub.Damaged {
			fmt.Fprintf(out, "\n%s: %s\n", p.Name, d)
		}
	}
	printScrub(out, p)
	for i := range p.Report.Cases {
		c := &p.Report.Cases[i]
		fmt.Fprintf(out, "\n%s: HEIGHT %d  AGREED %d  DIFFERS %s  FOUND %s\n", p.Name, c.Height, c.Agreed, orDash(strings.Join(c.Parts, ",")),
			c.Found.Format("2006-01-02 15:04:05"))
		printSides(out, c)
		printStorage(out, c)
		for k := range c.Keys {
			printKey(out, &c.Keys[k])
		}
		if c.MoreKeys {
			fmt.Fprintln(out, "  and more keys")
		}
		if c.Note != "" {
			fmt.Fprintf(out, "  note: %s\n", c.Note)
		}
		for _, r := range c.Repairs {
			fmt.Fprintf(out, "  REPAIRED from %s, %d blocks executed again: %s\n", base(&r), r.Replayed, transferred(&r))
		}
		switch {
		case len(c.Sides) > 0 && c.Healed != nil:
			fmt.Fprintf(out, "  certified again %s\n", c.Healed.Format("2006-01-02 15:04:05"))
		case len(c.Sides) > 0:
			fmt.Fprintf(out, "  what to do: %s\n", replica.WhatToDoAboutSplit)
		case c.Healed != nil:
			fmt.Fprintf(out, "  healed %s, after %v\n", c.Healed.Format("2006-01-02 15:04:05"), c.Healed.Sub(c.Found).Round(1e6))
		case len(c.Repairs) > 0:
			fmt.Fprintln(out, "  not healed: the state came to another one again; it waits for a later snapshot")
		default:
			fmt.Fprintln(out, "  not healed yet: it waits for a certified snapshot of the others, or begins anew if there is none")
		}
	}
}

// printStorage says what of the disk was damaged.
func printStorage(out io.Writer, c *replica.DoctorCase) {
	if !slices.Contains(c.Parts, "storage") {
		return
	}
	fmt.Fprintf(out, "  DAMAGED ON THE DISK: %s\n", c.Reason)
	for _, u := range c.Unreadable {
		if u.File == "" && u.After == nil && u.Before == nil {
			fmt.Fprintf(out, "  not readable: %s\n", u.Reason)
			continue
		}
		fmt.Fprintf(out, "  file %s: not readable after key %s and before key %s\n", orDash(u.File), showValue(u.After), showValue(u.Before))
	}
}

// printScrub says when all of the state was read last.
func printScrub(out io.Writer, p *patient) {
	s := p.Report.Scrub
	if s == nil {
		return
	}
	found := "all of it was what was written"
	if len(s.Damaged) > 0 {
		found = "damaged: " + strings.Join(s.Damaged, "; ")
	}
	fmt.Fprintf(out, "\n%s: scrubbed %s, at height %d, %d keys: %s\n", p.Name, s.At.Format("2006-01-02 15:04:05"), s.Height, s.Keys, found)
}

// printSides says who has which state, if no certificate can exist.
func printSides(out io.Writer, c *replica.DoctorCase) {
	if len(c.Sides) == 0 {
		return
	}
	fmt.Fprintf(out, "  NO CERTIFICATE CAN EXIST for checkpoint %d: no state has a quorum, nor can get one\n", c.Height)
	for _, s := range c.Sides {
		here := ""
		if s.Here {
			here = " (here)"
		}
		fmt.Fprintf(out, "    state %.16s  results %.16s  %s%s\n", s.State, s.Results, strings.Join(s.Replicas, ", "), here)
	}
}

// base says what a repair began with.
func base(r *replica.DoctorRepair) string {
	if r.Base == 0 {
		return "the beginning"
	}
	return fmt.Sprintf("checkpoint %d", r.Base)
}

func transferred(r *replica.DoctorRepair) string {
	switch {
	case r.Whole && r.Base == 0:
		return "the state that the application began with"
	case r.Whole:
		return "the whole snapshot"
	}
	return fmt.Sprintf("%d keys changed, %d of them damaged, %d bytes received in %d requests", r.Changed, r.Damaged, r.Received, r.Requests)
}

func printKey(out io.Writer, k *replica.DoctorKey) {
	what := ""
	if k.Damaged {
		what = " (damaged: no operation wrote this)"
	}
	fmt.Fprintf(out, "  key %v%s\n    here  %s\n    there %s\n", k.Key, what, showValue(k.Here), showValue(k.There))
	if o := k.Operation; o != nil {
		where := fmt.Sprintf("operation %d of request %d of client %.16s", o.Index, o.Seq, o.Client)
		if o.Index < 0 {
			where = "the beginning or end of the block itself"
		}
		fmt.Fprintf(out, "    written by %s in block %d: %v\n", where, o.Block, o.Data)
	} else if k.Written != 0 {
		fmt.Fprintf(out, "    last written in block %d\n", k.Written)
	}
}

func showValue(b *replica.DoctorBytes) string {
	if b == nil {
		return "(none)"
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
