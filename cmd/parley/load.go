package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/statemachine/kv"
)

// loadFlags are the flags of load.
type loadFlags struct {
	target
	concurrency int
	receipts    string
	sample      int
	json        bool
	verify      bool
}

// loadSummary is what load prints at the end.
type loadSummary struct {
	Records       int     `json:"records"`
	Loaded        int     `json:"loaded"`
	Failed        int     `json:"failed"`
	Unknown       int     `json:"unknown"`
	Seconds       float64 `json:"seconds"`
	PerSecond     float64 `json:"perSecond"`
	PauseSeconds  float64 `json:"longestPauseSeconds"`
	PauseAfter    int     `json:"longestPauseAfter"`
	Retries       uint64  `json:"retries"`
	SubmittedAnew int     `json:"submittedAnew"`
	Requests      uint64  `json:"requests"`
	Receipts      int     `json:"receipts"`
}

func newLoad() *cobra.Command {
	f := &loadFlags{target: target{app: kvApplication.name}}
	cmd := &cobra.Command{
		Use:   "load FILE",
		Short: "Put many keys from a file",
		Long: `Put every line of FILE (- is standard input): a key, then a tab, or else the first
space or '=', then the value. Empty lines and lines that begin with # are left out.
All lines are checked before anything is sent, and bad ones are named by number.

Replicas may fail and change meanwhile: the client repeats the same signed request
until its outcome is certain, so every line is executed exactly once. Lines with
the same key are put in the order of the file.

The summary has the longest pause between two completed operations: what a client
notices of a failover. With --receipts the proofs of --sample random records are
kept, as DIR/LINE.receipt, for 'parley verify-receipt'.`,
		Example: `  parley load --dir demo packages.txt
  parley load --dir demo --receipts proofs --sample 100 packages.txt
  sort data.txt | parley load --dir demo -`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.target.flags(cmd, 0)
	s := cmd.Flags()
	s.DurationVar(&f.timeout, "timeout", 30*time.Minute, "how long all of it may take")
	s.IntVar(&f.concurrency, "concurrency", 4096, "records under way at once; they share signed requests")
	s.StringVar(&f.receipts, "receipts", "", "folder for receipts")
	s.IntVar(&f.sample, "sample", 100, "of how many random records to keep the receipt, with --receipts")
	s.BoolVar(&f.json, "json", false, "print the summary as JSON")
	s.BoolVar(&f.verify, "verify", false, "read everything back from every replica afterwards, as verify-load --every-replica does")
	return cmd
}

func (f *loadFlags) run(cmd *cobra.Command, path string) error {
	if f.concurrency < 1 || f.concurrency > 60000 {
		return usagef(cmd, "--concurrency is %d: give 1 to 60000", f.concurrency)
	}
	if f.sample < 0 {
		return usagef(cmd, "--sample is %d: give a number from 0", f.sample)
	}
	if err := f.resolve(cmd); err != nil {
		return err
	}
	records, err := loadRecords(cmd, path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	dial, cancelDial := context.WithTimeout(ctx, operationTimeout)
	defer cancelDial()
	s, err := f.connect(dial, nil)
	if err != nil {
		return err
	}
	defer s.close()
	l := &loader{client: s.Client, concurrency: f.concurrency}
	if f.receipts != "" {
		if err := os.MkdirAll(f.receipts, 0o755); err != nil {
			return err
		}
		l.wanted = sample(len(records), f.sample)
		l.keep = func(r *record, proof *receipt.Receipt) error {
			return writeNew(filepath.Join(f.receipts, fmt.Sprintf("%d.receipt", r.line)), proof.Encode())
		}
	}
	sum := f.load(ctx, cmd, l, s.Client, records)
	if err := printLoad(cmd, &sum, f.json); err != nil {
		return err
	}
	if err := loadError(ctx, l, &sum); err != nil {
		return err
	}
	if !f.verify {
		return nil
	}
	v := verifier{target: f.target, everyReplica: true, json: f.json}
	return v.run(cmd, records)
}

func loadRecords(cmd *cobra.Command, path string) ([]record, error) {
	in, err := openInput(path, cmd.InOrStdin())
	if err != nil {
		return nil, fmt.Errorf("file to load: %w", err)
	}
	defer in.Close()
	records, err := readRecords(in, kv.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s: it has no records", path)
	}
	return records, nil
}

// sample chooses k of n.
func sample(n, k int) map[int]bool {
	m := make(map[int]bool, k)
	for _, i := range rand.Perm(n)[:min(n, k)] {
		m[i] = true
	}
	return m
}

// load runs the loader under a progress display.
func (f *loadFlags) load(ctx context.Context, cmd *cobra.Command, l *loader, c *client.Client, records []record) loadSummary {
	begin := time.Now()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.run(ctx, records)
	}()
	showProgress(cmd.ErrOrStderr(), "loaded", len(records), finished, func() int { return l.progress().done })
	took := time.Since(begin)
	stats := c.Stats()
	return loadSummary{
		Records: len(records), Loaded: l.done, Failed: len(l.failures), Unknown: l.unknown, Seconds: took.Seconds(),
		PerSecond: float64(l.done) / took.Seconds(), PauseSeconds: l.pause.Seconds(), PauseAfter: l.pauseAt,
		Retries: stats.Retries, SubmittedAnew: l.again, Requests: stats.Requests, Receipts: l.receipts,
	}
}

func printLoad(cmd *cobra.Command, s *loadSummary, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	fmt.Fprintf(out, "loaded %d of %d records in %.2f s: %.0f records/s in %d requests\n", s.Loaded, s.Records, s.Seconds, s.PerSecond, s.Requests)
	fmt.Fprintf(out, "longest pause between completed records %.3f s, after %d of them; %d requests were repeated\n", s.PauseSeconds, s.PauseAfter, s.Retries)
	if s.Receipts > 0 {
		fmt.Fprintf(out, "%d receipts kept\n", s.Receipts)
	}
	return nil
}

func loadError(ctx context.Context, l *loader, s *loadSummary) error {
	if s.Failed == 0 && s.Loaded == s.Records {
		if len(l.noProof) == 0 {
			return nil
		}
		return &noProofError{"all records are loaded", fmt.Errorf("%d of %d receipts are missing\n%w", len(l.noProof), len(l.wanted), firstErrors(l.noProof))}
	}
	why := ""
	switch {
	case interrupted(ctx):
		why = ", interrupted"
	case ctx.Err() != nil:
		why = ", time ran out (--timeout)"
	}
	err := fmt.Errorf("%d records were not loaded, of which %d may have been%s", s.Records-s.Loaded, s.Unknown, why)
	if len(l.failures) > 0 {
		err = fmt.Errorf("%w\n%w", err, firstErrors(l.failures))
	}
	if s.Unknown > 0 {
		err = fmt.Errorf("%w (%w)", err, client.ErrOutcomeUnknown)
	}
	return err
}

// firstErrors joins the first few.
func firstErrors(failed []recordError) error {
	var errs []error
	for i := range failed[:min(len(failed), maxLineErrors)] {
		errs = append(errs, &failed[i])
	}
	return errors.Join(errs...)
}
