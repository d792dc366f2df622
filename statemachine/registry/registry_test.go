package registry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry/disclosure"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

const personSchema = `{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}, "additionalProperties": false}`

func TestRecords(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "people", Schema: []byte(personSchema), About: "who is who"})
	w.refused(ErrExists, bob, &CreateCollection{Name: "people"})
	w.refused(ErrUnauthorized, bob, &CreateRecord{Collection: "people", ID: "b", Data: []byte(`{"name": "Bob"}`)})
	w.refused(ErrNotFound, ann, &CreateRecord{Collection: "places", ID: "b"})
	says := w.refused(ErrSchemaViolation, ann, &CreateRecord{Collection: "people", ID: "b", Data: []byte(`{"name": 1}`)})
	require.Contains(t, says, "schema 1 of people: schema violation: at /name: it is a number")
	w.refused(ErrSchemaViolation, ann, &CreateRecord{Collection: "people", ID: "b", Data: []byte(`{"name": "Bob"`)})

	// Created for somebody else.
	first := w.do(ann, &CreateRecord{Collection: "people", ID: "b", Owner: bob.party(), Data: []byte(`{"name": "Bob"}`)})
	require.EqualValues(t, 1, first.Version)
	w.refused(ErrExists, ann, &CreateRecord{Collection: "people", ID: "b"})
	rec, v := w.record("people", "b")
	require.Equal(t, bob.party(), rec.Owner)
	require.Equal(t, first.Digest, rec.Digest)
	require.Equal(t, `{"name": "Bob"}`, string(v.Data))
	require.Equal(t, ann.party(), v.Author)
	require.Equal(t, keysOf(ann), v.Keys)
	require.EqualValues(t, 1, v.Schema)

	// Only the owner changes it, and knows what.
	w.pass(time.Second)
	w.refused(ErrUnauthorized, ann, &UpdateRecord{Collection: "people", ID: "b", Data: []byte(`{"name": "Rob"}`)})
	w.refused(ErrConflict, bob, &UpdateRecord{Collection: "people", ID: "b", Version: 2, Data: []byte(`{"name": "Rob"}`)})
	w.refused(ErrNotFound, bob, &UpdateRecord{Collection: "people", ID: "c"})
	second := w.do(bob, &UpdateRecord{Collection: "people", ID: "b", Version: 1, Data: []byte(`{"name": "Rob"}`)})
	require.EqualValues(t, 2, second.Version)

	// The history, chained.
	w.do(bob, &RevokeRecord{Collection: "people", ID: "b", Reason: "moved"})
	w.refused(ErrRevoked, bob, &UpdateRecord{Collection: "people", ID: "b"})
	w.refused(ErrRevoked, bob, &RevokeRecord{Collection: "people", ID: "b"})
	h := w.read(&ListVersions{Collection: "people", ID: "b"}).Versions
	require.Len(t, h, 3)
	require.Equal(t, []Action{Created, Updated, Revoked}, []Action{h[0].Action, h[1].Action, h[2].Action})
	require.Equal(t, "moved", h[2].Reason)
	require.EqualValues(t, 2, h[2].Content)
	previous := crypto.Digest{}
	for _, v := range h {
		require.Equal(t, previous, v.Previous)
		previous = v.Digest("people", "b")
		require.Equal(t, v, *w.read(&GetVersion{"people", "b", v.Number}).Version)
	}
	rec, v = w.record("people", "b")
	require.Equal(t, previous, rec.Digest)
	require.True(t, rec.Revoked)
	require.Equal(t, `{"name": "Rob"}`, string(v.Data), "the content is that of the last update")
	require.NotEqual(t, h[0].At.Time, h[1].At.Time)

	require.ErrorIs(t, w.read(&GetRecord{"people", "nobody"}).Err(), ErrNotFound)
	require.ErrorIs(t, w.read(&GetVersion{"people", "b", 4}).Err(), ErrNotFound)
	c := w.read(&GetCollection{"people"}).Collection
	require.Equal(t, Collection{Name: "people", Controller: ann.party(), Schemas: 1, Floor: 1, Records: 1, About: "who is who", Created: Stamp{1, start}, Changed: Stamp{1, start}}, *c)
}

func TestSchemasEvolve(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "c"})
	w.refused(ErrNotFound, ann, &CreateRecord{Collection: "c", ID: "x", Schema: 1, Data: []byte("any")})
	w.do(ann, &CreateRecord{Collection: "c", ID: "free", Data: []byte("any bytes")})
	w.refused(ErrUnauthorized, bob, &AddSchema{Collection: "c", Schema: []byte(`true`)})
	w.refused(ErrBadSchema, ann, &AddSchema{Collection: "c", Schema: []byte(`{"typ": "object"}`)})
	w.refused(ErrBadSchema, ann, &CreateCollection{Name: "d", Schema: []byte(`{`)})
	require.EqualValues(t, 1, w.do(ann, &AddSchema{Collection: "c", Schema: []byte(`{"type": "number"}`)}).Version)
	require.EqualValues(t, 2, w.do(ann, &AddSchema{Collection: "c", Schema: []byte(`{"type": "string"}`)}).Version)
	w.do(ann, &CreateRecord{Collection: "c", ID: "old", Schema: 1, Data: []byte(`1`)})
	w.do(ann, &CreateRecord{Collection: "c", ID: "new", Data: []byte(`"a"`)})
	w.refused(ErrSchemaViolation, ann, &UpdateRecord{Collection: "c", ID: "old", Data: []byte(`2`)})
	w.do(ann, &UpdateRecord{Collection: "c", ID: "old", Schema: 1, Data: []byte(`2`)})
	w.refused(ErrMalformed, ann, &AddSchema{Collection: "c", Schema: []byte(`true`), Floor: 4})
	w.do(ann, &AddSchema{Collection: "c", Schema: []byte(`true`), Floor: 2})
	w.refused(ErrSchemaRetired, ann, &UpdateRecord{Collection: "c", ID: "old", Schema: 1, Data: []byte(`3`)})
	w.refused(ErrNotFound, ann, &UpdateRecord{Collection: "c", ID: "old", Schema: 4, Data: []byte(`3`)})
	_, v := w.record("c", "old")
	require.EqualValues(t, 1, v.Schema, "which schema it was validated against stays known")
	w.do(ann, &UpdateRecord{Collection: "c", ID: "old", Schema: 2, Data: []byte(`"3"`)})
	require.Equal(t, `{"type": "string"}`, string(w.read(&GetSchema{"c", 2}).Schema))
	require.Equal(t, `true`, string(w.read(&GetSchema{"c", 0}).Schema))
	require.ErrorIs(t, w.read(&GetSchema{"c", 9}).Err(), ErrNotFound)
	require.ErrorIs(t, w.read(&GetSchema{"d", 0}).Err(), ErrNotFound)

	bomb := `{"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}}`
	w.do(ann, &CreateCollection{Name: "bomb", Schema: []byte(bomb)})
	w.refused(ErrTooComplex, ann, &CreateRecord{Collection: "bomb", ID: "x", Data: []byte(`1`)})
}

