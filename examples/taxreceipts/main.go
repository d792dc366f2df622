// Taxreceipts keeps the receipts of a shop's till so that none can be left out, changed or
// slipped in afterwards, and the tax office need not see what was sold. Run it:
//
//	go run ./examples/taxreceipts
//
// Four replicas start in this process and run the registry. The shop's till has the right
// to create receipts in the shop's name. Each is an immutable record whose id is the
// shop's and a running number; in it are the day and the amounts, which a schema checks,
// and a commitment to what was sold, which stays with the shop. At the end of the day the
// auditor adds up, sees that no number is missing, and has the shop show a line of one
// receipt: the line is proved, and the others stay hidden.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/registry/disclosure"
	"github.com/parley-bft/parley/statemachine/signed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "taxreceipts-*")
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
var chain = crypto.Hash("example/taxreceipts", nil)

// receiptSchema: amounts are in cents, and never a fraction of one.
const receiptSchema = `{
  "type": "object", "required": ["day", "total", "tax"], "additionalProperties": false,
  "properties": {
    "day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "total": {"type": "integer", "minimum": 0},
    "tax": {"type": "integer", "minimum": 0}
  }
}`

// sale is what is replicated of a receipt.
type sale struct {
	Day   string `json:"day"`
	Total int64  `json:"total"`
	Tax   int64  `json:"tax"`
}

func receiptID(number int) string { return fmt.Sprintf("shop-1/%06d", number) }

func run(ctx context.Context, dir string, out io.Writer) error {
	var people [4]*person
	for i := range people {
		p, err := newPerson()
		if err != nil {
			return err
		}
		people[i] = p
	}
	shop, till, office, rival := people[0], people[1], people[2], people[3]
	genesis := registry.Genesis{
		Parties: []registry.GenesisParty{
			{Name: "shop-1", Keys: signed.Of(1, shop.key.Public())},
			{Name: "tax-office", Keys: signed.Of(1, office.key.Public())},
		},
		Collections: []registry.GenesisCollection{{
			Name: "receipts-shop-1", Controller: "shop-1", Schema: json.RawMessage(receiptSchema),
			Rules:       registry.Immutable | registry.NoTransfer | registry.RequireData | registry.RequireCommitment,
			Authorities: []registry.GenesisAuthority{{Name: "tax-office", Topics: []string{"audited"}}},
		}},
	}
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, OpenMachine: registry.Opener(chain, genesis)})
	if err != nil {
		return err
	}
	defer cluster.Close()
	for _, p := range people {
		if err := p.connect(ctx, cluster.Roster); err != nil {
			return err
		}
		defer p.Close()
	}
	const collection = "receipts-shop-1"
	right := &registry.Delegate{As: "shop-1", Collection: collection, To: till.party(), Rights: registry.MayCreate}
	if _, err := registry.Do(ctx, shop, right); err != nil {
		return err
	}

	// The day's sales.
	var kept []*disclosure.Document // by the shop
	for i, items := range []map[string]string{
		{"bread": "3.00", "milk": "1.20"}, {"lamp": "49.00"}, {"book": "12.50", "pen": "2.30", "ink": "4.10"},
	} {
		document, err := disclosure.New(items, rand.Reader)
		if err != nil {
			return err
		}
		kept = append(kept, document)
		total := []int64{420, 4900, 1890}[i]
		data, err := json.Marshal(sale{"2026-11-29", total, total * 19 / 119})
		if err != nil {
			return err
		}
		_, err = registry.Do(ctx, till, &registry.CreateRecord{Collection: collection, ID: receiptID(i + 1), Owner: "shop-1", Data: data, Commitment: document.Commitment()})
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "the till enters %d receipts\n", len(kept))

	// What does not work.
	wrong := &registry.CreateRecord{Collection: collection, ID: receiptID(4), Data: []byte(`{"day": "2026-11-29", "total": 10.5, "tax": 1}`), Commitment: crypto.Digest{1}}
	for _, c := range []struct {
		what string
		by   *person
		op   registry.Operation
		want error
	}{
		{"a receipt over half a cent", till, wrong, registry.ErrSchemaViolation},
		{"another receipt under the same number", till, &registry.CreateRecord{Collection: collection, ID: receiptID(2), Data: []byte(`{"day": "2026-11-29", "total": 49, "tax": 8}`), Commitment: crypto.Digest{1}}, registry.ErrExists},
		{"the shop makes a receipt smaller", shop, &registry.UpdateRecord{As: "shop-1", Collection: collection, ID: receiptID(2), Data: []byte(`{"day": "2026-11-29", "total": 49, "tax": 8}`), Commitment: crypto.Digest{1}}, registry.ErrRule},
		{"a rival enters a receipt for the shop", rival, &registry.CreateRecord{Collection: collection, ID: receiptID(4), Data: []byte(`{"day": "2026-11-29", "total": 1, "tax": 0}`), Commitment: crypto.Digest{1}}, registry.ErrUnauthorized},
	} {
		if _, err := registry.Do(ctx, c.by, c.op); !errors.Is(err, c.want) {
			return fmt.Errorf("%s: %v", c.what, err)
		}
		fmt.Fprintf(out, "%s: refused, %v\n", c.what, c.want)
	}

	// The audit.
	total, tax, n, err := audit(ctx, office, collection)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the auditor: receipts 1 to %d, none is missing, %d.%02d in all, %d.%02d of it tax\n", n, total/100, total%100, tax/100, tax%100)
	shown, err := kept[2].Disclose("ink")
	if err != nil {
		return err
	}
	record, err := registry.Do(ctx, office, &registry.GetRecord{Collection: collection, ID: receiptID(3)})
	if err != nil {
		return err
	}
	lines, err := shown.Verify(record.Version.Commitment)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "of receipt 3 the shop shows one line of %d: %s for %s\n", shown.Count, lines[0].Name, lines[0].Value)
	shown.Shown[0].Value = "1.10"
	if _, err := shown.Verify(record.Version.Commitment); !errors.Is(err, disclosure.ErrInvalid) {
		return fmt.Errorf("another price: %v", err)
	}
	done := &registry.Attest{As: "tax-office", Collection: collection, ID: receiptID(n), Topic: "audited", Statement: []byte("1 to 3")}
	if _, err := registry.Do(ctx, office, done); err != nil {
		return err
	}
	fmt.Fprintln(out, "the tax office attests that it has audited them")
	return nil
}

// audit adds up all receipts, whose numbers must follow one another.
func audit(ctx context.Context, by *person, collection string) (total, tax int64, n int, err error) {
	for after := ""; ; {
		page, err := registry.Do(ctx, by, &registry.ListRecords{Collection: collection, After: after, Limit: 2})
		if err != nil {
			return 0, 0, 0, err
		}
		for _, rec := range page.Records {
			n++
			if rec.ID != receiptID(n) {
				return 0, 0, 0, fmt.Errorf("receipt %d is missing: there is %s", n, rec.ID)
			}
			r, err := registry.Do(ctx, by, &registry.GetRecord{Collection: collection, ID: rec.ID})
			if err != nil {
				return 0, 0, 0, err
			}
			var s sale
			if err := json.Unmarshal(r.Version.Data, &s); err != nil {
				return 0, 0, 0, err
			}
			total += s.Total
			tax += s.Tax
			after = rec.ID
		}
		if !page.More {
			return total, tax, n, nil
		}
	}
}
