package registrytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

// Names of what the world does not begin with.
func newParty(r *rand.Rand) registry.Party { return registry.Party(fmt.Sprintf("guild%d", r.IntN(3))) }
func newCollection(r *rand.Rand) string    { return fmt.Sprintf("more%d", r.IntN(3)) }

// collection is mostly one of those that there are from the beginning.
func (w *Workload) collection(r *rand.Rand) string {
	if r.IntN(5) == 0 {
		return newCollection(r)
	}
	return []string{"open", "open", "open", "issued"}[r.IntN(4)]
}

// number is that of a schema, mostly the latest.
func number(r *rand.Rand) uint32 { return uint32(max(0, r.IntN(8)-5)) }

// definition is an operation about collections, their schemas and authorities. Who makes
// it controls some of them.
func (w *Workload) definition(r *rand.Rand, as registry.Party, now statemachine.Time) registry.Operation {
	collection := w.collection(r)
	if as == "" {
		collection = newCollection(r)
	}
	controller := registry.Party("")
	if r.IntN(6) == 0 {
		controller = w.party(r)
	}
	switch r.IntN(7) {
	case 0, 1:
		o := &registry.CreateCollection{As: as, Name: collection, Controller: controller, Rules: w.rules(r, collection)}
		if r.IntN(2) == 0 {
			o.Schema = []byte(schemas[r.IntN(len(schemas))])
		}
		return o
	case 2:
		if collection == "issued" && r.IntN(4) > 0 {
			controller = "" // for it is of no use with a client
		}
		return &registry.SetCollection{As: as, Collection: collection, Controller: controller, Rules: w.rules(r, collection)}
	case 3, 4:
		if as == office {
			collection = "open" // where there is data
		}
		return &registry.AddSchema{As: as, Collection: collection, Schema: []byte(schemas[r.IntN(len(schemas))]), Floor: uint32(r.IntN(4))}
	}
	topics := [][]string{{"seen"}, {"said", "seen"}, {registry.AnyTopic}, nil}[r.IntN(4)]
	o := &registry.SetAuthority{As: as, Collection: collection, Authority: w.party(r), Topics: topics}
	if r.IntN(2) == 0 {
		o.Authority, o.Topics = laboratory, []string{"seen"}
	}
	if r.IntN(4) == 0 {
		o.Expires = now + statemachine.Time(r.IntN(10))*statemachine.Time(time.Second)
	}
	return o
}

// rules are those that a collection has from the beginning, as often as not with others.
func (w *Workload) rules(r *rand.Rand, collection string) registry.Rules {
	rules := map[string]registry.Rules{"open": registry.OpenCreate | registry.ControllerRevokes, "issued": registry.DirectTransfer | registry.RequireCommitment}[collection]
	if rules == 0 {
		rules = registry.OpenCreate
	}
	if r.IntN(2) == 0 {
		rules ^= 1 << r.IntN(8)
	}
	return rules
}

// read is a read, of what there is or is not, from somewhere on.
func (w *Workload) read(r *rand.Rand) registry.Operation {
	limit, collection := uint32(r.IntN(6)), w.collection(r)
	after := ""
	if r.IntN(3) == 0 {
		after = id(r)
	}
	party := slices.Concat([]registry.Party{office, laboratory}, []registry.Party{newParty(r), w.party(r)})[r.IntN(4)]
	from := registry.Party("")
	if r.IntN(3) == 0 {
		from = w.party(r)
	}
	switch r.IntN(11) {
	case 0:
		return &registry.GetInfo{}
	case 1:
		if _, key := party.Key(); key {
			party = registry.Registrar
		}
		return &registry.GetParty{Name: party}
	case 2:
		if r.IntN(4) == 0 {
			return &registry.GetKey{Key: crypto.PublicKey{7}}
		}
		return &registry.GetKey{Key: w.keys()[r.IntN(people)*r.IntN(2)]} // the first is revoked, sooner or later
	case 3:
		return &registry.GetCollection{Name: collection}
	case 4:
		return &registry.GetSchema{Collection: collection, Number: number(r)}
	case 5:
		return &registry.GetVersion{Collection: collection, ID: id(r), Number: uint64(r.IntN(3))}
	case 6:
		if after != "" {
			after = w.collection(r)
		}
		return &registry.ListCollections{After: after, Limit: limit}
	case 7:
		return &registry.ListAuthorities{Collection: collection, After: from, Limit: limit}
	case 8:
		return &registry.ListRecords{Collection: collection, After: after, Limit: limit}
	case 9:
		o := &registry.ListOwned{Owner: party, Limit: limit}
		if after != "" {
			o.AfterCollection, o.AfterID = collection, after
		}
		return o
	}
	o := &registry.ListDelegations{Collection: collection, ID: after, AfterFrom: from, Limit: limit}
	if from != "" {
		o.AfterTo = w.party(r)
	}
	return o
}