func TestTransfers(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "cars"})
	w.do(ann, &CreateRecord{Collection: "cars", ID: "a/1"})
	offer := &OfferRecord{Collection: "cars", ID: "a/1", To: bob.party(), Expires: w.in(time.Hour)}
	w.refused(ErrUnauthorized, bob, offer)
	w.refused(ErrUnauthorized, bob, &AcceptRecord{Collection: "cars", ID: "a/1"})
	w.refused(ErrExpired, ann, &OfferRecord{Collection: "cars", ID: "a/1", To: bob.party(), Expires: w.now})
	w.refused(ErrNotFound, ann, &OfferRecord{Collection: "cars", ID: "a/1", To: "nobody"})
	w.do(ann, offer)
	w.refused(ErrUnauthorized, cem, &AcceptRecord{Collection: "cars", ID: "a/1"})
	w.do(ann, &UpdateRecord{Collection: "cars", ID: "a/1", Data: []byte("a scratch")})
	w.refused(ErrConflict, bob, &AcceptRecord{Collection: "cars", ID: "a/1", Version: 1})
	w.pass(time.Hour)
	w.refused(ErrExpired, bob, &AcceptRecord{Collection: "cars", ID: "a/1"})
	w.do(ann, &OfferRecord{Collection: "cars", ID: "a/1", To: bob.party()})
	w.do(ann, &OfferRecord{Collection: "cars", ID: "a/1"}) // withdrawn
	w.refused(ErrUnauthorized, bob, &AcceptRecord{Collection: "cars", ID: "a/1"})
	w.do(ann, &OfferRecord{Collection: "cars", ID: "a/1", To: bob.party()})
	w.do(bob, &AcceptRecord{Collection: "cars", ID: "a/1", Version: 2})
	rec, v := w.record("cars", "a/1")
	require.Equal(t, bob.party(), rec.Owner)
	require.Empty(t, rec.Offer)
	require.Equal(t, "a scratch", string(v.Data))
	w.refused(ErrUnauthorized, ann, &UpdateRecord{Collection: "cars", ID: "a/1"})

	// In one step, if both sign or the rules say so.
	w.refused(ErrRule, bob, &TransferRecord{Collection: "cars", ID: "a/1", To: cem.party()})
	w.doSigned(bob, &TransferRecord{Collection: "cars", ID: "a/1", To: cem.party()}, cem)
	w.do(ann, &SetCollection{Collection: "cars", Rules: DirectTransfer})
	w.do(cem, &TransferRecord{Collection: "cars", ID: "a/1", To: dan.party()})
	w.refused(ErrNotFound, dan, &TransferRecord{Collection: "cars", ID: "a/1", To: "nobody"})
	owners := []Party{}
	for _, v := range w.read(&ListVersions{Collection: "cars", ID: "a/1"}).Versions {
		owners = append(owners, v.Owner)
	}
	require.Equal(t, []Party{ann.party(), ann.party(), bob.party(), cem.party(), dan.party()}, owners)
	require.Empty(t, w.read(&ListOwned{Owner: ann.party()}).Records)
	require.Equal(t, "a/1", w.read(&ListOwned{Owner: dan.party()}).Records[0].ID)

	// Where records stay with their owners, an offer of before counts no more.
	w.do(dan, &OfferRecord{Collection: "cars", ID: "a/1", To: ann.party()})
	w.do(ann, &SetCollection{Collection: "cars", Rules: NoTransfer})
	w.refused(ErrRule, ann, &AcceptRecord{Collection: "cars", ID: "a/1"})
	w.refused(ErrRule, dan, &OfferRecord{Collection: "cars", ID: "a/1", To: ann.party()})
	w.refusedSigned(ErrRule, dan, &TransferRecord{Collection: "cars", ID: "a/1", To: ann.party()}, ann)
}

func TestRules(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.refused(ErrMalformed, ann, &CreateCollection{Name: "c", Rules: CommitmentsOnly | RequireData})
	w.refused(ErrMalformed, ann, &CreateCollection{Name: "c", Rules: NoTransfer | DirectTransfer})
	w.refused(ErrMalformed, ann, &CreateCollection{Name: "c", Rules: 1 << 20})
	w.do(ann, &CreateCollection{Name: "open", Rules: OpenCreate | Immutable | ControllerRevokes})
	w.do(bob, &CreateRecord{Collection: "open", ID: "b"})
	w.refused(ErrUnauthorized, bob, &CreateRecord{Collection: "open", ID: "c", Owner: cem.party()})
	w.doSigned(bob, &CreateRecord{Collection: "open", ID: "c", Owner: cem.party()}, cem)
	w.do(ann, &CreateRecord{Collection: "open", ID: "d", Owner: dan.party()})
	w.refused(ErrRule, bob, &UpdateRecord{Collection: "open", ID: "b"})
	w.refused(ErrUnauthorized, bob, &RevokeRecord{Collection: "open", ID: "c"})
	w.do(ann, &RevokeRecord{Collection: "open", ID: "c"})
	w.do(bob, &RevokeRecord{Collection: "open", ID: "b"})

	w.do(ann, &CreateCollection{Name: "private", Rules: CommitmentsOnly | RequireCommitment})
	w.refused(ErrRule, ann, &CreateRecord{Collection: "private", ID: "a", Data: []byte("x"), Commitment: crypto.Digest{1}})
	w.refused(ErrRule, ann, &CreateRecord{Collection: "private", ID: "a"})
	w.do(ann, &CreateRecord{Collection: "private", ID: "a", Owner: bob.party(), Commitment: crypto.Digest{1}})
	w.refused(ErrUnauthorized, ann, &RevokeRecord{Collection: "private", ID: "a"})
	w.do(ann, &CreateCollection{Name: "full", Rules: RequireData})
	w.refused(ErrRule, ann, &CreateRecord{Collection: "full", ID: "a", Commitment: crypto.Digest{1}})

	w.refused(ErrUnauthorized, bob, &SetCollection{Collection: "full", Controller: bob.party()})
	w.refused(ErrUnauthorized, ann, &SetCollection{Collection: "full", Controller: bob.party()})
	w.doSigned(ann, &SetCollection{Collection: "full", Controller: bob.party()}, bob)
	w.refused(ErrUnauthorized, ann, &CreateRecord{Collection: "full", ID: "a", Data: []byte("x")})
	w.do(bob, &CreateRecord{Collection: "full", ID: "a", Data: []byte("x")})
}

func TestDelegation(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "c"})
	w.do(ann, &CreateRecord{Collection: "c", ID: "1", Owner: bob.party()})
	w.do(ann, &CreateRecord{Collection: "c", ID: "2", Owner: bob.party()})
	update := func(id string) Operation { return &UpdateRecord{Collection: "c", ID: id} }
	w.refused(ErrUnauthorized, cem, update("1"))
	w.refused(ErrUnauthorized, ann, &Delegate{Collection: "c", ID: "1", To: cem.party(), Rights: MayUpdate})
	w.refused(ErrNotFound, bob, &Delegate{Collection: "c", ID: "3", To: cem.party(), Rights: MayUpdate})
	w.refused(ErrNotFound, bob, &Delegate{Collection: "c", ID: "1", To: "nobody", Rights: MayUpdate})
	w.refused(ErrNotFound, bob, &Delegate{Collection: "c", ID: "1", To: cem.party()})
	w.refused(ErrMalformed, bob, &Delegate{Collection: "c", ID: "1", To: cem.party(), Rights: MayCreate})
	w.refused(ErrExpired, bob, &Delegate{Collection: "c", ID: "1", To: cem.party(), Rights: MayUpdate, Expires: w.now})
	w.do(bob, &Delegate{Collection: "c", ID: "1", To: cem.party(), Rights: MayUpdate, Expires: w.in(time.Hour)})
	w.do(cem, update("1"))
	w.refused(ErrUnauthorized, cem, update("2"))
	w.refused(ErrUnauthorized, cem, &RevokeRecord{Collection: "c", ID: "1"})
	w.refused(ErrUnauthorized, cem, &Delegate{Collection: "c", ID: "1", To: dan.party(), Rights: MayUpdate})
	_, v := w.record("c", "1")
	require.Equal(t, cem.party(), v.Author)
	require.Equal(t, bob.party(), v.Owner)
	w.pass(time.Hour)
	w.refused(ErrUnauthorized, cem, update("1"))

	// For all that bob has.
	w.do(bob, &Delegate{Collection: "c", To: cem.party(), Rights: MayUpdate | MayTransfer})
	w.do(cem, update("1"))
	w.do(cem, update("2"))
	require.Len(t, w.read(&ListDelegations{Collection: "c"}).Delegations, 1)
	require.Len(t, w.read(&ListDelegations{Collection: "c", ID: "1"}).Delegations, 1)
	w.do(cem, &OfferRecord{Collection: "c", ID: "2", To: dan.party()})
	w.do(dan, &AcceptRecord{Collection: "c", ID: "2"})
	w.refused(ErrUnauthorized, cem, update("2"))
	w.do(bob, &Delegate{Collection: "c", To: cem.party()})
	w.refused(ErrUnauthorized, cem, update("1"))

	// The controller lets others create.
	w.refused(ErrUnauthorized, bob, &Delegate{Collection: "c", To: dan.party(), Rights: MayCreate})
	w.do(ann, &Delegate{Collection: "c", To: dan.party(), Rights: MayCreate})
	w.do(dan, &CreateRecord{Collection: "c", ID: "3", Owner: eve.party()})
	w.do(ann, &Delegate{Collection: "c", To: dan.party()})
	w.refused(ErrUnauthorized, dan, &CreateRecord{Collection: "c", ID: "4"})
}

func TestParties(t *testing.T) {
	w := newWorld(t, Genesis{})
	board := signed.Of(2, keysOf(ann, bob, cem)...)
	w.refused(ErrMalformed, ann, &RegisterParty{Name: "registrar", Keys: board})
	w.refused(ErrMalformed, ann, &RegisterParty{Name: "Board", Keys: board})
	w.refused(ErrMalformed, ann, &RegisterParty{Name: "board", Keys: signed.Threshold{M: 4, Keys: board.Keys}})
	w.refused(ErrUnauthorized, ann, &RegisterParty{Name: "board", Keys: board})
	w.twoOf("board", ann, bob, cem, dan.alone())
	w.refusedSigned(ErrExists, ann, &RegisterParty{Name: "board", Keys: board}, bob)

	// Two of three sign, whoever delivers.
	w.refused(ErrUnauthorized, ann, &CreateCollection{As: "board", Name: "c"})
	w.refusedSigned(ErrUnauthorized, ann, &CreateCollection{As: "board", Name: "c"}, eve)
	w.doSigned(eve, &CreateCollection{As: "board", Name: "c"}, ann, cem)
	require.Equal(t, Party("board"), w.read(&GetCollection{"c"}).Collection.Controller)
	w.refused(ErrNotFound, ann, &CreateCollection{As: "nobody", Name: "d"})

	// A key is lost, and what it signed since then is not to be trusted.
	w.doSigned(ann, &CreateRecord{As: "board", Collection: "c", ID: "1"}, bob)
	w.doSigned(ann, &SetAuthority{As: "board", Collection: "c", Authority: "board", Topics: []string{"seen"}}, bob)
	w.doSigned(ann, &Attest{As: "board", Collection: "c", ID: "1", Topic: "seen"}, bob)
	w.pass(time.Minute)
	w.doSigned(ann, &Attest{As: "board", Collection: "c", ID: "1", Topic: "seen"}, bob)
	w.refused(ErrUnauthorized, eve, &RevokeKey{Party: "board", Key: bob.Public()})
	w.refused(ErrMalformed, dan, &RevokeKey{Party: "board", Key: bob.Public(), Since: w.now + 1})
	w.do(dan, &RevokeKey{Party: "board", Key: bob.Public(), Since: w.now - 1, Reason: "stolen"})
	w.refused(ErrKeyRevoked, dan, &RevokeKey{Party: "board", Key: bob.Public()})
	w.refusedSigned(ErrUnauthorized, ann, &CreateRecord{As: "board", Collection: "c", ID: "2"}, bob)
	w.doSigned(ann, &CreateRecord{As: "board", Collection: "c", ID: "2"}, cem)
	a := w.read(&ListAttestations{Collection: "c", ID: "1"}).Attestations
	require.Equal(t, AttestationValid, a[0].Status(w.now))
	require.Equal(t, AttestationCompromised, a[1].Status(w.now))

	// New keys: the new ones must be able to sign, and none that was revoked.
	w.refusedSigned(ErrKeyRevoked, ann, &RotateParty{Name: "board", Keys: signed.Of(1, bob.Public())}, cem, bob)
	w.refusedSigned(ErrUnauthorized, ann, &RotateParty{Name: "board", Keys: eve.alone()}, cem)
	w.refusedSigned(ErrUnauthorized, eve, &RotateParty{Name: "board", Keys: eve.alone()}, cem)
	w.refusedSigned(ErrUnauthorized, eve, &RotateParty{Name: "board", Keys: eve.alone(), SetRecovery: true, Recovery: eve.alone()}, ann, cem)
	w.doSigned(eve, &RotateParty{Name: "board", Keys: eve.alone(), SetRecovery: true, Recovery: ann.alone()}, dan)
	p := w.read(&GetParty{"board"}).Party
	require.EqualValues(t, 3, p.Version)
	require.Equal(t, eve.alone(), p.Keys)
	require.Equal(t, ann.alone(), p.Recovery)
	require.Equal(t, bob.Public(), p.Revoked[0].Key)
	w.do(eve, &CreateRecord{As: "board", Collection: "c", ID: "3"})
	w.refused(ErrNotFound, ann, &RotateParty{Name: "nobody", Keys: ann.alone()})

	// The last key is revoked: only the recovery goes on.
	w.do(eve, &RevokeKey{Party: "board", Key: eve.Public()})
	w.refused(ErrUnauthorized, eve, &CreateRecord{As: "board", Collection: "c", ID: "4"})
	w.do(ann, &RotateParty{Name: "board", Keys: ann.alone()})
	w.do(ann, &CreateRecord{As: "board", Collection: "c", ID: "4"})
}

