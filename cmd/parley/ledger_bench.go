package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// ledgerBench is a run of transfers on a cluster of its own, with the books checked
// afterwards at every replica.
type ledgerBench struct {
	plan                    clusterPlan
	accounts, transfers     int
	concurrency, connection int
	killPrimary, signed     bool
	keep, json              bool
	timeout                 time.Duration

	clients []*client.Client
	keys    []*keyfile.Client
	owners  []*ed25519.Signer // of the accounts, with --signed
	want    []atomic.Int64    // balances
	cluster crypto.Digest
	done    atomic.Int64
	again   atomic.Int64 // submitted anew after it was certain that nothing ran

	mu    sync.Mutex
	last  time.Time
	pause time.Duration
}

func newLedgerBench() *cobra.Command {
	b := &ledgerBench{}
	cmd := &cobra.Command{
		Use: "bench", Short: "Transfers on a cluster of its own, and the books checked afterwards", Args: exactArgs(),
		Long: `Start a cluster of the ledger on this machine, open accounts, and make transfers among
them. When half of them are done the primary is killed (kill -9) and started again. At
the end every replica is audited: that all assets are conserved and all statements add up,
that the replicas have the same, and that each account has what the transfers that were
acknowledged come to.

With --signed every transfer carries the detached signature of its account's own key; else
accounts belong to the keys of the connections, which sign the requests.`,
		Example: `  parley ledger bench --accounts 2000 --transfers 20000
  parley ledger bench                  # a million transfers among 100000 accounts`,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd) },
	}
	d := crypto.DefaultParameters()
	b.plan = clusterPlan{name: "ledger-bench", host: "127.0.0.1", app: ledgerApplication.name, open: true, clientKeys: 1, checkpointEvery: d.CheckpointEvery, window: d.Window}
	f := cmd.Flags()
	f.IntVar(&b.plan.replicas, "replicas", 4, "number of replicas")
	f.StringVar(&b.plan.dir, "dir", "", "folder of the cluster to make (default a temporary one)")
	f.IntVar(&b.accounts, "accounts", 100_000, "accounts")
	f.IntVar(&b.transfers, "transfers", 1_000_000, "transfers")
	f.IntVar(&b.concurrency, "clients", 2048, "transfers under way at once")
	f.IntVar(&b.connection, "connections", 16, "connections that share them")
	f.BoolVar(&b.killPrimary, "kill-primary", true, "kill the primary when half of the transfers are done")
	f.BoolVar(&b.signed, "signed", false, "detached signatures in place of the connections' keys")
	f.BoolVar(&b.keep, "keep", false, "keep the temporary folder")
	f.BoolVar(&b.json, "json", false, "print JSON")
	f.DurationVar(&b.timeout, "timeout", 2*time.Hour, "how long all of it may take")
	return cmd
}

func (b *ledgerBench) check(cmd *cobra.Command) error {
	switch {
	case b.accounts < 2 || b.accounts > 1<<24:
		return usagef(cmd, "--accounts is %d: give 2 to %d", b.accounts, 1<<24)
	case b.transfers < 1:
		return usagef(cmd, "--transfers is %d: give 1 or more", b.transfers)
	case b.connection < 1 || b.connection > 256 || b.connection > b.accounts:
		return usagef(cmd, "--connections is %d: give 1 to 256, and not more than accounts", b.connection)
	case b.concurrency < b.connection || b.concurrency > 60000:
		return usagef(cmd, "--clients is %d: give %d (as many as connections) to 60000", b.concurrency, b.connection)
	case b.killPrimary && b.plan.replicas < 4:
		return usagef(cmd, "--replicas is %d: a cluster of fewer than 4 does not survive its primary; give 4, or --kill-primary=false", b.plan.replicas)
	}
	return nil
}

