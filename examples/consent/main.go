// Consent keeps what patients permit, and who may know it. Run it:
//
//	go run ./examples/consent
//
// Four replicas start in this process and run the registry under an access policy: the
// consortium of a hospital and a laboratory is private, and an insurer is no member. A
// patient, who has a phone and no connection to the cluster, signs a consent; the hospital
// delivers it. The laboratory asks before it uses a sample.
//
// To look out for:
//
//   - the consent is the patient's: the hospital delivers it and could not have made it,
//     and could not deliver it a second time after it was withdrawn;
//   - its scope follows a schema, so that programs can act on it; who the patient is says
//     only a commitment;
//   - the insurer is refused, by which rule is said, and the audit trail counts it; what
//     each replica answers beside the log goes by the same rule;
//   - the hospital's right to extend the consent is delegated, and ends by itself.
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
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/registry/disclosure"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "consent-*")
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
var chain = crypto.Hash("example/consent", nil)

// newMachine makes the registry with a policy around it.
func newMachine(policy access.Policy, genesis registry.Genesis) func() statemachine.StateMachine {
	return func() statemachine.StateMachine {
		m, err := open(policy, genesis)
		if err != nil {
			panic(err)
		}
		return m
	}
}

func open(policy access.Policy, genesis registry.Genesis) (statemachine.StateMachine, error) {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	if err != nil {
		return nil, err
	}
	app, err := registry.New(chain, genesis)
	if err != nil {
		return nil, err
	}
	guarded, err := access.Wrap(app, registry.Classify, chain, policy)
	if err != nil {
		return nil, err
	}
	return access.NewMachine(s, guarded)
}

// scope is what a consent permits.
type scope struct {
	Purposes []string `json:"purposes"`
	// Until is a day, such as 2130-12-31.
	Until string `json:"until"`
}

const scopeSchema = `{
  "type": "object", "required": ["purposes", "until"], "additionalProperties": false,
  "properties": {
    "purposes": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"enum": ["treatment", "research", "teaching"]}},
    "until": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
  }
}`