// Who has stolen a party's keys cannot keep its recovery from revoking them.
func TestThiefLeavesRevocationsToRecovery(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &RegisterParty{Name: "firm", Keys: ann.alone(), Recovery: dan.alone()})
	w.do(bob, &RegisterParty{Name: "plain", Keys: bob.alone()})
	other := func(i int) crypto.PublicKey { return crypto.PublicKey{7, byte(i >> 8), byte(i)} }
	for i := range maxRevokedKeys - keptForRecovery {
		w.do(ann, &RevokeKey{Party: "firm", Key: other(i)})
	}
	w.refused(ErrLimit, ann, &RevokeKey{Party: "firm", Key: other(maxRevokedKeys)})
	w.do(dan, &RevokeKey{Party: "firm", Key: ann.Public(), Since: w.now - 1, Reason: "stolen"})
	w.do(dan, &RotateParty{Name: "firm", Keys: dan.alone()})
	// The recovery has what was kept for it, and a party that has none has everything.
	for i := range keptForRecovery - 1 {
		w.do(dan, &RevokeKey{Party: "firm", Key: other(1000 + i)})
	}
	w.refused(ErrLimit, dan, &RevokeKey{Party: "firm", Key: other(maxRevokedKeys)})
	for i := range maxRevokedKeys {
		w.do(bob, &RevokeKey{Party: "plain", Key: other(i)})
	}
	w.refused(ErrLimit, bob, &RevokeKey{Party: "plain", Key: other(maxRevokedKeys)})
}

// A thief who has a key revokes it first, as of now, so that what he did with it before
// seems good. The last word has whoever finds out: what a reader of the history sees.
func TestThiefRevokesFirst(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &RegisterParty{Name: "lab", Keys: ann.alone(), Recovery: dan.alone()})
	w.do(bob, &CreateCollection{Name: "c", Rules: OpenCreate})
	w.do(bob, &SetAuthority{Collection: "c", Authority: "lab", Topics: []string{"seen"}})
	w.do(bob, &SetAuthority{Collection: "c", Authority: cem.party(), Topics: []string{"seen"}})
	// Two authorities, one registered, one a single key: an honest statement and a version,
	// the theft, and what the thief signed.
	for i, step := range []string{"honest", "theft"} {
		id := []string{"1", "2"}[i]
		w.do(ann, &CreateRecord{As: "lab", Collection: "c", ID: "lab-" + id, Data: []byte(step)})
		w.do(ann, &Attest{As: "lab", Collection: "c", ID: "lab-1", Topic: "seen", Statement: []byte(step)})
		w.do(cem, &CreateRecord{Collection: "c", ID: "cem-" + id, Data: []byte(step)})
		w.do(cem, &Attest{Collection: "c", ID: "lab-1", Topic: "seen", Statement: []byte(step)})
		w.pass(time.Hour)
	}
	stolen := start + 30*60*1e9
	// worth tells how many of the two versions and the two statements of each are good.
	worth := func() (good [2]int) {
		for _, a := range w.read(&ListAttestations{Collection: "c", ID: "lab-1"}).Attestations {
			if a.Status(w.now) == AttestationValid {
				good[map[Party]int{"lab": 0, cem.party(): 1}[a.Authority]]++
			} else {
				require.Equal(t, AttestationCompromised, a.Status(w.now))
			}
		}
		for k, who := range []string{"lab-", "cem-"} {
			for _, id := range []string{"1", "2"} {
				_, v := w.record("c", who+id)
				versions := w.read(&ListVersions{Collection: "c", ID: who + id}).Versions
				require.Len(t, versions, 1)
				require.Equal(t, *v, versions[0])
				require.Equal(t, v, w.read(&GetVersion{"c", who + id, 1}).Version)
				rec, _ := w.record("c", who+id)
				require.Equal(t, rec.Digest, v.Digest("c", who+id), "the digest covers what was signed")
				if v.Compromised == 0 {
					good[k]++
				}
			}
		}
		return good
	}
	require.Equal(t, [2]int{4, 4}, worth())

	// The thief.
	w.do(ann, &RevokeKey{Party: "lab", Key: ann.Public(), Reason: "routine"})
	w.do(cem, &RevokeKey{Key: cem.Public(), Reason: "routine"})
	routine := w.now
	require.Equal(t, [2]int{4, 4}, worth())
	w.pass(time.Hour)

	// Who finds out. Strangers do not.
	for _, o := range []*RevokeKey{{Party: "lab", Key: ann.Public(), Since: stolen, Reason: "stolen"}, {Key: cem.Public(), Since: stolen, Reason: "stolen"}} {
		w.refused(ErrUnauthorized, eve, o)
		by := dan
		if o.Party == "" {
			by = cem // the key itself signs that and nothing else any more
		}
		later := *o
		later.Since = w.now
		w.refused(ErrKeyRevoked, by, &later)
		w.do(by, o)
		w.refused(ErrKeyRevoked, by, o)
		later.Since = stolen + 1
		w.refused(ErrKeyRevoked, by, &later)
	}
	w.refused(ErrKeyRevoked, cem, &CreateRecord{Collection: "c", ID: "3"})
	require.Equal(t, [2]int{2, 2}, worth(), "what was honest, and nothing of the thief's")
	for _, k := range []RevokedKey{w.read(&GetParty{"lab"}).Party.Revoked[0], *w.read(&GetKey{cem.Public()}).Key} {
		require.Equal(t, stolen, k.Since)
		require.Equal(t, "stolen", k.Reason)
		require.Equal(t, routine, k.First.Time)
		require.Equal(t, routine, k.FirstSince)
		require.Less(t, k.First.Height, k.At.Height)
	}
	v, err := w.m.Store().Last()
	require.NoError(t, err)
	require.NoError(t, Audit(v))
}

