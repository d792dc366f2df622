package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine/kv"
)

// bench is a closed loop of puts: every client waits for its result before its
// next one.
type bench struct {
	target
	clients    int
	size       int
	keys       int
	seconds    float64
	warmup     float64
	identities string
	json       bool
}

// benchResult is what it measured.
type benchResult struct {
	Clients    int                `json:"clients"`
	Identities string             `json:"identities"`
	ValueBytes int                `json:"valueBytes"`
	Seconds    float64            `json:"seconds"`
	Operations int64              `json:"operations"`
	Errors     int64              `json:"errors"`
	PerSecond  float64            `json:"perSecond"`
	Millis     map[string]float64 `json:"latencyMillis"`
	Retries    uint64             `json:"retries"`
	FirstError string             `json:"firstError,omitempty"`
}

// maxIdentities bounds the connections that a benchmark opens.
const maxIdentities = 512

func newBench() *cobra.Command {
	b := &bench{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and latency",
		Long: `Measure a cluster with a closed loop of puts: each of --clients waits for its result
before it sends the next. Latency is from the call to the result that a blocking
set of replicas agrees on.

With shared identities all clients use one key and one connection to each replica,
so that many operations share one signed request: how a service uses Parley. With
distinct ones each has its own key, connections and signatures; the keys are made
for it, so the cluster must serve anybody (--open of init and cluster).

The keys begin with "bench/" and stay in the store.`,
		Example: `  parley bench --dir demo
  parley bench --dir demo --clients 1 --seconds 5
  parley bench --dir demo --clients 64 --identities distinct --size 1000 --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.validate(cmd); err != nil {
				return err
			}
			r, err := b.run(cmd)
			if err != nil {
				return err
			}
			return printBench(cmd, r, b.json)
		},
	}
	b.flags(cmd, operationTimeout)
	f := cmd.Flags()
	f.IntVar(&b.clients, "clients", 64, "operations under way at once")
	f.IntVar(&b.size, "size", 100, "bytes in a value")
	f.IntVar(&b.keys, "keys", 10_000, "different keys")
	f.Float64Var(&b.seconds, "seconds", 10, "how long to measure")
	f.Float64Var(&b.warmup, "warmup", 2, "seconds before that")
	f.StringVar(&b.identities, "identities", "shared", "shared or distinct: one key for all clients, or one for each")
	f.BoolVar(&b.json, "json", false, "print JSON")
	return cmd
}

func (b *bench) validate(cmd *cobra.Command) error {
	switch {
	case b.clients < 1 || b.clients > 60_000:
		return usagef(cmd, "--clients is %d: give 1 to 60000", b.clients)
	case b.identities != "shared" && b.identities != "distinct":
		return usagef(cmd, "--identities is %q: give shared or distinct", b.identities)
	case b.identities == "distinct" && b.clients > maxIdentities:
		return usagef(cmd, "--clients is %d: at most %d with distinct identities", b.clients, maxIdentities)
	case b.size < 0 || b.size > kv.DefaultLimits().MaxValueBytes:
		return usagef(cmd, "--size is %d: give 0 to %d", b.size, kv.DefaultLimits().MaxValueBytes)
	case b.keys < 1:
		return usagef(cmd, "--keys is %d: give 1 or more", b.keys)
	case b.seconds <= 0 || b.warmup < 0 || b.seconds > 86400 || b.warmup > 86400:
		return usagef(cmd, "--seconds is %v and --warmup %v: give a positive number, and one from 0", b.seconds, b.warmup)
	}
	return b.resolve(cmd)
}

// connectAll returns a client for each identity.
func (b *bench) connectAll(ctx context.Context) (clients []*client.Client, done func(), err error) {
	if b.identities == "shared" {
		s, err := b.connect(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		return []*client.Client{s.Client}, s.close, nil
	}
	ros, err := roster.Load(b.cluster)
	if err != nil {
		return nil, nil, err
	}
	if ros.Cluster.Clients.Admission != crypto.AdmitOpen {
		return nil, nil, errors.New("--identities distinct makes new keys, and this cluster serves only listed clients: use shared, or measure a cluster made with --open")
	}
	done = func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	for range b.clients {
		k, err := keyfile.GenerateClient(rand.Reader)
		if err == nil {
			var c *client.Client
			if c, err = client.Dial(ctx, client.Config{Roster: ros, Key: k.Signing}); err == nil {
				clients = append(clients, c)
			}
		}
		if err != nil {
			done()
			return nil, nil, err
		}
	}
	return clients, done, nil
}

func (b *bench) run(cmd *cobra.Command) (*benchResult, error) {
	dial, cancel := context.WithTimeout(cmd.Context(), b.timeout+time.Duration(b.clients)*50*time.Millisecond)
	defer cancel()
	clients, disconnect, err := b.connectAll(dial)
	if err != nil {
		return nil, err
	}
	defer disconnect()
	measureFrom := time.Now().Add(seconds(b.warmup))
	until := measureFrom.Add(seconds(b.seconds))
	loops := make([]benchLoop, b.clients)
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range loops {
		loops[i] = benchLoop{
			client: clients[i%len(clients)], first: i * b.keys / b.clients, keys: b.keys, timeout: b.timeout, done: &done,
			// 1 us to 2 min, three digits.
			latency: hdrhistogram.New(1, 120_000_000, 3),
		}
		if _, err := rand.Read(loops[i].salt[:]); err != nil {
			return nil, err
		}
		wg.Go(func() { loops[i].run(cmd.Context(), b.size, measureFrom, until) })
	}
	finished := make(chan struct{})
	go func() {
		wg.Wait()
		close(finished)
	}()
	showBenchProgress(cmd.ErrOrStderr(), measureFrom, until, finished, done.Load)
	if interrupted(cmd.Context()) {
		return nil, cmd.Context().Err()
	}
	r := &benchResult{Clients: b.clients, Identities: b.identities, ValueBytes: b.size, Seconds: b.seconds}
	all := hdrhistogram.New(1, 120_000_000, 3)
	for i := range loops {
		all.Merge(loops[i].latency)
		r.Errors += loops[i].errors
		if r.FirstError == "" && loops[i].err != nil {
			r.FirstError = plain(loops[i].err.Error())
		}
	}
	for _, c := range clients {
		r.Retries += c.Stats().Retries
	}
	r.Operations = all.TotalCount()
	r.PerSecond = float64(r.Operations) / b.seconds
	r.Millis = map[string]float64{"mean": all.Mean() / 1000, "min": float64(all.Min()) / 1000, "max": float64(all.Max()) / 1000}
	for name, q := range map[string]float64{"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9} {
		r.Millis[name] = float64(all.ValueAtQuantile(q)) / 1000
	}
	return r, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// benchLoop is one client of the closed loop.
type benchLoop struct {
	client  *client.Client
	first   int
	keys    int
	timeout time.Duration
	salt    [8]byte
	latency *hdrhistogram.Histogram
	done    *atomic.Int64 // of all loops together, from the warm-up on
	errors  int64
	err     error
}

func (l *benchLoop) run(ctx context.Context, size int, from, until time.Time) {
	value := make([]byte, size)
	copy(value, l.salt[:])
	for i := l.first; ; i++ {
		begin := time.Now()
		if ctx.Err() != nil || !begin.Before(until) {
			return
		}
		op := kv.Put(fmt.Appendf(nil, "bench/%d", i%l.keys), value)
		one, cancel := context.WithTimeout(ctx, l.timeout)
		_, err := l.client.Submit(one, op)
		cancel()
		end := time.Now()
		if err == nil {
			l.done.Add(1)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			l.errors++
			l.err = err
		case err == nil && !begin.Before(from) && end.Before(until):
			_ = l.latency.RecordValue(max(1, end.Sub(begin).Microseconds()))
		}
	}
}

func printBench(cmd *cobra.Command, r *benchResult, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	fmt.Fprintf(out, "%d clients (%s identities), puts of %d bytes, %.0f s\n", r.Clients, r.Identities, r.ValueBytes, r.Seconds)
	fmt.Fprintf(out, "%.0f operations/s (%d in all, %d errors, %d requests repeated)\n", r.PerSecond, r.Operations, r.Errors, r.Retries)
	t := newTable(out, "LATENCY", "MIN", "MEAN", "P50", "P90", "P99", "P99.9", "MAX")
	cells := []any{"ms"}
	for _, name := range []string{"min", "mean", "p50", "p90", "p99", "p99.9", "max"} {
		cells = append(cells, fmt.Sprintf("%.2f", r.Millis[name]))
	}
	t.row(cells...)
	if err := t.render(); err != nil {
		return err
	}
	if r.Operations == 0 {
		return fmt.Errorf("no operation ended: %s", r.FirstError)
	}
	if r.FirstError != "" {
		fmt.Fprintf(out, "first error: %s\n", r.FirstError)
	}
	return nil
}
