package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// verifier reads back what load wrote.
type verifier struct {
	target
	everyReplica bool
	exactlyOnce  bool
	json         bool
}

// verifyRow is what one replica, or the log, turned out to have.
type verifyRow struct {
	Source   string   `json:"source"`
	Executed uint64   `json:"executed,omitempty"`
	Revision uint64   `json:"revision,omitempty"`
	Digest   string   `json:"digest,omitempty"`
	Equal    int      `json:"equal"`
	Missing  int      `json:"missing"`
	Differ   int      `json:"differ"`
	Versions int      `json:"wrongVersions"`
	Examples []string `json:"examples,omitempty"`
	Error    string   `json:"error,omitempty"`
}

func (r *verifyRow) bad() int { return r.Missing + r.Differ + r.Versions }

func newVerifyLoad() *cobra.Command {
	v := &verifier{target: target{app: kvApplication.name}}
	cmd := &cobra.Command{
		Use:   "verify-load FILE",
		Short: "Read back what load wrote, and compare",
		Long: `Read every record of FILE back and compare: each key must have the value of its
last line. Without --every-replica the reads go through the log. With it the store
of each replica is read by itself, after all have caught up, and the digests of
their states are compared too.

--exactly-once also demands that the version of each key is the number of its lines
in FILE: nothing was executed twice. (The keys must not have existed before.)

Exit code 6 if anything differs, 1 if nothing does but a replica cannot be read.`,
		Example: `  parley verify-load --dir demo packages.txt
  parley verify-load --dir demo --every-replica --exactly-once packages.txt`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := v.resolve(cmd); err != nil {
				return err
			}
			records, err := loadRecords(cmd, args[0])
			if err != nil {
				return err
			}
			return v.run(cmd, records)
		},
	}
	v.flags(cmd, 10*time.Minute)
	cmd.Flags().BoolVar(&v.everyReplica, "every-replica", false, "read each replica's own store, and compare the state digests")
	cmd.Flags().BoolVar(&v.exactlyOnce, "exactly-once", false, "check the version of each key too")
	cmd.Flags().BoolVar(&v.json, "json", false, "print JSON")
	return cmd
}

func (v *verifier) run(cmd *cobra.Command, records []record) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), v.timeout)
	defer cancel()
	want := expectations(records)
	var rows []verifyRow
	var err error
	if v.everyReplica {
		rows, err = v.replicas(ctx, want)
	} else {
		rows, err = v.log(ctx, cmd, want)
	}
	if err != nil {
		return err
	}
	equal, err := printVerify(cmd.OutOrStdout(), rows, v.json, v.everyReplica)
	if err != nil {
		return err
	}
	var problems []error
	differ := false
	for i := range rows {
		r := &rows[i]
		if r.Error != "" {
			problems = append(problems, fmt.Errorf("%s: %s", r.Source, r.Error))
		}
		if r.bad() > 0 {
			differ = true
			problems = append(problems, fmt.Errorf("%s: %d missing, %d differ, %d with a wrong version: %v", r.Source, r.Missing, r.Differ, r.Versions, r.Examples))
		}
	}
	if v.everyReplica && !equal {
		differ = true
		problems = append(problems, errors.New("the state digests differ"))
	}
	if len(problems) == 0 {
		return nil
	}
	problem := fmt.Errorf("not all is as it should be:\n%w", errors.Join(problems...))
	if !differ {
		return problem
	}
	return &invalidError{problem.Error()}
}

// compare judges one key.
func (v *verifier) compare(row *verifyRow, key string, want expected, have *kv.KeyValue) {
	example := func(format string, args ...any) {
		if len(row.Examples) < 5 {
			row.Examples = append(row.Examples, fmt.Sprintf("line %d, key %s: ", want.line, text([]byte(key)))+fmt.Sprintf(format, args...))
		}
	}
	switch {
	case have == nil:
		row.Missing++
		example("missing")
	case !bytes.Equal(have.Value, want.value):
		row.Differ++
		example("value %.60q, not %.60q", have.Value, want.value)
	case v.exactlyOnce && have.Version != want.times:
		row.Versions++
		example("version %d, not %d", have.Version, want.times)
	default:
		row.Equal++
	}
}

// logReaders is how many reads through the log are under way at once.
const logReaders = 4096

// log reads through the log.
func (v *verifier) log(ctx context.Context, cmd *cobra.Command, want map[string]expected) ([]verifyRow, error) {
	dial, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	s, err := v.connect(dial, nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	row := verifyRow{Source: "log"}
	keys := make(chan string)
	finished := make(chan struct{})
	var mu sync.Mutex
	var failed error
	var readers sync.WaitGroup
	for range min(logReaders, len(want)) {
		readers.Go(func() {
			for key := range keys {
				r, err := readKey(ctx, s.Client, key)
				mu.Lock()
				switch {
				case err != nil:
					failed = cmp.Or(failed, err)
				case !r.Found:
					v.compare(&row, key, want[key], nil)
				default:
					v.compare(&row, key, want[key], &r.KV)
				}
				mu.Unlock()
			}
		})
	}
	go func() {
		defer close(finished)
		for key := range want {
			keys <- key
		}
		close(keys)
		readers.Wait()
	}()
	showProgress(cmd.ErrOrStderr(), "read", len(want), finished, func() int {
		mu.Lock()
		defer mu.Unlock()
		return row.Equal + row.bad()
	})
	return []verifyRow{row}, failed
}

func readKey(ctx context.Context, c *client.Client, key string) (kv.Result, error) {
	if ctx.Err() != nil {
		return kv.Result{}, ctx.Err()
	}
	a, err := c.Do(ctx, kv.Get([]byte(key)))
	if err != nil {
		return kv.Result{}, err
	}
	r, err := kv.DecodeResult(a.Result)
	if err != nil {
		return r, err
	}
	return r, r.Err()
}

// replicas reads every replica's own store.
func (v *verifier) replicas(ctx context.Context, want map[string]expected) ([]verifyRow, error) {
	d, err := v.direct()
	if err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.awaitLevel(ctx); err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	rows := make([]verifyRow, d.roster.N())
	for i := range rows {
		rows[i].Source = d.roster.Member(crypto.ReplicaID(i)).Name
		if err := v.replica(ctx, d, i, keys, want, &rows[i]); err != nil {
			rows[i].Error = plain(err.Error())
		}
	}
	return rows, nil
}

// awaitLevel waits until all replicas have executed equally much.
func (d *directory) awaitLevel(ctx context.Context) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		s := d.states(ctx, 3*time.Second)
		low, high := ^uint64(0), uint64(0)
		for i := range s.Replicas {
			if r := &s.Replicas[i]; r.Reachable {
				low, high = min(low, r.Status.Executed), max(high, r.Status.Executed, r.Status.Committed)
			}
		}
		if s.Reachable == len(s.Replicas) && low == high {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until all replicas have executed equally much: %d of %d can be reached, the last has executed %d blocks, the first %d: %w",
				s.Reachable, len(s.Replicas), low, high, ctx.Err())
		case <-ticker.C:
		}
	}
}

// replica compares a replica's keys with the expected ones, both in order.
func (v *verifier) replica(ctx context.Context, d *directory, i int, keys []string, want map[string]expected, row *verifyRow) error {
	start, end := []byte(keys[0]), kv.Next([]byte(keys[len(keys)-1]))
	next := 0
	for {
		r, _, err := d.query(ctx, i, kv.Range(start, end, kv.RangeOptions{}))
		if err != nil {
			return err
		}
		for j := range r.KVs {
			have := string(r.KVs[j].Key)
			for next < len(keys) && keys[next] < have {
				v.compare(row, keys[next], want[keys[next]], nil)
				next++
			}
			if next < len(keys) && keys[next] == have {
				v.compare(row, have, want[have], &r.KVs[j])
				next++
			}
		}
		if !r.More || len(r.KVs) == 0 {
			break
		}
		start = kv.Next(r.KVs[len(r.KVs)-1].Key)
	}
	for ; next < len(keys); next++ {
		v.compare(row, keys[next], want[keys[next]], nil)
	}
	r, height, err := d.stateDigest(ctx, i)
	if err != nil {
		return err
	}
	row.Executed, row.Digest, row.Revision = height, r.Digest.Hex(), r.Revision
	return nil
}

// digestPatience is how long a replica may have no digest: it takes one at checkpoints, of
// which one comes soon after the last operation.
const digestPatience = 30 * time.Second

// stateDigest asks a replica for the digest of its state. In a store it is there where the
// last block is a checkpoint.
func (d *directory) stateDigest(ctx context.Context, i int) (kv.Result, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, digestPatience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		r, height, err := d.query(ctx, i, kv.DigestQuery())
		if err == nil || !strings.Contains(err.Error(), store.ErrNoProof.Error()) {
			return r, height, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return r, height, fmt.Errorf("%w (asked for %v: is the cluster at work?)", err, digestPatience)
		}
	}
}

func printVerify(out io.Writer, rows []verifyRow, asJSON, digests bool) (equal bool, err error) {
	equal = true
	digest, unread := "", 0
	for i := range rows {
		if rows[i].Error != "" {
			unread++
			continue
		}
		digest = cmp.Or(digest, rows[i].Digest)
		equal = equal && rows[i].Digest == digest
	}
	if asJSON {
		return equal, json.NewEncoder(out).Encode(struct {
			Sources      []verifyRow `json:"sources"`
			DigestsEqual bool        `json:"digestsEqual"`
		}{rows, equal})
	}
	if !digests {
		t := newTable(out, "SOURCE", "EQUAL", "MISSING", "DIFFERENT", "WRONG VERSION")
		for i := range rows {
			r := &rows[i]
			t.row(r.Source, r.Equal, r.Missing, r.Differ, r.Versions)
		}
		return equal, t.render()
	}
	t := newTable(out, "SOURCE", "EQUAL", "MISSING", "DIFFERENT", "WRONG VERSION", "EXECUTED", "REVISION", "STATE DIGEST")
	for i := range rows {
		r := &rows[i]
		t.row(r.Source, r.Equal, r.Missing, r.Differ, r.Versions, r.Executed, r.Revision, r.Digest)
	}
	if err := t.render(); err != nil {
		return equal, err
	}
	verdict := "All state digests are equal."
	switch {
	case !equal:
		verdict = "THE STATE DIGESTS DIFFER."
	case unread > 0:
		verdict = fmt.Sprintf("%d of %d replicas could not be read; the state digests of the others are equal.", unread, len(rows))
	}
	_, err = fmt.Fprintln(out, verdict)
	return equal, err
}