// A key that revokes itself signs nothing any more, for anybody.
func TestRevokedKeys(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.twoOf("two", ann, bob, cem, signed.Threshold{})
	w.do(ann, &CreateCollection{Name: "c"})
	w.refused(ErrUnauthorized, bob, &RevokeKey{Key: ann.Public()})
	w.doSigned(eve, &RevokeKey{Key: ann.Public(), Reason: "lost"}, ann)
	require.Equal(t, "lost", w.read(&GetKey{ann.Public()}).Key.Reason)
	require.ErrorIs(t, w.read(&GetKey{bob.Public()}).Err(), ErrNotFound)
	w.refused(ErrKeyRevoked, ann, &CreateRecord{Collection: "c", ID: "1"})
	w.refused(ErrKeyRevoked, ann, &RevokeKey{Key: ann.Public()})
	w.refusedSigned(ErrKeyRevoked, eve, &CreateRecord{As: ann.party(), Collection: "c", ID: "1"}, ann)
	w.refusedSigned(ErrKeyRevoked, ann, &CreateCollection{As: "two", Name: "d"}, bob)
	w.doSigned(bob, &CreateCollection{As: "two", Name: "d"}, cem)
	w.refused(ErrKeyRevoked, ann, &RegisterParty{Name: "again", Keys: ann.alone()})
	w.refusedSigned(ErrKeyRevoked, bob, &RotateParty{Name: "two", Keys: signed.Of(1, keysOf(ann, bob)...)}, cem)
}

func TestAttestations(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "batches"})
	w.do(ann, &CreateRecord{Collection: "batches", ID: "1", Data: []byte("v1")})
	w.do(bob, &RegisterParty{Name: "lab", Keys: bob.alone()})
	attest := func(topic string) *Attest {
		return &Attest{As: "lab", Collection: "batches", ID: "1", Topic: topic, Statement: []byte("pure")}
	}
	w.refused(ErrUnauthorized, bob, attest("purity"))
	w.refused(ErrNotFound, ann, &SetAuthority{Collection: "batches", Authority: "nobody", Topics: []string{"purity"}})
	w.refused(ErrUnauthorized, bob, &SetAuthority{Collection: "batches", Authority: "lab", Topics: []string{"purity"}})
	w.do(ann, &SetAuthority{Collection: "batches", Authority: "lab", Topics: []string{"purity", "weight"}, Expires: w.in(time.Hour)})
	w.refused(ErrScope, bob, attest("price"))
	w.refused(ErrUnauthorized, cem, attest("purity"))
	expiring := attest("purity")
	expiring.Expires = w.in(time.Minute)
	first := w.do(bob, expiring)
	require.EqualValues(t, 1, first.Number)
	w.do(ann, &UpdateRecord{Collection: "batches", ID: "1", Data: []byte("v2")})
	old := attest("weight")
	old.Version = 1
	second := w.doSigned(cem, old, bob) // signed elsewhere
	require.EqualValues(t, 2, second.Number)
	old.Version = 3
	w.refused(ErrNotFound, bob, old)
	require.Equal(t, first.Digest, second.Digest)

	list := w.read(&ListAttestations{Collection: "batches", ID: "1"}).Attestations
	require.Len(t, list, 2)
	require.Equal(t, first.Digest, list[0].Digest)
	require.Equal(t, "pure", string(list[1].Statement))
	require.Equal(t, AttestationValid, list[0].Status(w.now))
	require.Equal(t, AttestationExpired, list[0].Status(w.in(time.Minute)))

	w.refused(ErrNotFound, bob, &RevokeAttestation{As: "lab", Collection: "batches", ID: "1", Number: 3})
	w.refused(ErrUnauthorized, cem, &RevokeAttestation{Collection: "batches", ID: "1", Number: 2})
	w.do(ann, &RevokeAttestation{Collection: "batches", ID: "1", Number: 2, Reason: "bad scales"})
	w.refused(ErrRevoked, bob, &RevokeAttestation{As: "lab", Collection: "batches", ID: "1", Number: 2})
	list = w.read(&ListAttestations{Collection: "batches", ID: "1", After: 1}).Attestations
	require.Len(t, list, 1)
	require.Equal(t, AttestationRevoked, list[0].Status(w.now))
	require.Equal(t, "bad scales", list[0].Reason)

	// Its scope ends.
	w.pass(time.Hour)
	w.refused(ErrExpired, bob, attest("purity"))
	w.do(ann, &SetAuthority{Collection: "batches", Authority: "lab", Topics: []string{AnyTopic}})
	w.do(bob, attest("anything"))
	w.do(ann, &SetAuthority{Collection: "batches", Authority: "lab"})
	w.refused(ErrUnauthorized, bob, attest("purity"))
	require.Empty(t, w.read(&ListAuthorities{Collection: "batches"}).Authorities[0].Topics)
	w.do(ann, &RevokeRecord{Collection: "batches", ID: "1"})
	w.refused(ErrRevoked, bob, attest("purity"))
	w.do(bob, &RevokeAttestation{As: "lab", Collection: "batches", ID: "1", Number: 1})
}

