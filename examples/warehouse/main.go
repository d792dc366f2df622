// Warehouse is a program to copy from for whoever writes an application of their own on
// the authenticated store, statemachine/store. Run it:
//
//	go run ./examples/warehouse
//
// Four replicas start in this process and keep the stock of a warehouse. Three things are
// shown:
//
//   - the application (warehouse.go): a handler of operations and queries, and all that the
//     store makes of it; goods are put in and taken out, and what is not there is refused;
//   - proof (proof.go): one replica, which need not be trusted, proves how many bolts there
//     are, and an auditor who has the cluster file alone checks that offline;
//   - following (follow.go): a shop keeps a copy of the stock from the certified changes, is
//     ended, and goes on later from its cursor, with nothing lost and nothing twice.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "warehouse-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, out io.Writer) error {
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, OpenMachine: open})
	if err != nil {
		return err
	}
	defer cluster.Close()
	key, err := keyfile.GenerateClient(rand.Reader)
	if err != nil {
		return err
	}
	c, err := client.Dial(ctx, client.Config{Roster: cluster.Roster, Key: key.Signing})
	if err != nil {
		return err
	}
	defer c.Close()
	clerk := &clerk{c, out}

	if _, err := clerk.do(ctx, "put bolts 40"); err != nil {
		return err
	}
	if _, err := clerk.do(ctx, "take bolts 50"); !errors.Is(err, errTooFew) {
		return fmt.Errorf("50 of 40 bolts were taken: %v", err)
	}
	height, err := clerk.do(ctx, "take bolts 15")
	if err != nil {
		return err
	}

	proof := filepath.Join(dir, "bolts.proof")
	if err := prove(ctx, c, "bolts", height, proof); err != nil {
		return err
	}
	verdict, err := audit(filepath.Join(dir, "cluster.json"), proof, "bolts")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the auditor, offline: %s\n", verdict)

	book := filepath.Join(dir, "shop.json")
	if err := follow(ctx, c, book, 2, out); err != nil {
		return err
	}
	for _, op := range []string{"put nuts 7", "take bolts 25"} {
		if _, err := clerk.do(ctx, op); err != nil {
			return err
		}
	}
	return follow(ctx, c, book, 2, out)
}

// errTooFew: the warehouse does not have so many.
var errTooFew = errors.New("there are not so many")

// clerk has operations run.
type clerk struct {
	client *client.Client
	out    io.Writer
}

// do submits an operation and says what came of it; the height is that of its block.
func (c *clerk) do(ctx context.Context, op string) (height pbft.Height, err error) {
	a, err := c.client.Do(ctx, []byte(op))
	if err != nil {
		return 0, err
	}
	switch a.Result.Code {
	case statemachine.CodeOK:
		fmt.Fprintf(c.out, "%s: now there are %s\n", op, a.Result.Data)
		return a.Ref.Height, nil
	case codeTooFew:
		fmt.Fprintf(c.out, "%s: refused, there are %s\n", op, a.Result.Data)
		return 0, errTooFew
	}
	return 0, fmt.Errorf("%s: %v", op, a.Result.Code)
}