func run(ctx context.Context, dir string, out io.Writer) error {
	var people [5]*person
	for i := range people {
		p, err := newPerson()
		if err != nil {
			return err
		}
		people[i] = p
	}
	hospital, laboratory, insurer, patient, board := people[0], people[1], people[2], people[3], people[4]
	policy := access.Policy{
		Mode: access.Private, Administrators: signed.Of(1, board.key.Public()),
		Roles: []access.Role{
			{Name: "care", Submit: []string{"*"}, Read: []string{"*"}, Quota: access.Quota{Operations: 1000, Seconds: 60}},
			{Name: "research", Read: []string{"get-*"}},
		},
		Members: []access.Member{
			{Key: hospital.key.Public(), Name: "hospital", Roles: []string{"care"}},
			{Key: laboratory.key.Public(), Name: "laboratory", Roles: []string{"research"}},
		},
	}
	genesis := registry.Genesis{Collections: []registry.GenesisCollection{{
		Name: "consents", Controller: hospital.party(), Schema: json.RawMessage(scopeSchema),
		Rules: registry.OpenCreate | registry.RequireData | registry.RequireCommitment | registry.NoTransfer,
	}}}
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, NewMachine: newMachine(policy, genesis)})
	if err != nil {
		return err
	}
	defer cluster.Close()
	for _, p := range []*person{hospital, laboratory, insurer, board} { // not the patient
		if err := p.connect(ctx, cluster.Roster); err != nil {
			return err
		}
		defer p.Close()
	}
	viaHospital := access.Guarded{Submitter: hospital}

	// The patient signs on the phone; who the patient is stays with the hospital.
	document, err := disclosure.New(map[string]string{"name": "Ada", "sample": "S-17"}, rand.Reader)
	if err != nil {
		return err
	}
	data, err := json.Marshal(scope{[]string{"treatment", "research"}, "2130-12-31"})
	if err != nil {
		return err
	}
	give := &registry.CreateRecord{As: patient.party(), Collection: "consents", ID: "c-17", Data: data, Commitment: document.Commitment()}
	if _, err := registry.Do(ctx, viaHospital, give); !errors.Is(err, registry.ErrUnauthorized) {
		return fmt.Errorf("the hospital in the patient's name: %v", err)
	}
	consent, err := sign(patient, give)
	if err != nil {
		return err
	}
	if _, err := registry.DoSigned(ctx, viaHospital, consent); err != nil {
		return err
	}
	fmt.Fprintln(out, "the patient's consent is delivered by the hospital, which could not have made it")

	// The laboratory asks, and the insurer.
	if err := mayUse(ctx, laboratory, "c-17", "research"); err != nil {
		return err
	}
	fmt.Fprintln(out, "the laboratory may use the sample for research")
	if err := mayUse(ctx, laboratory, "c-17", "teaching"); err == nil {
		return errors.New("the laboratory may teach with it")
	}
	fmt.Fprintln(out, "for teaching it may not")
	var refusal *access.Refusal
	if err := mayUse(ctx, insurer, "c-17", "treatment"); !errors.As(err, &refusal) {
		return fmt.Errorf("the insurer: %v", err)
	}
	_, err = insurer.QueryReplica(ctx, 0, registry.Encode(&registry.GetRecord{Collection: "consents", ID: "c-17"}))
	if err == nil {
		return errors.New("replica 0 answers the insurer")
	}
	fmt.Fprintf(out, "the insurer is refused, by rule %v, through the log and beside it\n", refusal.Rule)

	// For a week the hospital may narrow the consent in the patient's name.
	week := statemachine.Time(time.Now().Add(7 * 24 * time.Hour).UnixNano())
	delegate, err := sign(patient, &registry.Delegate{As: patient.party(), Collection: "consents", ID: "c-17", To: hospital.party(), Rights: registry.MayUpdate, Expires: week})
	if err != nil {
		return err
	}
	if _, err := registry.DoSigned(ctx, viaHospital, delegate); err != nil {
		return err
	}
	update := &registry.UpdateRecord{Collection: "consents", ID: "c-17", Data: []byte(`{"purposes": ["anything"], "until": "2130-12-31"}`), Commitment: document.Commitment()}
	if _, err := registry.Do(ctx, viaHospital, update); !errors.Is(err, registry.ErrSchemaViolation) {
		return fmt.Errorf("a purpose that is none: %v", err)
	}
	update.Data = []byte(`{"purposes": ["treatment", "research"], "until": "2127-01-31"}`)
	if _, err := registry.Do(ctx, viaHospital, update); err != nil {
		return err
	}
	fmt.Fprintln(out, "the hospital shortens it in the patient's name; a purpose that is none is refused by the schema")

	// Withdrawn; and the old consent is no consent again.
	withdraw, err := sign(patient, &registry.RevokeRecord{As: patient.party(), Collection: "consents", ID: "c-17", Reason: "changed my mind"})
	if err != nil {
		return err
	}
	if _, err := registry.DoSigned(ctx, viaHospital, withdraw); err != nil {
		return err
	}
	if _, err := registry.DoSigned(ctx, viaHospital, consent); !errors.Is(err, registry.ErrReplayed) {
		return fmt.Errorf("the old consent once more: %v", err)
	}
	if err := mayUse(ctx, laboratory, "c-17", "research"); err == nil {
		return errors.New("the laboratory may still use the sample")
	}
	fmt.Fprintln(out, "the patient withdraws it: the laboratory may not use the sample, and the old signature counts no more")

	trail, err := access.Do(ctx, board, &access.ListRefusals{})
	if err != nil {
		return err
	}
	for _, n := range trail.Refusals {
		fmt.Fprintf(out, "audit: strangers were refused %s %d time by %v\n", n.What, n.Count, n.Rule)
	}
	return nil
}

// sign makes an operation that the patient signs for the next hour.
func sign(patient *person, op registry.Operation) (*signed.Envelope, error) {
	e := &signed.Envelope{Deadline: statemachine.Time(time.Now().Add(time.Hour).UnixNano()), Op: registry.Encode(op)}
	return e, e.Sign(registry.Space(chain), patient.signer)
}

// mayUse returns nil if the consent is in force and permits the purpose.
func mayUse(ctx context.Context, who *person, id, purpose string) error {
	r, err := registry.Do(ctx, access.Guarded{Submitter: who}, &registry.GetRecord{Collection: "consents", ID: id})
	if err != nil {
		return err
	}
	if r.Record.Revoked {
		return fmt.Errorf("consent %s was withdrawn", id)
	}
	var s scope
	if err := json.Unmarshal(r.Version.Data, &s); err != nil {
		return err
	}
	until, err := time.Parse(time.DateOnly, s.Until)
	switch {
	case err != nil:
		return err
	case time.Now().After(until.AddDate(0, 0, 1)):
		return fmt.Errorf("consent %s ended on %s", id, s.Until)
	case !slices.Contains(s.Purposes, purpose):
		return fmt.Errorf("consent %s does not permit %s", id, purpose)
	}
	return nil
}