// Signatures of others: once, here, and in time.
func TestEnvelopes(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "c", Rules: OpenCreate})
	create := func(id string) Operation { return &CreateRecord{As: bob.party(), Collection: "c", ID: id} }
	w.refused(ErrUnauthorized, ann, create("1"))
	good := w.sign(create("1"), bob)
	require.NoError(t, w.submit(ann, good).Err())
	require.ErrorIs(t, w.submit(ann, good).Err(), ErrReplayed)
	require.ErrorIs(t, w.submit(cem, good).Err(), ErrReplayed)

	// What was refused has not been used.
	later := w.sign(&UpdateRecord{As: bob.party(), Collection: "c", ID: "2"}, bob)
	require.ErrorIs(t, w.submit(ann, later).Err(), ErrNotFound)
	w.doSigned(ann, create("2"), bob)
	require.NoError(t, w.submit(ann, later).Err())

	foreign := signed.Envelope{Deadline: w.in(time.Minute), Op: Encode(create("3"))}
	require.NoError(t, foreign.Sign(Space(crypto.Digest{9}), bob))
	require.ErrorIs(t, w.submit(ann, EncodeSigned(&foreign)).Err(), ErrBadSignature)
	forged := signed.Envelope{Deadline: w.in(time.Minute), Op: Encode(create("3"))}
	require.NoError(t, forged.Sign(Space(chain), ann))
	forged.Signatures[0].Key = bob.Public()
	require.ErrorIs(t, w.submit(ann, EncodeSigned(&forged)).Err(), ErrBadSignature)

	late := w.sign(create("3"), bob)
	w.pass(time.Minute + 1)
	require.ErrorIs(t, w.submit(ann, late).Err(), ErrExpired)
	far := signed.Envelope{Deadline: w.in(31 * 24 * time.Hour), Op: Encode(create("3"))}
	require.NoError(t, far.Sign(Space(chain), bob))
	require.ErrorIs(t, w.submit(ann, EncodeSigned(&far)).Err(), ErrExpired)

	for name, op := range map[string][]byte{"nothing": nil, "an envelope": w.sign(create("3"), bob), "a read": Encode(&GetInfo{}), "unknown": {200}, "broken": {byte(KindCreateRecord), 1}} {
		e := signed.Envelope{Deadline: w.in(time.Minute), Op: op}
		require.Error(t, w.submit(ann, EncodeSigned(&e)).Err(), name)
	}
	require.ErrorIs(t, w.submit(ann, []byte{byte(KindSigned), 1}).Err(), ErrMalformed)
}

func TestRegistrar(t *testing.T) {
	g := Genesis{
		Parties:     []GenesisParty{{Name: Registrar, Keys: signed.Of(2, keysOf(ann, bob)...), Recovery: dan.alone()}, {Name: "lab", Keys: cem.alone()}},
		Collections: []GenesisCollection{{Name: "births", Controller: "lab", Schema: []byte(`{ "type": "object" }`), Authorities: []GenesisAuthority{{Name: "lab", Topics: []string{"b", "a"}}}}},
	}
	w := newWorld(t, g)
	w.refused(ErrUnauthorized, cem, &CreateCollection{Name: "deaths"})
	w.refused(ErrUnauthorized, cem, &RegisterParty{Name: "clinic", Keys: cem.alone()})
	w.refusedSigned(ErrUnauthorized, cem, &RegisterParty{Name: "clinic", Keys: cem.alone()}, ann)
	w.doSigned(cem, &RegisterParty{Name: "clinic", Keys: cem.alone()}, ann, bob)
	w.doSigned(cem, &CreateCollection{As: "clinic", Name: "deaths"}, ann, bob)
	w.do(cem, &CreateRecord{As: "lab", Collection: "births", ID: "1", Data: []byte(`{}`)})
	require.Equal(t, `{"type":"object"}`, string(w.read(&GetSchema{"births", 0}).Schema))
	require.Equal(t, []string{"a", "b"}, w.read(&ListAuthorities{Collection: "births"}).Authorities[0].Topics)
	i := w.read(&GetInfo{}).Info
	require.Equal(t, chain, i.Chain)
	require.Equal(t, []uint64{3, 2, 1}, []uint64{i.Parties, i.Collections, i.Records})
}

func TestGenesis(t *testing.T) {
	for text, says := range map[string]string{
		`{"partys": []}`: "unknown field",
		`{"parties": [{"name": "A", "keys": {}}]}`:                                                                `party "A": name is none`,
		`{"parties": [{"name": "a", "keys": {"m": 1, "keys": []}}]}`:                                              `party "a": keys: threshold has 0 keys`,
		`{"collections": [{"name": "c", "controller": "x"}]}`:                                                     `collection "c": "x" is none of the parties`,
		`{"collections": [{"name": "c", "controller": "KEY", "schema": {"a": 1}}]}`:                               `not a keyword`,
		`{"collections": [{"name": "c", "controller": "KEY"}, {"name": "c", "controller": "KEY"}]}`:               "there twice",
		`{"collections": [{"name": "c", "controller": "KEY", "rules": ["no-rule"]}]}`:                             "is none of open-create",
		`{"collections": [{"name": "c", "controller": "KEY", "authorities": [{"name": "x", "topics": []}]}]}`:     `authority "x"`,
		`{"collections": [{"name": "c", "controller": "KEY", "authorities": [{"name": "KEY", "topics": [""]}]}]}`: `topic is none`,
		`{"limits": {"maxIDBytes": 0}}`:                                                                           "maxIDBytes is 0: set 1 to 1024",
	} {
		_, err := ParseGenesis([]byte(strings.ReplaceAll(text, "KEY", string(ann.party()))))
		require.ErrorIs(t, err, ErrGenesis, text)
		require.ErrorContains(t, err, says, text)
	}
	g, err := ParseGenesis(nil)
	require.NoError(t, err)
	require.Empty(t, g)
	// The limits go with the state.
	small := DefaultLimits()
	small.MaxDataBytes = 10
	one, two := newWorld(t, Genesis{Limits: &small}), newWorld(t, Genesis{})
	require.NotEqual(t, one.m.Digest(), two.m.Digest())
	snap, err := one.m.Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = snap.WriteTo(&b)
	require.NoError(t, err)
	two.do(ann, &CreateCollection{Name: "c"})
	require.NoError(t, two.m.Restore(&b))
	two.do(ann, &CreateCollection{Name: "c"})
	two.refused(ErrTooLarge, ann, &CreateRecord{Collection: "c", ID: "1", Data: make([]byte, 11)})
}

