package main

import (
	"fmt"
	"strings"
	"time"
)

// table is the results in Markdown, a column for each system.
func table(all []*result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %d keys, blocks of %d keys read and written\n\n| |", all[0].Keys, all[0].Ops)
	for _, r := range all {
		fmt.Fprintf(&b, " %s |", r.System)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(all)) + "\n")
	line := func(name string, f func(r *result) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range all {
			fmt.Fprintf(&b, " %s |", f(r))
		}
		b.WriteString("\n")
	}
	number := func(format string, v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	ms := func(d time.Duration) string { return number("%.1f ms", float64(d)/1e6) }
	us := func(d time.Duration) string { return number("%.1f µs", float64(d)/1e3) }
	mib := func(n int64) string { return number("%.0f MiB", float64(n)/(1<<20)) }
	line("blocks/s, with a digest after each", func(r *result) string { return number("%.1f", r.BlocksPerSec) })
	line("processor time of a block", func(r *result) string { return number("%.1f ms", r.CPUMillis) })
	line("commit and digest, median", func(r *result) string { return ms(r.CommitMedian) })
	line("one in a hundred takes", func(r *result) string { return ms(r.Commit99) })
	line("the longest", func(r *result) string { return ms(r.CommitMax) })
	line("written to disk for each byte changed", func(r *result) string { return number("%.1f", r.WrittenPerByte) })
	line("loading", func(r *result) string { return number("%.0f s", r.LoadSeconds) })
	line("disk, loaded", func(r *result) string { return mib(r.LoadedBytes) })
	line("disk, after the blocks", func(r *result) string { return mib(r.Bytes) })
	line("resident memory, most", func(r *result) string { return mib(r.MemoryBytes) })
	line("proof", func(r *result) string { return number("%.0f bytes", r.ProofBytes) })
	line("making (and verifying) a proof", func(r *result) string { return us(r.ProofTime) })
	line("reading a key", func(r *result) string { return us(r.GetTime) })
	line("reading a key 64 blocks ago", func(r *result) string { return us(r.OldGetTime) })
	line("walking over 1000 keys", func(r *result) string { return us(r.WalkTime) })
	return b.String()
}
