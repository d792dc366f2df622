// Notary proves that a document existed at a time, and who had it, to people who trust
// nobody who was there. Run it:
//
//	go run ./examples/notary
//
// Four replicas start in this process and run the registry. An inventor deposits the hash
// of a drawing: the id of the record is the hash, the rules of the collection forbid to
// change it. A receipt of the record, a file of some kilobytes, proves offline and for
// ever that a quorum of replicas had it, since which block and which time. Somebody who
// deposits the same hash later is told that it is there; a drawing that differs in one
// byte is not.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "notary-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// chain is what detached signatures would be bound to; any digest of one's own.
var chain = crypto.Hash("example/notary", nil)

func run(ctx context.Context, dir string, out io.Writer) error {
	notary, err := newPerson()
	if err != nil {
		return err
	}
	// Anybody deposits, for themselves, and nothing is changed afterwards, by anybody.
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, OpenMachine: registry.Opener(chain, registry.Genesis{
		Collections: []registry.GenesisCollection{{
			Name: "deposits", Controller: notary.party(),
			Rules: registry.OpenCreate | registry.Immutable | registry.NoTransfer,
		}},
	})})
	if err != nil {
		return err
	}
	defer cluster.Close()
	inventor, err := newPerson()
	if err != nil {
		return err
	}
	rival, err := newPerson()
	if err != nil {
		return err
	}
	for _, p := range []*person{inventor, rival} {
		if err := p.connect(ctx, cluster.Roster); err != nil {
			return err
		}
		defer p.Close()
	}

	drawing := []byte("a wheel, turned by a stream of water")
	proof, err := deposit(ctx, inventor, drawing)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the inventor deposits the hash of the drawing; the proof has %s\n", size(len(proof)))

	// Years later, without the cluster: its file and the proof are enough.
	v, err := verify(cluster.Roster, proof, drawing)
	if err != nil {
		return err
	}
	if v.Author != inventor.party() {
		return fmt.Errorf("the proof names %s", v.Author)
	}
	at := time.Unix(0, int64(v.At.Time))
	fmt.Fprintf(out, "anybody verifies it offline: it existed in block %d, and the inventor had it (%t)\n", v.At.Height, time.Since(at) < time.Hour)
	if _, err = verify(cluster.Roster, proof, []byte("a wheel, turned by a stream of wager")); err == nil {
		return errors.New("the proof holds for another drawing")
	}
	fmt.Fprintln(out, "a drawing that differs in one byte: the proof is of another document")

	// The first one has it.
	if _, err := deposit(ctx, rival, drawing); !errors.Is(err, registry.ErrExists) {
		return fmt.Errorf("the rival's deposit: %v", err)
	}
	fmt.Fprintln(out, "a rival deposits it too: refused, it is there")
	_, err = registry.Do(ctx, inventor, &registry.UpdateRecord{Collection: "deposits", ID: name(drawing), Data: []byte("better")})
	if !errors.Is(err, registry.ErrRule) {
		return fmt.Errorf("the inventor's change: %v", err)
	}
	fmt.Fprintln(out, "the inventor changes it: refused, records of deposits are not changed")
	return nil
}

// name is the record's id: the document's hash.
func name(document []byte) string {
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:])
}

// deposit makes the record and returns the proof of it.
func deposit(ctx context.Context, by *person, document []byte) ([]byte, error) {
	if _, err := registry.Do(ctx, by, &registry.CreateRecord{Collection: "deposits", ID: name(document)}); err != nil {
		return nil, err
	}
	// A read through the log has a receipt as every operation has.
	read := registry.Encode(&registry.GetRecord{Collection: "deposits", ID: name(document)})
	answer, err := by.Do(ctx, read)
	if err != nil {
		return nil, err
	}
	proof, err := by.Receipt(ctx, answer.Ref, read)
	if err != nil {
		return nil, err
	}
	return proof.Encode(), nil
}

// verify returns the version of the deposit that a proof proves of a document.
func verify(cluster *roster.Roster, proof, document []byte) (*registry.Version, error) {
	r, err := receipt.Decode(proof)
	if err != nil {
		return nil, err
	}
	if err := receipt.Verify(cluster, r); err != nil {
		return nil, err
	}
	if err := r.CheckOperation(registry.Encode(&registry.GetRecord{Collection: "deposits", ID: name(document)})); err != nil {
		return nil, err
	}
	answer, err := registry.DecodeResult(r.Result)
	if err != nil {
		return nil, err
	}
	return answer.Version, answer.Err()
}

// size is about how many bytes there are: the receipt's path varies.
func size(n int) string {
	if n < 64<<10 {
		return "less than 64 KiB"
	}
	return fmt.Sprintf("%d bytes", n)
}
