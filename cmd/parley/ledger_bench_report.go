package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/parley-bft/parley/statemachine/ledger"
)

// ledgerBenchResult is what the run came to.
type ledgerBenchResult struct {
	Replicas     int        `json:"replicas"`
	Accounts     int        `json:"accounts"`
	Transfers    int64      `json:"transfers"`
	Signed       bool       `json:"signed"`
	OpenSeconds  float64    `json:"openSeconds"`
	Seconds      float64    `json:"seconds"`
	PerSecond    float64    `json:"transfersPerSecond"`
	Killed       string     `json:"killed,omitempty"` // the primary
	PauseSeconds float64    `json:"longestPauseSeconds"`
	Again        int64      `json:"submittedAnew"`
	AuditSeconds float64    `json:"auditSeconds"`
	Audit        []auditRow `json:"audit"`
	Unexpected   int64      `json:"unexpectedBalances"` // over all replicas
	// PeakMiB is the largest resident size of any replica, CPUSeconds what the processes
	// of all used, StateMiB and DataMiB the largest state and data folder on the disk.
	PeakMiB    float64 `json:"peakRSSMiB,omitempty"`
	CPUSeconds float64 `json:"cpuSeconds,omitempty"`
	StateMiB   float64 `json:"stateMiB"`
	DataMiB    float64 `json:"dataMiB"`
}

// folderMiB is what the files in a folder take; some may go while they are counted.
func folderMiB(dir string) float64 {
	bytes := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				bytes += info.Size()
			}
		}
		return nil
	})
	return float64(bytes) / (1 << 20)
}

// audit checks the books of every replica, and each balance against what was
// acknowledged.
func (b *ledgerBench) audit(ctx context.Context, d *directory, r *ledgerBenchResult) {
	wrong := make([]int64, d.roster.N())
	r.Audit = d.audit(ctx, func(i int, e *ledger.KeyValue) {
		names := ledger.NamesOf(e.Key)
		var n int
		if len(names) != 2 || names[1] != benchAsset {
			return
		}
		if _, err := fmt.Sscanf(names[0], "a%07d", &n); err != nil || string(e.Key) != string(ledger.HoldingKey(names[0], names[1])) {
			return
		}
		if h, err := ledger.DecodeHolding(e.Value); err != nil || n >= b.accounts || int64(h.Balance) != b.want[n].Load() {
			wrong[i]++
		}
	})
	for _, n := range wrong {
		r.Unexpected += n
	}
}

func (b *ledgerBench) print(out io.Writer, r *ledgerBenchResult) error {
	if b.json {
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(out, "%d accounts opened in %.1f s\n", r.Accounts, r.OpenSeconds)
		fmt.Fprintf(out, "%d transfers in %.1f s: %.0f transfers/s", r.Transfers, r.Seconds, r.PerSecond)
		if r.Killed != "" {
			fmt.Fprintf(out, "; %s, the primary, was killed in the middle", r.Killed)
		}
		fmt.Fprintf(out, "\nlongest pause between two acknowledged transfers %.2f s; %d were submitted anew\n", r.PauseSeconds, r.Again)
		if r.PeakMiB > 0 {
			fmt.Fprintf(out, "a replica had at most %.0f MiB in memory; all took %.0f s of processors, the one that was killed from its restart on\n", r.PeakMiB, r.CPUSeconds)
		}
		fmt.Fprintf(out, "on the disk a state takes at most %.0f MiB, a data folder %.0f\n\n", r.StateMiB, r.DataMiB)
	}
	if err := printAudit(out, r.Audit, b.json); err != nil {
		return err
	}
	if r.Unexpected > 0 {
		return &invalidError{fmt.Sprintf("%d balances, over all replicas, are not what the acknowledged transfers come to", r.Unexpected)}
	}
	for i := range r.Audit {
		if want := uint64(2*r.Transfers) + uint64(r.Accounts); r.Audit[i].Entries != want {
			return &invalidError{fmt.Sprintf("the statements of %s have %d lines, %d transfers make %d", r.Audit[i].Replica, r.Audit[i].Entries, r.Transfers, want)}
		}
	}
	if !b.json {
		fmt.Fprintf(out, "Every account has what the acknowledged transfers come to, at every replica.\nAudited in %.1f s.\n", r.AuditSeconds)
	}
	return nil
}
