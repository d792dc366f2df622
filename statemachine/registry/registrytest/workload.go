// Package registrytest makes random operations for a registry under an access policy,
// good ones and bad ones: for simulated clusters with traitors in them, and for whoever
// builds on the registry.
package registrytest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// Workload is a small world: the clients of a cluster, most of them members;
// three people, who sign on devices of their own what clients deliver, and of whom two
// administer the policy; an office of two of them and a laboratory. It belongs to one
// goroutine.
type Workload struct {
	chain   crypto.Digest
	clients []crypto.PublicKey
	people  []*ed25519.Signer
	used    [][]byte // signed operations, to be brought again
	offers  []*registry.OfferRecord
}

const (
	people          = 3
	maxVersions     = 20
	maxAttestations = 10
	maxPage         = 4
)

// The parties that are registered.
const (
	office     registry.Party = "office"
	laboratory registry.Party = "lab"
)

// New makes the world of a cluster with these clients.
func New(chain crypto.Digest, clients []crypto.PublicKey) *Workload {
	w := &Workload{chain: chain, clients: clients}
	for i := range people {
		var seed [ed25519.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i)+1)
		w.people = append(w.people, ed25519.NewSigner(ed25519.NewKeyFromSeed(seed)))
	}
	return w
}

func (w *Workload) keys() (keys []crypto.PublicKey) {
	for _, p := range w.people {
		keys = append(keys, p.Public())
	}
	return keys
}

// schemas are what collections follow; the last two are none.
var schemas = []string{schema, `{"type":"object","required":["n"],"properties":{"n":{"type":"integer","maximum":500}}}`, `{"type":"object","required":["n"]}`, `{"type":"shape"}`, `{`}

const schema = `{"type":"object","required":["n"],"properties":{"n":{"type":"integer","minimum":0}}}`

// Genesis is what the registry begins with. In every other world the last person or the
// first, as the registrar, decides about further parties and collections.
func (w *Workload) Genesis() registry.Genesis {
	keys := w.keys()
	l := registry.DefaultLimits()
	l.MaxVersions, l.MaxAttestations, l.MaxPage = maxVersions, maxAttestations, maxPage
	parties := []registry.GenesisParty{
		{Name: office, Keys: signed.Of(2, keys...), Recovery: signed.Of(1, keys[2])},
		{Name: laboratory, Keys: signed.Of(1, keys[1])},
	}
	if w.chain[0]%2 == 1 {
		parties = append(parties, registry.GenesisParty{Name: registry.Registrar, Keys: signed.Of(1, keys[0], keys[2])})
	}
	return registry.Genesis{
		Limits: &l, Parties: parties,
		Collections: []registry.GenesisCollection{
			{Name: "open", Controller: office, Rules: registry.OpenCreate | registry.ControllerRevokes, Schema: []byte(schema), Authorities: []registry.GenesisAuthority{{Name: laboratory, Topics: []string{"seen"}}}},
			{Name: "issued", Controller: office, Rules: registry.DirectTransfer | registry.RequireCommitment},
		},
	}
}

// Policy is the first policy: members create and read, with a quota.
func (w *Workload) Policy() access.Policy {
	p := access.Policy{
		Mode: access.Consortium, Administrators: signed.Of(2, w.keys()...),
		Roles: []access.Role{
			{Name: "member", Submit: []string{"*"}, Read: []string{"*"}, Quota: access.Quota{Operations: 12, Seconds: 2}},
			{Name: "reader", Read: []string{"get-*"}},
		},
	}
	for _, k := range w.clients[:len(w.clients)-len(w.clients)/4] {
		p.Members = append(p.Members, access.Member{Key: k, Roles: []string{"member"}})
	}
	return p
}

// Machine makes the application of one replica, in memory.
func (w *Workload) Machine() (*access.Machine, error) { return w.MachineOn(store.DefaultConfig()) }

// MachineOn is Machine with the state in a store of that configuration.
func (w *Workload) MachineOn(cfg store.Config) (*access.Machine, error) {
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	app, err := registry.New(w.chain, w.Genesis())
	if err != nil {
		return nil, err
	}
	h, err := access.Wrap(app, registry.Classify, w.chain, w.Policy())
	if err != nil {
		return nil, err
	}
	return access.NewMachine(s, h)
}