func (b *ledgerBench) run(cmd *cobra.Command) (err error) {
	if err := b.check(cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), b.timeout)
	defer cancel()
	if b.plan.dir == "" {
		if b.plan.dir, err = os.MkdirTemp("", "parley-ledger-"); err != nil {
			return err
		}
		if !b.keep {
			defer func() { err = errors.Join(err, os.RemoveAll(b.plan.dir)) }()
		}
	}
	if b.plan.basePort, err = freePorts(b.plan.host, b.plan.replicas); err != nil {
		return err
	}
	if err := errors.Join(b.plan.setApplication(), b.plan.validate()); err != nil {
		return usagef(cmd, "%v", err)
	}
	if _, err := b.plan.write(); err != nil {
		return err
	}
	ros, err := roster.Load(clusterFilePath(b.plan.dir))
	if err != nil {
		return err
	}
	b.cluster = ros.Cluster.ID()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s := newSupervisor(program, b.plan.dir, ros.Cluster, true, cmd.ErrOrStderr())
	defer s.stopAll()
	s.startAll()
	defer b.close()
	if err := b.dial(ctx, ros); err != nil {
		return err
	}
	r := ledgerBenchResult{Replicas: ros.N(), Accounts: b.accounts, Signed: b.signed}
	begin := time.Now()
	if err := b.open(ctx, cmd.ErrOrStderr()); err != nil {
		return fmt.Errorf("open accounts: %w", err)
	}
	r.OpenSeconds = time.Since(begin).Seconds()
	d, err := newDirectory(ros, b.keys[0])
	if err != nil {
		return err
	}
	defer d.close()
	if err := b.transfer(ctx, cmd.ErrOrStderr(), s, d, &r); err != nil {
		return err
	}
	begin = time.Now()
	if err := d.awaitLevel(ctx); err != nil {
		return err
	}
	used := readUsage(s.pids())
	r.PeakMiB, r.CPUSeconds = used.peakMiB, used.cpu.Seconds()
	for i := range ros.N() {
		data := filepath.Join(replicaDir(b.plan.dir, i), dataDirName)
		r.StateMiB, r.DataMiB = max(r.StateMiB, folderMiB(filepath.Join(data, replica.StateDir))), max(r.DataMiB, folderMiB(data))
	}
	b.audit(ctx, d, &r)
	r.AuditSeconds = time.Since(begin).Seconds()
	return b.print(cmd.OutOrStdout(), &r)
}

func (b *ledgerBench) close() {
	for _, c := range b.clients {
		_ = c.Close()
	}
}

func (b *ledgerBench) dial(ctx context.Context, ros *roster.Roster) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for range b.connection {
		k, err := keyfile.GenerateClient(rand.Reader)
		if err != nil {
			return err
		}
		c, err := client.Dial(ctx, client.Config{Roster: ros, Key: k.Signing, MaxQueueing: time.Minute})
		if err != nil {
			return err
		}
		b.clients, b.keys = append(b.clients, c), append(b.keys, k)
	}
	return nil
}

const (
	benchAsset   = "EUR"
	benchIssuer  = "issuer"
	benchBalance = 1_000_000 // of each account at the beginning
	// benchBatch is how many accounts one transaction opens.
	benchBatch = 64
)

func benchAccount(i int) string { return fmt.Sprintf("a%07d", i) }

// do runs an operation that must succeed, and again if it is certain that it did not run.
func (b *ledgerBench) do(ctx context.Context, c *client.Client, op []byte) error {
	for {
		res, err := c.Submit(ctx, op)
		switch {
		case err == nil:
			r, err := ledger.DecodeResult(res)
			return errors.Join(err, r.Err())
		case ctx.Err() != nil || errors.Is(err, client.ErrOutcomeUnknown) || errors.Is(err, client.ErrClosed):
			return err
		}
		b.again.Add(1)
		if !pauseAfterFailure(ctx, err) {
			return err
		}
	}
}