func TestLimits(t *testing.T) {
	l := DefaultLimits()
	l.MaxVersions, l.MaxAttestations, l.MaxPage, l.MaxIDBytes = 3, 2, 4, 8
	l.MaxStateBytes = 20_000
	w := newWorld(t, Genesis{Limits: &l})
	w.do(ann, &CreateCollection{Name: "c"})
	w.refused(ErrTooLarge, ann, &CreateRecord{Collection: "c", ID: "123456789"})
	w.refused(ErrTooLarge, ann, &CreateRecord{Collection: "c", ID: "1", Data: make([]byte, l.MaxDataBytes+1)})
	w.refused(ErrTooLarge, ann, &CreateCollection{Name: strings.Repeat("a", 65)})
	for _, id := range []string{"", "a\x00", "a\n", "\xff", "\x7f"} {
		w.refused(ErrMalformed, ann, &CreateRecord{Collection: "c", ID: id})
	}
	w.do(ann, &CreateRecord{Collection: "c", ID: "ä/1"})
	w.do(ann, &SetAuthority{Collection: "c", Authority: ann.party(), Topics: []string{"t"}})
	for range 2 {
		w.do(ann, &UpdateRecord{Collection: "c", ID: "ä/1"})
		w.do(ann, &Attest{Collection: "c", ID: "ä/1", Topic: "t"})
	}
	w.refused(ErrLimit, ann, &UpdateRecord{Collection: "c", ID: "ä/1"})
	w.refused(ErrLimit, ann, &Attest{Collection: "c", ID: "ä/1", Topic: "t"})
	w.do(ann, &RevokeRecord{Collection: "c", ID: "ä/1"})
	n := 0
	for ; ; n++ {
		r := w.submit(ann, Encode(&CreateRecord{Collection: "c", ID: fmt.Sprint(n), Data: make([]byte, 100)}))
		if r.Code == CodeNoSpace {
			break
		}
		require.NoError(t, r.Err())
	}
	require.Greater(t, n, 5)
	require.LessOrEqual(t, w.read(&GetInfo{}).Info.Bytes, uint64(20_000))

	// Pages.
	var ids []string
	for after := ""; ; {
		r := w.read(&ListRecords{Collection: "c", After: after, Limit: 3})
		for _, rec := range r.Records {
			ids = append(ids, rec.ID)
		}
		if !r.More {
			break
		}
		require.Len(t, r.Records, 3)
		after = r.Records[2].ID
	}
	require.Len(t, ids, n+1)
	require.Len(t, w.read(&ListRecords{Collection: "c"}).Records, 4, "the registry's own limit")
	owned := w.read(&ListOwned{Owner: ann.party(), Limit: 2})
	require.True(t, owned.More)
	next := w.read(&ListOwned{Owner: ann.party(), AfterCollection: "c", AfterID: owned.Records[1].ID, Limit: 1}).Records
	require.Equal(t, ids[2], next[0].ID)
}

// The bytes that are counted are those that are there.
func TestBytesAreCounted(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.twoOf("two", ann, bob, cem, signed.Threshold{})
	w.do(ann, &CreateCollection{Name: "c", Schema: []byte(personSchema)})
	w.do(ann, &CreateRecord{Collection: "c", ID: "1", Data: []byte(`{"name": "x"}`), Commitment: crypto.Digest{1}})
	w.do(ann, &UpdateRecord{Collection: "c", ID: "1"})
	w.do(ann, &Delegate{Collection: "c", To: bob.party(), Rights: MayUpdate})
	w.do(ann, &Delegate{Collection: "c", To: bob.party()})
	v, err := w.m.Store().Last()
	require.NoError(t, err)
	var size int64
	for key, value := range v.Range(nil, nil) {
		if string(key) != keyCounts {
			size += entrySize(key, value)
		}
	}
	require.EqualValues(t, size, w.read(&GetInfo{}).Info.Bytes)
}

func TestQueriesThatAreNone(t *testing.T) {
	w := newWorld(t, Genesis{})
	for _, q := range [][]byte{nil, {0}, {byte(KindGetRecord)}, Encode(&CreateCollection{Name: "c"}), Encode(&GetRecord{"C", "1"})} {
		_, err := w.m.Query(t.Context(), q)
		require.ErrorIs(t, err, ErrQuery)
	}
}

// From the store's digest to a field of a document, offline.
func TestProofs(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "people", Rules: CommitmentsOnly})
	doc, err := disclosure.New(map[string]string{"name": "Ada", "born": "1815-12-10"}, bytes.NewReader(make([]byte, 64)))
	require.NoError(t, err)
	w.do(ann, &CreateRecord{Collection: "people", ID: "ada", Commitment: doc.Commitment()})
	state, height := w.m.Digest(), w.height
	prove := func(key []byte) *proof.Proof {
		b, err := w.m.Query(t.Context(), store.ProofQuery(height, key))
		require.NoError(t, err)
		p, err := proof.Decode(b)
		require.NoError(t, err)
		return p
	}
	shown, err := doc.Disclose("born")
	require.NoError(t, err)
	p := disclosure.Presentation{Collection: "people", ID: "ada", Version: 1, Proof: prove(disclosure.CommitmentKey("", "people", "ada", 1)), Disclosure: shown}
	fields, err := p.Verify(state, "")
	require.NoError(t, err)
	require.Equal(t, "1815-12-10", fields[0].Value)

	rec, err := VerifyRecord(prove(RecordKey("people", "ada")), state, "", "people", "ada")
	require.NoError(t, err)
	require.False(t, rec.Revoked)
	v := w.read(&GetVersion{"people", "ada", 1}).Version
	require.Equal(t, rec.Digest, v.Digest("people", "ada"))
	_, err = VerifyRecord(prove(RecordKey("people", "ada")), crypto.Digest{1}, "", "people", "ada")
	require.ErrorIs(t, err, proof.ErrInvalid)
	_, err = VerifyRecord(prove(RecordKey("people", "bob")), state, "", "people", "bob")
	require.ErrorIs(t, err, ErrNotFound)
}

func TestNames(t *testing.T) {
	for _, k := range []Kind{KindRegisterParty, KindListDelegations} {
		require.NotEqual(t, "unknown", k.String())
	}
	for k := range kindNames {
		if k == KindSigned {
			continue
		}
		o := newOperation(k)
		require.NotNil(t, o, k)
		require.Equal(t, k, o.Kind())
		_, isRead := o.(read)
		_, isWrite := o.(write)
		require.Equal(t, k.Read(), isRead, k)
		require.Equal(t, !k.Read(), isWrite, k)
		require.Equal(t, k, KindOf(Encode(o)))
		require.Equal(t, k, KindOf(EncodeSigned(&signed.Envelope{Op: Encode(o)})))
		name, isRead := Classify(Encode(o))
		submits, reads := Kinds()
		require.Equal(t, isRead, slices.Contains(reads, name), name)
		require.Equal(t, !isRead, slices.Contains(submits, name), name)
	}
	for _, b := range [][]byte{nil, {}, {0}, {255}, {byte(KindSigned)}, EncodeSigned(&signed.Envelope{}), EncodeSigned(&signed.Envelope{Op: []byte{byte(KindSigned)}})} {
		require.Zero(t, KindOf(b))
	}
	r, err := ParseRules("immutable, open-create")
	require.NoError(t, err)
	require.Equal(t, "open-create,immutable", r.String())
	_, err = ParseRights("fly")
	require.ErrorContains(t, err, `"fly" is none of create, update, transfer, revoke`)
	k, ok := ann.party().Key()
	require.True(t, ok)
	require.Equal(t, ann.Public(), k)
	for _, bad := range []Party{"", "key:", "key:00", Party(strings.ToUpper(string(ann.party()))), "a b", "-a", ".a", "Ä"} {
		require.False(t, bad.Valid(), bad)
	}
}

