// Pharma follows packs of a drug from the manufacturer to the pharmacy, and finds a
// counterfeit. Run it:
//
//	go run ./examples/pharma
//
// Four replicas start in this process and run the registry. The manufacturer makes a batch,
// the laboratory attests it, and its packs go to the wholesaler and on to the pharmacy:
// each hand-over is an offer and an acceptance, so that nobody is sent what they did not
// take, and nobody passes on what they do not have. A pack that is dispensed is revoked.
//
// The counterfeiter copies the serial number of a genuine pack. The number is good, and
// yet the copy is found: the pharmacy that is offered it asks who owns the pack, and it is
// not the one who offers. A second copy, of a pack that was dispensed, is found at the
// counter. A made-up number is found at once. At last the laboratory takes its attestation
// back, and every pharmacy sees that the batch is recalled.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "pharma-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// chain is what detached signatures would be bound to.
var chain = crypto.Hash("example/pharma", nil)

const (
	batchSchema = `{"type": "object", "required": ["drug", "expires"], "properties": {"drug": {"type": "string"}, "expires": {"pattern": "^[0-9]{4}-[0-9]{2}$"}}}`
	packSchema  = `{"type": "object", "required": ["batch"], "properties": {"batch": {"type": "string"}}, "additionalProperties": false}`
)

func run(ctx context.Context, dir string, out io.Writer) error {
	parties := make(map[registry.Party]*person)
	var genesis registry.Genesis
	for _, name := range []registry.Party{"manufacturer", "laboratory", "wholesaler", "pharmacy", "counterfeiter"} {
		p, err := newPerson()
		if err != nil {
			return err
		}
		parties[name] = p
		genesis.Parties = append(genesis.Parties, registry.GenesisParty{Name: name, Keys: signed.Of(1, p.key.Public())})
	}
	genesis.Collections = []registry.GenesisCollection{
		{
			Name: "batches", Controller: "manufacturer", Rules: registry.RequireData, Schema: json.RawMessage(batchSchema),
			Authorities: []registry.GenesisAuthority{{Name: "laboratory", Topics: []string{"quality"}}},
		},
		{Name: "packs", Controller: "manufacturer", Rules: registry.RequireData | registry.Immutable, Schema: json.RawMessage(packSchema)},
	}
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, OpenMachine: registry.Opener(chain, genesis)})
	if err != nil {
		return err
	}
	defer cluster.Close()
	for _, p := range parties {
		if err := p.connect(ctx, cluster.Roster); err != nil {
			return err
		}
		defer p.Close()
	}
	do := func(who registry.Party, op registry.Operation) error {
		_, err := registry.Do(ctx, parties[who], op)
		return err
	}
	hand := func(id string, from, to registry.Party) error {
		if err := do(from, &registry.OfferRecord{As: from, Collection: "packs", ID: id, To: to}); err != nil {
			return err
		}
		return do(to, &registry.AcceptRecord{As: to, Collection: "packs", ID: id})
	}

	// Made, attested, handed on.
	steps := []struct {
		who registry.Party
		op  registry.Operation
	}{
		{"manufacturer", &registry.CreateRecord{As: "manufacturer", Collection: "batches", ID: "B-1", Data: []byte(`{"drug": "aspirin", "expires": "2031-06"}`)}},
		{"laboratory", &registry.Attest{As: "laboratory", Collection: "batches", ID: "B-1", Topic: "quality", Statement: []byte("99.8 % pure")}},
		{"manufacturer", &registry.CreateRecord{As: "manufacturer", Collection: "packs", ID: "P-1", Data: []byte(`{"batch": "B-1"}`)}},
		{"manufacturer", &registry.CreateRecord{As: "manufacturer", Collection: "packs", ID: "P-2", Data: []byte(`{"batch": "B-1"}`)}},
	}
	for _, s := range steps {
		if err := do(s.who, s.op); err != nil {
			return err
		}
	}
	if err := do("counterfeiter", &registry.CreateRecord{As: "counterfeiter", Collection: "packs", ID: "P-3", Data: []byte(`{"batch": "B-1"}`)}); !errors.Is(err, registry.ErrUnauthorized) {
		return fmt.Errorf("the counterfeiter makes a pack: %v", err)
	}
	for _, err := range []error{hand("P-1", "manufacturer", "wholesaler"), hand("P-2", "manufacturer", "wholesaler"), hand("P-1", "wholesaler", "pharmacy")} {
		if err != nil {
			return err
		}
	}
	pharmacy := checker{ctx, parties["pharmacy"]}
	fmt.Fprintf(out, "P-1 at the pharmacy: %s\n", pharmacy.verdict("P-1", "pharmacy"))
	history, err := registry.Do(ctx, pharmacy.by, &registry.ListVersions{Collection: "packs", ID: "P-1"})
	if err != nil {
		return err
	}
	for _, v := range history.Versions {
		fmt.Fprintf(out, "  %s, then with %s\n", v.Action, v.Owner)
	}

	// Copies.
	if err := do("counterfeiter", &registry.OfferRecord{As: "counterfeiter", Collection: "packs", ID: "P-2", To: "pharmacy"}); !errors.Is(err, registry.ErrUnauthorized) {
		return fmt.Errorf("the counterfeiter offers P-2: %v", err)
	}
	fmt.Fprintf(out, "a copy of P-2 offered by the counterfeiter: %s\n", pharmacy.verdict("P-2", "counterfeiter"))
	if err := do("pharmacy", &registry.RevokeRecord{As: "pharmacy", Collection: "packs", ID: "P-1", Reason: "dispensed"}); err != nil {
		return err
	}
	fmt.Fprintf(out, "a copy of P-1 at the counter, after that was dispensed: %s\n", pharmacy.verdict("P-1", "pharmacy"))
	fmt.Fprintf(out, "a pack P-9: %s\n", pharmacy.verdict("P-9", "wholesaler"))

	// The recall.
	if err := hand("P-2", "wholesaler", "pharmacy"); err != nil {
		return err
	}
	fmt.Fprintf(out, "the genuine P-2: %s\n", pharmacy.verdict("P-2", "pharmacy"))
	if err := do("laboratory", &registry.RevokeAttestation{As: "laboratory", Collection: "batches", ID: "B-1", Number: 1, Reason: "impurities"}); err != nil {
		return err
	}
	fmt.Fprintf(out, "after the recall: %s\n", pharmacy.verdict("P-2", "pharmacy"))
	return nil
}