// Audit says in what a machine's state contradicts itself.
func Audit(m *access.Machine) error {
	v, err := m.Store().Last()
	if err != nil {
		return err
	}
	if err := access.Audit(v); err != nil {
		return err
	}
	return registry.Audit(store.PrefixReader(v, access.AppPrefix))
}

// Audited is a machine that audits its state after every block, and panics if that
// contradicts itself.
type Audited struct{ *access.Machine }

// Apply runs a block.
func (a Audited) Apply(b statemachine.Block) []statemachine.Result {
	results := a.Machine.Apply(b)
	if err := Audit(a.Machine); err != nil {
		panic(err)
	}
	return results
}

// ids are few, so that operations meet.
func id(r *rand.Rand) string { return fmt.Sprint(r.IntN(6)) }

func (w *Workload) party(r *rand.Rand) registry.Party {
	switch r.IntN(12) {
	case 0, 1:
		return office
	case 4:
		return newParty(r)
	case 2, 3:
		return registry.KeyParty(w.people[r.IntN(people)].Public())
	}
	return registry.KeyParty(w.clients[r.IntN(len(w.clients))])
}

// Operation is the next operation of a client; now is about block time.
func (w *Workload) Operation(r *rand.Rand, client int, now statemachine.Time) []byte {
	switch r.IntN(10) {
	case 0:
		if len(w.used) > 0 {
			return w.used[r.IntN(len(w.used))] // replayed, by whoever
		}
	case 1, 2, 3:
		return w.signed(r, now)
	case 4:
		return w.change(r, now)
	case 5:
		b := registry.Encode(w.own(r, client))
		return b[:r.IntN(len(b)+1)]
	}
	return registry.Encode(w.own(r, client))
}

func data(r *rand.Rand) []byte {
	if r.IntN(6) == 0 {
		return []byte(`{"n": -1}`)
	}
	return fmt.Appendf(nil, `{"n": %d}`, r.IntN(1000))
}

// own is what a client does by itself.
func (w *Workload) own(r *rand.Rand, client int) registry.Operation {
	collection := w.collection(r)
	switch r.IntN(18) {
	case 14, 15, 17:
		return w.read(r)
	case 16:
		return w.definition(r, "", 0)
	case 0, 1:
		return &registry.CreateRecord{Collection: collection, ID: id(r), Schema: number(r), Data: data(r)}
	case 2, 3:
		return &registry.UpdateRecord{Collection: collection, ID: id(r), Version: uint64(r.IntN(4) / 2), Schema: number(r), Data: data(r)}
	case 4, 5:
		o := &registry.OfferRecord{Collection: collection, ID: id(r), To: w.party(r)}
		w.offers = append(w.offers[max(0, len(w.offers)-39):], o)
		return o
	case 6, 7:
		for i := range w.offers { // one of the last that were, perhaps, made to it
			if o := w.offers[len(w.offers)-1-i]; o.To == registry.KeyParty(w.clients[client]) && r.IntN(2) == 0 {
				return &registry.AcceptRecord{Collection: o.Collection, ID: o.ID}
			}
		}
		return &registry.AcceptRecord{Collection: collection, ID: id(r)}
	case 8:
		return &registry.TransferRecord{Collection: []string{"issued", collection}[r.IntN(2)], ID: id(r), To: w.party(r)}
	case 9:
		d := &registry.Delegate{Collection: collection, To: w.party(r), Rights: registry.MayUpdate | registry.MayTransfer}
		switch r.IntN(5) {
		case 0:
			d.Rights = registry.Rights(r.IntN(16))
		case 1, 2:
			d.ID, d.Rights = id(r), registry.Rights(r.IntN(16))&^registry.MayCreate
		}
		return d
	case 10:
		if r.IntN(4) == 0 {
			return &registry.RevokeRecord{Collection: collection, ID: id(r), Reason: "over"}
		}
		return &registry.ListAttestations{Collection: collection, ID: id(r), After: uint64(r.IntN(3)), Limit: uint32(r.IntN(4))}
	case 11:
		return &registry.ListVersions{Collection: collection, ID: id(r), After: uint64(r.IntN(3)), Limit: uint32(r.IntN(4))}
	}
	return &registry.GetRecord{Collection: collection, ID: id(r)}
}