// countingVerifier counts the signatures that it checks.
type countingVerifier struct {
	crypto.RequestVerifier
	checked int
}

func (c *countingVerifier) VerifyBatch(items []crypto.Item) []bool {
	c.checked += len(items)
	return c.RequestVerifier.VerifyBatch(items)
}

// Who has a say is asked before any signature is checked: rubbish costs no more than the
// one that has a say, and keys that count for nothing are not looked at.
func TestSignaturesAreCheckedLast(t *testing.T) {
	h, err := New(chain, Genesis{})
	require.NoError(t, err)
	v := &countingVerifier{RequestVerifier: h.verifier}
	h.verifier = v
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	m, err := store.NewMachine(s, h)
	require.NoError(t, err)
	w := &world{t: t, m: m, now: start}
	w.do(ann, &CreateCollection{Name: "c", Rules: OpenCreate})
	rubbish := func(op Operation, good ...*ed25519.Signer) []byte {
		e := signed.Envelope{Deadline: w.in(time.Minute), Op: Encode(op)}
		for n := range byte(signed.MaxKeys - len(good)) {
			e.Add(signed.Signature{Key: crypto.PublicKey{200, n}})
		}
		for _, s := range good {
			require.NoError(t, e.Sign(Space(chain), s))
		}
		return EncodeSigned(&e)
	}
	require.ErrorIs(t, w.submit(ann, rubbish(&UpdateRecord{As: bob.party(), Collection: "c", ID: "1"})).Err(), ErrUnauthorized)
	require.ErrorIs(t, w.submit(ann, rubbish(&UpdateRecord{As: ann.party(), Collection: "c", ID: "1"})).Err(), ErrNotFound)
	require.Zero(t, v.checked)
	require.NoError(t, w.submit(ann, rubbish(&CreateRecord{As: bob.party(), Collection: "c", ID: "1"}, bob.Signer)).Err())
	require.Equal(t, 1, v.checked)
	forged := signed.Envelope{Deadline: w.in(time.Minute), Op: Encode(&RegisterParty{Name: "many", Keys: signed.Of(1, ann.Public(), bob.Public(), cem.Public())})}
	for _, p := range []crypto.PublicKey{ann.Public(), bob.Public(), cem.Public()} {
		forged.Add(signed.Signature{Key: p})
	}
	require.ErrorIs(t, w.submit(ann, EncodeSigned(&forged)).Err(), ErrBadSignature)
	require.Equal(t, 2, v.checked, "the first is bad")
	w.refused(ErrNotFound, ann, &GetParty{Name: "many"})
}

// No schema works for those who only say that others have signed: none is compiled, kept, or
// has data held against it.
func TestSchemasWorkForSignatures(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.do(ann, &CreateCollection{Name: "c", Schema: []byte(`{"type": "object"}`)})
	forged := func(o Operation) error {
		e := signed.Envelope{Deadline: w.in(time.Minute), Op: Encode(o)}
		e.Add(signed.Signature{Key: ann.Public()})
		return w.submit(bob, EncodeSigned(&e)).Err()
	}
	for _, o := range []Operation{
		&CreateRecord{As: ann.party(), Collection: "c", ID: "1", Data: []byte("1")},
		&AddSchema{As: ann.party(), Collection: "c", Schema: []byte(`{"typ": 1}`)},
		&CreateCollection{As: ann.party(), Name: "d", Schema: []byte(`{"typ": 1}`)},
	} {
		require.ErrorIs(t, forged(o), ErrBadSignature, "%v", o.Kind())
		require.Error(t, w.submit(bob, w.sign(o, ann)).Err())
		require.NotErrorIs(t, w.submit(bob, w.sign(o, ann)).Err(), ErrBadSignature, "%v", o.Kind())
	}
	// What costs less is refused for that.
	require.ErrorIs(t, forged(&CreateRecord{As: ann.party(), Collection: "c", ID: "1", Data: []byte("{}"), Schema: 2}), ErrNotFound)
	require.NoError(t, w.submit(bob, w.sign(&CreateRecord{As: ann.party(), Collection: "c", ID: "1", Data: []byte("{}")}, ann)).Err())
}

// What operations read is counted alike whether this process has compiled a schema before or
// not: else a replica that was started since would come to other results.
func TestSchemasCountAlike(t *testing.T) {
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<10
	text := []byte(`{"type": "object", "description": "` + strings.Repeat("a", 40<<10) + `"}`)
	var outcomes [2][]statemachine.ResultCode
	for at, forgets := range []bool{false, true} {
		h, err := New(chain, Genesis{})
		require.NoError(t, err)
		s, err := store.Open(t.Context(), store.DefaultConfig())
		require.NoError(t, err)
		m, err := store.NewMachine(s, h)
		require.NoError(t, err)
		e := statemachine.NewExecutor(m, l)
		height := uint64(0)
		run := func(ops ...Operation) {
			height++
			r := statemachine.Request{Client: ann.Public(), Seq: height, Low: height, Deadline: start + 20, Digest: crypto.Hash("test", fmt.Append(nil, height))}
			for _, o := range ops {
				r.Ops = append(r.Ops, Encode(o))
			}
			x, err := e.Execute(statemachine.RequestBlock{Height: height, Time: start, Requests: []statemachine.Request{r}})
			require.NoError(t, err)
			for _, r := range x.Replies[0].Results {
				outcomes[at] = append(outcomes[at], r.Code)
			}
		}
		ops := []Operation{&CreateCollection{Name: "c", Schema: text}}
		create := func(i int) Operation { return &CreateRecord{Collection: "c", ID: fmt.Sprint(i), Data: []byte("{}")} }
		for i := range 50 {
			ops = append(ops, create(i))
		}
		run(ops...)
		if forgets {
			h.schemas = schemaCache{} // as in a process that went on from a snapshot
		}
		ops = []Operation{create(50)}
		for range 200 {
			ops = append(ops, &ListRecords{Collection: "c", Limit: 30})
		}
		run(ops...)
	}
	require.Contains(t, outcomes[0], statemachine.CodeBlockWorked)
	require.Equal(t, outcomes[0], outcomes[1])
}