// checker checks packs for whoever has a key.
type checker struct {
	ctx context.Context
	by  *person
}

// verdict says whether a pack that somebody has is good, in words.
func (c checker) verdict(id string, from registry.Party) string {
	if err := c.check(id, from); err != nil {
		return err.Error()
	}
	return "genuine"
}

func (c checker) check(id string, from registry.Party) error {
	pack, err := registry.Do(c.ctx, c.by, &registry.GetRecord{Collection: "packs", ID: id})
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return errors.New("COUNTERFEIT: there is no such pack")
	case err != nil:
		return err
	case pack.Record.Revoked:
		return errors.New("COUNTERFEIT: the pack was dispensed")
	case pack.Record.Owner != from:
		return fmt.Errorf("COUNTERFEIT: the pack is with the %s", pack.Record.Owner)
	}
	var data struct{ Batch string }
	if err := json.Unmarshal(pack.Version.Data, &data); err != nil {
		return err
	}
	list, err := registry.Do(c.ctx, c.by, &registry.ListAttestations{Collection: "batches", ID: data.Batch})
	if err != nil {
		return err
	}
	now := statemachine.Time(time.Now().UnixNano())
	for _, a := range list.Attestations {
		switch status := a.Status(now); {
		case a.Topic != "quality":
		case status == registry.AttestationValid:
			return nil
		default:
			return fmt.Errorf("RECALLED: the quality of batch %s: attestation %s (%s)", data.Batch, status, a.Reason)
		}
	}
	return fmt.Errorf("nobody attests the quality of batch %s", data.Batch)
}