// each does n things, as many at once as the flags say, on the connection of each.
func (b *ledgerBench) each(ctx context.Context, n int, do func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(b.concurrency, n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// open opens the accounts and gives each its first balance.
func (b *ledgerBench) open(ctx context.Context, progress io.Writer) error {
	b.want = make([]atomic.Int64, b.accounts)
	if b.signed {
		for range b.accounts {
			k, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			b.owners = append(b.owners, ed25519.NewSigner(k))
		}
	}
	issuer := b.keys[0].Signing.Public()
	if err := b.do(ctx, b.clients[0], ledger.Do(ledger.NewAccount(benchIssuer, 1, issuer), &ledger.DefineAsset{Asset: benchAsset, Issuer: benchIssuer, Decimals: 2})); err != nil {
		return err
	}
	batches := (b.accounts + benchBatch/2 - 1) / (benchBatch / 2)
	return b.watch(progress, "opened", b.accounts, func() error {
		return b.each(ctx, batches, func(k int) error {
			var actions []ledger.Action
			for i := k * benchBatch / 2; i < min((k+1)*benchBatch/2, b.accounts); i++ {
				key := b.keys[i%b.connection].Signing.Public()
				if b.signed {
					key = b.owners[i].Public()
				}
				actions = append(actions, ledger.NewAccount(benchAccount(i), 1, key), &ledger.Issue{Asset: benchAsset, To: benchAccount(i), Amount: benchBalance})
				b.want[i].Store(benchBalance)
			}
			if err := b.do(ctx, b.clients[0], ledger.Do(actions...)); err != nil {
				return err
			}
			b.done.Add(int64(len(actions) / 2))
			return nil
		})
	})
}

// watch shows progress while something is done.
func (b *ledgerBench) watch(out io.Writer, verb string, total int, do func() error) error {
	b.done.Store(0)
	finished, shown := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		showProgress(out, verb, total, finished, func() int { return int(b.done.Load()) })
	}()
	err := do()
	close(finished)
	<-shown
	return err
}

// transfer makes the transfers, and kills the primary in the middle.
func (b *ledgerBench) transfer(ctx context.Context, progress io.Writer, s *supervisor, d *directory, r *ledgerBenchResult) error {
	begin := time.Now()
	b.last = begin
	var killing sync.Once
	var killed error
	err := b.watch(progress, "transferred", b.transfers, func() error {
		return b.each(ctx, b.transfers, func(i int) error {
			if b.killPrimary && i == b.transfers/2 {
				killing.Do(func() { r.Killed, killed = killPrimary(ctx, s, d) })
				if killed != nil {
					return killed
				}
			}
			return b.one(ctx)
		})
	})
	took := time.Since(begin)
	r.Transfers, r.Seconds, r.PerSecond = b.done.Load(), took.Seconds(), float64(b.done.Load())/took.Seconds()
	r.PauseSeconds, r.Again = b.pause.Seconds(), b.again.Load()
	return err
}

// one makes one transfer between two random accounts.
func (b *ledgerBench) one(ctx context.Context) error {
	from, to := mathrand.IntN(b.accounts), mathrand.IntN(b.accounts-1)
	if to >= from {
		to++
	}
	amount := 1 + mathrand.Uint64N(50)
	tx := &ledger.Transaction{Actions: []ledger.Action{&ledger.Transfer{Asset: benchAsset, From: benchAccount(from), To: benchAccount(to), Amount: amount}}}
	var signatures []ledger.Signature
	if b.signed {
		// Equal transfers are different transactions.
		tx.Expires, tx.Memo = fromNow(10*time.Minute), fmt.Sprintf("%x", mathrand.Uint64())
		signatures = append(signatures, tx.Sign(b.cluster, b.owners[from]))
	}
	if err := b.do(ctx, b.clients[from%b.connection], ledger.Submit(tx, signatures...)); err != nil {
		return err
	}
	b.want[from].Add(-int64(amount))
	b.want[to].Add(int64(amount))
	b.done.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.pause = max(b.pause, now.Sub(b.last))
	b.last = now
	return nil
}

// killPrimary kills the process of the primary; the supervisor starts it again.
func killPrimary(ctx context.Context, s *supervisor, d *directory) (string, error) {
	state := d.states(ctx, 5*time.Second)
	if state.Primary < 0 {
		return "", errors.New("nobody says who the primary is")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.children[state.Primary]; c != nil {
		c.kill()
	}
	return replicaName(state.Primary), nil
}
