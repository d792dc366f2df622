// Settlement is a program to copy from for whoever settles trades on a ledger that no
// single party runs. Run it:
//
//	go run ./examples/settlement
//
// Four replicas start in this process. Banks and investors, each with a key of its own,
// make three kinds of business:
//
//   - delivery against payment (delivery.go): cash for bonds, signed by both, brought by
//     a broker who can neither change it nor bring it twice;
//   - a repo (repo.go): cash against bonds that are set aside, and the way back, signed
//     at the same time and good from its day on;
//   - a payment across borders (exchange.go): euros become dollars at a market maker, by
//     the trust that the parties have in one another, along a path that the ledger finds.
//
// Each shows what is refused, too. At the end the books are checked.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "settlement-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// newLedger makes the ledger of one replica. Signatures are bound to the cluster's id.
func newLedger(cluster crypto.Digest) (statemachine.StateMachine, error) {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	if err != nil {
		return nil, err
	}
	return ledger.New(s, ledger.DefaultConfig(cluster))
}

func run(ctx context.Context, dir string, out io.Writer) error {
	var failed error
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{
		Dir: dir,
		// The id of the cluster is known when a replica's configuration is complete.
		NewMachine: func() statemachine.StateMachine { return nil },
		Edit: func(_ int, c *replica.Config) {
			m, err := newLedger(c.Roster.Cluster.ID())
			failed = errors.Join(failed, err)
			c.Machine = m
		},
	})
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	defer cluster.Close()

	t := &town{cluster: cluster, out: out, parties: map[string]*party{}}
	defer t.close()
	for _, name := range []string{"central-bank", "treasury", "broker", "anna", "ben", "euro-bank", "dollar-bank", "maker"} {
		if err := t.move(ctx, name); err != nil {
			return err
		}
	}
	for _, scene := range []func(context.Context, *town) error{deliveryAgainstPayment, repo, acrossBorders} {
		if err := scene(ctx, t); err != nil {
			return err
		}
	}
	return t.audit(ctx)
}

// audit reads the whole ledger through the log and checks that it adds up.
func (t *town) audit(ctx context.Context) error {
	books := ledger.NewAuditor(true)
	page := ledger.Page{}
	for more := true; more; {
		answer, err := t.parties["anna"].client.Submit(ctx, ledger.RangeQuery(page))
		if err != nil {
			return err
		}
		all, cut, err := ledger.DecodeRange(answer.Data)
		if err != nil {
			return err
		}
		for _, e := range all {
			books.Add(e.Key, e.Value)
			page.After = e.Key
		}
		more = cut
	}
	if err := books.Finish(); err != nil {
		return err
	}
	t.say("\nthe books of %d accounts and %d statement lines add up", books.Accounts, books.Entries)
	return nil
}

func (t *town) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }
