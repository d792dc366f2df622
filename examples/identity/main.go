// Identity is a register of identities that holds no personal data. Run it:
//
//	go run ./examples/identity
//
// Four replicas start in this process and run the registry. A registrar, two of three
// officers, registers a civil office. The office makes a record for Ada: its id is
// random, and all that it contains is a commitment, a number that stands for her name,
// birth and address. The document with these and their salts is given to Ada.
//
// To look out for:
//
//   - Ada shows a bar when she was born, and nothing else; the bar checks that against a
//     receipt of her record, offline, and sees that the office attested it;
//   - she loses her phone. Her party has a recovery, her bank's safe, which gives it a new
//     key; what the thief signs with the old one is refused;
//   - she moves: a new document, a new commitment, and the history says when;
//   - she demands that her data are erased: the documents are deleted, and what is left in
//     the registry says nothing of anybody.
package main

import (
	"context"
	"crypto/rand"
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
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/registry/disclosure"
	"github.com/parley-bft/parley/statemachine/signed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "identity-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// chain is what detached signatures are bound to.
var chain = crypto.Hash("example/identity", nil)

// together makes an operation that several sign, who need no connection for that.
func together(op registry.Operation, by ...*person) (*signed.Envelope, error) {
	e := &signed.Envelope{Deadline: statemachine.Time(time.Now().Add(time.Hour).UnixNano()), Op: registry.Encode(op)}
	for _, p := range by {
		if err := e.Sign(registry.Space(chain), p.signer); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func run(ctx context.Context, dir string, out io.Writer) error {
	var people [8]*person
	for i := range people {
		p, err := newPerson()
		if err != nil {
			return err
		}
		people[i] = p
	}
	officers, office, ada, safe, newPhone, thief := people[:3], people[3], people[4], people[5], people[6], people[4]

	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, OpenMachine: registry.Opener(chain, registry.Genesis{
		Parties: []registry.GenesisParty{{
			Name: registry.Registrar,
			Keys: signed.Of(2, officers[0].key.Public(), officers[1].key.Public(), officers[2].key.Public()),
		}},
	})})
	if err != nil {
		return err
	}
	defer cluster.Close()
	for _, p := range []*person{office, ada, safe, newPhone} {
		if err := p.connect(ctx, cluster.Roster); err != nil {
			return err
		}
		defer p.Close()
	}

	// The office and the collection, by two of three officers.
	for _, op := range []registry.Operation{
		&registry.RegisterParty{Name: "civil-office", Keys: signed.Of(1, office.key.Public())},
		&registry.RegisterParty{Name: "ada", Keys: signed.Of(1, ada.key.Public()), Recovery: signed.Of(1, safe.key.Public())},
		&registry.CreateCollection{As: "civil-office", Name: "identities", Rules: registry.CommitmentsOnly | registry.RequireCommitment | registry.NoTransfer | registry.ControllerRevokes},
	} {
		alone, err := together(op, officers[0], office, ada)
		if err != nil {
			return err
		}
		if _, err := registry.DoSigned(ctx, office, alone); !errors.Is(err, registry.ErrUnauthorized) {
			return fmt.Errorf("one officer alone: %v", err)
		}
		both, err := together(op, officers[0], officers[2], office, ada)
		if err != nil {
			return err
		}
		if _, err := registry.DoSigned(ctx, office, both); err != nil {
			return err
		}
	}
	authority := &registry.SetAuthority{As: "civil-office", Collection: "identities", Authority: "civil-office", Topics: []string{"verified"}}
	if _, err := registry.Do(ctx, office, authority); err != nil {
		return err
	}
	fmt.Fprintln(out, "two of three officers register the civil office; one alone is refused")

	// Ada's record: a random id, a commitment, no data.
	id, err := randomID()
	if err != nil {
		return err
	}
	document, err := disclosure.New(map[string]string{"name": "Ada", "born": "1815-12-10", "address": "St James's Square 12"}, rand.Reader)
	if err != nil {
		return err
	}
	if _, err := registry.Do(ctx, office, &registry.CreateRecord{As: "civil-office", Collection: "identities", ID: id, Owner: "ada", Commitment: document.Commitment()}); err != nil {
		return err
	}
	attestation := &registry.Attest{As: "civil-office", Collection: "identities", ID: id, Topic: "verified", Statement: []byte("in person")}
	if _, err := registry.Do(ctx, office, attestation); err != nil {
		return err
	}
	_, err = registry.Do(ctx, office, &registry.CreateRecord{As: "civil-office", Collection: "identities", ID: "2", Data: []byte("Ada"), Commitment: document.Commitment()})
	if !errors.Is(err, registry.ErrRule) {
		return fmt.Errorf("personal data in the registry: %v", err)
	}
	fmt.Fprintln(out, "the office registers and attests Ada; her name in plain text is refused")

	// In a bar.
	proof, err := prove(ctx, ada, id)
	if err != nil {
		return err
	}
	shown, err := document.Disclose("born")
	if err != nil {
		return err
	}
	fields, err := check(cluster.Roster, proof, id, shown)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "in a bar, offline: %s = %s, and of the other %d fields nothing\n", fields[0].Name, fields[0].Value, int(shown.Count)-len(fields))
	shown.Shown[0].Value = "1805-12-10"
	if _, err := check(cluster.Roster, proof, id, shown); !errors.Is(err, disclosure.ErrInvalid) {
		return fmt.Errorf("another birthday: %v", err)
	}
	list, err := registry.Do(ctx, ada, &registry.ListAttestations{Collection: "identities", ID: id})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the civil office's attestation is %s\n", list.Attestations[0].Status(statemachine.Time(time.Now().UnixNano())))

	// The phone is lost.
	rotate, err := together(&registry.RotateParty{Name: "ada", Keys: signed.Of(1, newPhone.key.Public())}, safe)
	if err != nil {
		return err
	}
	if _, err := registry.DoSigned(ctx, newPhone, rotate); err != nil {
		return err
	}
	_, err = registry.Do(ctx, thief, &registry.RevokeRecord{As: "ada", Collection: "identities", ID: id})
	if !errors.Is(err, registry.ErrUnauthorized) {
		return fmt.Errorf("the thief: %v", err)
	}
	fmt.Fprintln(out, "Ada loses her phone and gets a new key by her recovery; the thief's signature is refused")

	// She moves.
	moved, err := disclosure.New(map[string]string{"name": "Ada", "born": "1815-12-10", "address": "Ockham Park"}, rand.Reader)
	if err != nil {
		return err
	}
	update := &registry.UpdateRecord{As: "ada", Collection: "identities", ID: id, Commitment: moved.Commitment()}
	if _, err := registry.Do(ctx, newPhone, update); err != nil {
		return err
	}
	history, err := registry.Do(ctx, newPhone, &registry.ListVersions{Collection: "identities", ID: id})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "she moves; the history has %d versions, by %s and %s\n", len(history.Versions), history.Versions[0].Author, history.Versions[1].Author)
	if _, err := registry.Do(ctx, office, &registry.RevokeRecord{As: "civil-office", Collection: "identities", ID: id, Reason: "erased on request"}); err != nil {
		return err
	}
	// Whoever has the documents deletes them with their salts: nobody can tell any more
	// what the commitments were of.
	fmt.Fprintln(out, "her data are erased: what is left are two numbers that say nothing of anybody")
	return nil
}

func randomID() (string, error) {
	b := make([]byte, 8)
	_, err := rand.Read(b)
	return hex.EncodeToString(b), err
}

// prove returns the receipt of a read of a record.
func prove(ctx context.Context, p *person, id string) ([]byte, error) {
	read := registry.Encode(&registry.GetRecord{Collection: "identities", ID: id})
	answer, err := p.Do(ctx, read)
	if err != nil {
		return nil, err
	}
	proof, err := p.Receipt(ctx, answer.Ref, read)
	if err != nil {
		return nil, err
	}
	return proof.Encode(), nil
}

// check is what the bar does: it has the cluster file, a receipt and what is shown.
func check(cluster *roster.Roster, proof []byte, id string, shown *disclosure.Disclosure) ([]disclosure.Field, error) {
	r, err := receipt.Decode(proof)
	if err != nil {
		return nil, err
	}
	if err := receipt.Verify(cluster, r); err != nil {
		return nil, err
	}
	if err := r.CheckOperation(registry.Encode(&registry.GetRecord{Collection: "identities", ID: id})); err != nil {
		return nil, err
	}
	answer, err := registry.DecodeResult(r.Result)
	if err != nil {
		return nil, err
	}
	if err := answer.Err(); err != nil {
		return nil, err
	}
	if answer.Record.Revoked {
		return nil, registry.ErrRevoked
	}
	return shown.Verify(answer.Version.Commitment)
}