// signed is what people sign and the client delivers: enough of them or too few, for this
// registry or another, in time or too late.
func (w *Workload) signed(r *rand.Rand, now statemachine.Time) []byte {
	var op registry.Operation
	switch r.IntN(11) {
	case 7, 8, 9:
		op = w.definition(r, office, now)
	case 10:
		op = &registry.RegisterParty{Name: newParty(r), Keys: signed.Of(1+r.IntN(2), w.keys()...), Recovery: signed.Of(1, w.keys()[r.IntN(people)])}
	case 0, 1:
		op = &registry.CreateRecord{As: office, Collection: "issued", ID: id(r), Owner: w.party(r), Commitment: crypto.Digest{byte(r.IntN(4))}}
	case 2, 3:
		op = &registry.Attest{As: laboratory, Collection: "open", ID: id(r), Topic: []string{"seen", "seen", "said"}[r.IntN(3)], Statement: []byte("s")}
	case 4:
		op = &registry.RevokeAttestation{As: laboratory, Collection: "open", ID: id(r), Number: uint64(1 + r.IntN(2))}
	case 5:
		if r.IntN(4) > 0 {
			return registry.Encode(&registry.UpdateRecord{Collection: "open", ID: id(r), Version: 1, Data: data(r)})
		}
		op = &registry.RevokeRecord{As: office, Collection: "open", ID: id(r), Reason: "by the office"}
	case 6:
		op = &registry.RotateParty{Name: []registry.Party{office, office, laboratory, newParty(r)}[r.IntN(4)], Keys: signed.Of(1+r.IntN(2), w.keys()...)}
	}
	if r.IntN(200) == 0 {
		op = &registry.RevokeKey{Key: w.people[0].Public(), Reason: "lost"}
	}
	b := registry.EncodeSigned(w.envelope(r, now, registry.Space(w.chain), registry.Space(crypto.Digest{1}), registry.Encode(op)))
	w.used = append(w.used, b)
	return b
}

func (w *Workload) envelope(r *rand.Rand, now statemachine.Time, space, foreign signed.Space, op []byte) *signed.Envelope {
	life := []time.Duration{time.Millisecond, time.Second, time.Hour, time.Hour, time.Hour, time.Hour}[r.IntN(6)]
	e := &signed.Envelope{Deadline: now + statemachine.Time(life) + statemachine.Time(r.IntN(1000)), Op: op}
	if r.IntN(12) == 0 {
		space = foreign
	}
	for _, p := range w.people {
		if r.IntN(4) > 0 {
			_ = e.Sign(space, p) // these keys' signatures have the right size
		}
	}
	return e
}

// change is a change of the policy.
func (w *Workload) change(r *rand.Rand, now statemachine.Time) []byte {
	var g access.Change
	switch r.IntN(8) {
	case 0:
		g.Mode = []access.Mode{access.Open, access.Consortium, access.Private}[r.IntN(3)]
	case 1, 2:
		k := w.clients[r.IntN(len(w.clients))]
		g.SetMembers = []access.Member{{Key: k, Roles: [][]string{{"member"}, {"member"}, {"member"}, {"reader"}}[r.IntN(4)], Suspended: r.IntN(12) == 0}}
	case 3:
		g.SetRoles = []access.Role{{Name: "member", Submit: []string{"*"}, Read: []string{"*"}, Quota: access.Quota{Operations: uint64(5 + r.IntN(20)), Seconds: 2}}}
	case 4:
		if r.IntN(3) > 0 {
			g.Mode, g.RemoveMembers = access.Open, []crypto.PublicKey{{9, 9}}[:r.IntN(2)] // whom nobody knows
			break
		}
		g.RemoveMembers = w.clients[r.IntN(len(w.clients)):][:1]
	case 5:
		return access.Encode(&access.Propose{}) // by whoever
	case 6:
		return access.Encode(&access.ListAudit{})
	case 7:
		return access.Encode(&access.ListRefusals{})
	}
	b := access.EncodeSigned(w.envelope(r, now, access.Space(w.chain), access.Space(crypto.Digest{1}), access.Encode(&access.Propose{Change: g})))
	w.used = append(w.used, b)
	return b
}
