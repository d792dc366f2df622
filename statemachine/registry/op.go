package registry

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Kind is the kind of an operation or a query. The numbers are part of the encoding.
type Kind uint8

// The kinds.
const (
	KindRegisterParty Kind = 1
	KindRotateParty   Kind = 2
	KindRevokeKey     Kind = 3

	KindCreateCollection Kind = 10
	KindSetCollection    Kind = 11
	KindAddSchema        Kind = 12
	KindSetAuthority     Kind = 13

	KindCreateRecord   Kind = 20
	KindUpdateRecord   Kind = 21
	KindRevokeRecord   Kind = 22
	KindOfferRecord    Kind = 23
	KindAcceptRecord   Kind = 24
	KindTransferRecord Kind = 25

	KindDelegate          Kind = 30
	KindAttest            Kind = 31
	KindRevokeAttestation Kind = 32

	// KindSigned is an envelope around one of those above.
	KindSigned Kind = 63

	// Reads: operations that change nothing, and queries.
	KindGetInfo          Kind = 64
	KindGetParty         Kind = 65
	KindGetKey           Kind = 66
	KindGetCollection    Kind = 67
	KindListCollections  Kind = 68
	KindGetSchema        Kind = 69
	KindListAuthorities  Kind = 70
	KindGetRecord        Kind = 71
	KindGetVersion       Kind = 72
	KindListVersions     Kind = 73
	KindListRecords      Kind = 74
	KindListOwned        Kind = 75
	KindListAttestations Kind = 76
	KindListDelegations  Kind = 77
)

var kindNames = map[Kind]string{
	KindRegisterParty: "register-party", KindRotateParty: "rotate-party", KindRevokeKey: "revoke-key",
	KindCreateCollection: "create-collection", KindSetCollection: "set-collection", KindAddSchema: "add-schema", KindSetAuthority: "set-authority",
	KindCreateRecord: "create-record", KindUpdateRecord: "update-record", KindRevokeRecord: "revoke-record", KindOfferRecord: "offer-record",
	KindAcceptRecord: "accept-record", KindTransferRecord: "transfer-record",
	KindDelegate: "delegate", KindAttest: "attest", KindRevokeAttestation: "revoke-attestation", KindSigned: "signed",
	KindGetInfo: "get-info", KindGetParty: "get-party", KindGetKey: "get-key", KindGetCollection: "get-collection", KindListCollections: "list-collections",
	KindGetSchema: "get-schema", KindListAuthorities: "list-authorities", KindGetRecord: "get-record", KindGetVersion: "get-version",
	KindListVersions: "list-versions", KindListRecords: "list-records", KindListOwned: "list-owned", KindListAttestations: "list-attestations",
	KindListDelegations: "list-delegations",
}

// String names the kind.
func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return "unknown"
}

// Read tells whether operations of the kind change nothing.
func (k Kind) Read() bool { return k >= KindGetInfo }

// Operation is one of the operation types of this package; [Encode] makes bytes of it.
type Operation interface {
	Kind() Kind
	code(*canon.Codec)
	// check refuses what no state would make good.
	check(*Limits) error
}

// Encode returns the encoding of an operation, or of a query.
func Encode(o Operation) []byte { return canon.Append([]byte{byte(o.Kind())}, o.code) }

// EncodeSigned returns the operation that an envelope makes, whose Op is an encoded
// operation that is not signed itself.
func EncodeSigned(e *signed.Envelope) []byte { return append([]byte{byte(KindSigned)}, e.Encode()...) }

// Space is where signatures for the registry of a chain count.
func Space(chain crypto.Digest) signed.Space {
	return signed.Space{Chain: chain, Application: "registry"}
}

// KindOf returns the kind of an encoded operation or query; of a signed one, that of the
// operation in the envelope. It is [Kind] 0 if there is none.
func KindOf(b []byte) Kind {
	if len(b) == 0 {
		return 0
	}
	if Kind(b[0]) == KindSigned {
		e, err := signed.Decode(b[1:])
		if err != nil || len(e.Op) == 0 {
			return 0
		}
		b = e.Op
	}
	if _, ok := kindNames[Kind(b[0])]; !ok || Kind(b[0]) == KindSigned {
		return 0
	}
	return Kind(b[0])
}

// Decode reads an operation that Encode wrote. The error wraps [ErrMalformed] or
// [ErrRejected].
func Decode(b []byte) (Operation, error) {
	o, err := decode(b)
	if err != nil {
		return nil, err.(*refusal).result().Err()
	}
	return o, nil
}

func decode(b []byte) (Operation, error) {
	if len(b) == 0 {
		return nil, refuse(CodeMalformed, "it is empty")
	}
	o := newOperation(Kind(b[0]))
	if o == nil {
		return nil, refuse(CodeUnsupported, "there are no operations of kind %d", b[0])
	}
	if err := canon.Decode(b[1:], o.code); err != nil {
		return nil, refuse(CodeMalformed, "%s: its encoding is wrong", o.Kind())
	}
	return o, nil
}

func newOperation(k Kind) Operation {
	switch k {
	case KindRegisterParty:
		return new(RegisterParty)
	case KindRotateParty:
		return new(RotateParty)
	case KindRevokeKey:
		return new(RevokeKey)
	case KindCreateCollection:
		return new(CreateCollection)
	case KindSetCollection:
		return new(SetCollection)
	case KindAddSchema:
		return new(AddSchema)
	case KindSetAuthority:
		return new(SetAuthority)
	case KindCreateRecord:
		return new(CreateRecord)
	case KindUpdateRecord:
		return new(UpdateRecord)
	case KindRevokeRecord:
		return new(RevokeRecord)
	case KindOfferRecord:
		return new(OfferRecord)
	case KindAcceptRecord:
		return new(AcceptRecord)
	case KindTransferRecord:
		return new(TransferRecord)
	case KindDelegate:
		return new(Delegate)
	case KindAttest:
		return new(Attest)
	case KindRevokeAttestation:
		return new(RevokeAttestation)
	case KindGetInfo:
		return new(GetInfo)
	case KindGetParty:
		return new(GetParty)
	case KindGetKey:
		return new(GetKey)
	case KindGetCollection:
		return new(GetCollection)
	case KindListCollections:
		return new(ListCollections)
	case KindGetSchema:
		return new(GetSchema)
	case KindListAuthorities:
		return new(ListAuthorities)
	case KindGetRecord:
		return new(GetRecord)
	case KindGetVersion:
		return new(GetVersion)
	case KindListVersions:
		return new(ListVersions)
	case KindListRecords:
		return new(ListRecords)
	case KindListOwned:
		return new(ListOwned)
	case KindListAttestations:
		return new(ListAttestations)
	case KindListDelegations:
		return new(ListDelegations)
	}
	return nil
}

// In the operations below, As is the party that its author acts as; empty is the key
// that signed the request. Name it in an operation that goes into an envelope: there,
// empty is whoever submits it.

// RegisterParty makes a party with a name. Enough of its keys must sign, so that nobody
// registers what nobody can use; and the party [Registrar], if there is one.
type RegisterParty struct {
	Name     Party
	Keys     signed.Threshold
	Recovery signed.Threshold
}

// Kind is KindRegisterParty.
func (*RegisterParty) Kind() Kind { return KindRegisterParty }
func (o *RegisterParty) code(c *canon.Codec) {
	codeParty(c, &o.Name)
	o.Keys.Code(c)
	o.Recovery.Code(c)
}

// RotateParty gives a party new keys. The old ones must sign, or those of its recovery;
// and enough of the new ones. Where SetRecovery says so Recovery is changed as well, for
// which the old recovery must sign if there is one.
type RotateParty struct {
	Name        Party
	Keys        signed.Threshold
	SetRecovery bool
	Recovery    signed.Threshold
}

// Kind is KindRotateParty.
func (*RotateParty) Kind() Kind { return KindRotateParty }
func (o *RotateParty) code(c *canon.Codec) {
	codeParty(c, &o.Name)
	o.Keys.Code(c)
	c.Bool(&o.SetRecovery)
	o.Recovery.Code(c)
}

// RevokeKey says that a key is not to be trusted any more. Without Party the key itself
// must sign, and signs nothing any more, for whomever. With Party, that party or its
// recovery signs, and the key does not sign for that party any more; half of what a party
// may have revoked is left to its recovery, if it has one. Since is the block time from
// which on its signatures are not to be trusted, 0 for that of the operation.
//
// Who may revoke a key may do so again, to say that it was not to be trusted even before:
// with an earlier Since, and never a later one. So a thief who revokes a key first, as of
// now, has hidden nothing of what he did with it.
type RevokeKey struct {
	Party  Party
	Key    crypto.PublicKey
	Since  statemachine.Time
	Reason string
}

// Kind is KindRevokeKey.
func (*RevokeKey) Kind() Kind { return KindRevokeKey }
func (o *RevokeKey) code(c *canon.Codec) {
	codeParty(c, &o.Party)
	c.Fixed(o.Key[:])
	c.Uint64((*uint64)(&o.Since))
	c.String(&o.Reason, huge)
}

// CreateCollection makes a collection. Its controller is the author if none is named;
// if one is, it must have signed too. The party [Registrar], if there is one, must sign.
type CreateCollection struct {
	As         Party
	Name       string
	Controller Party
	Rules      Rules
	// Schema is JSON Schema, empty for none (see package schema for what it may say).
	Schema []byte
	About  string
}

// Kind is KindCreateCollection.
func (*CreateCollection) Kind() Kind { return KindCreateCollection }
func (o *CreateCollection) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Name, huge)
	codeParty(c, &o.Controller)
	o.Rules.code(c)
	c.Bytes(&o.Schema, huge)
	c.String(&o.About, huge)
}

// SetCollection changes a collection's controller, which must sign too if it is new,
// and its rules. Its author is the controller.
type SetCollection struct {
	As         Party
	Collection string
	Controller Party
	Rules      Rules
	About      string
}

// Kind is KindSetCollection.
func (*SetCollection) Kind() Kind { return KindSetCollection }
func (o *SetCollection) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	codeParty(c, &o.Controller)
	o.Rules.code(c)
	c.String(&o.About, huge)
}

// AddSchema adds the next schema to a collection. Records that were written keep the
// number of the schema that they followed then; later writes may name any from Floor on,
// and follow the latest if they name none. Its author is the controller.
type AddSchema struct {
	As         Party
	Collection string
	Schema     []byte
	// Floor is the lowest number that writes may still name, at least as high as before;
	// 0 leaves it.
	Floor uint32
}

// Kind is KindAddSchema.
func (*AddSchema) Kind() Kind { return KindAddSchema }
func (o *AddSchema) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.Bytes(&o.Schema, huge)
	c.Uint32(&o.Floor)
}

// SetAuthority says what a party may attest in a collection: these topics, which replace
// those it had, until Expires (0: for ever); "*" is any topic, and none takes everything
// from it. What it attested before stays. Its author is the controller.
type SetAuthority struct {
	As         Party
	Collection string
	Authority  Party
	Topics     []string
	Expires    statemachine.Time
}

// Kind is KindSetAuthority.
func (*SetAuthority) Kind() Kind { return KindSetAuthority }
func (o *SetAuthority) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	codeParty(c, &o.Authority)
	codeTopics(c, &o.Topics)
	c.Uint64((*uint64)(&o.Expires))
}

// CreateRecord makes a record. Its author is the collection's controller or has the
// right from it, or the rules are open. Owner is the author if empty.
type CreateRecord struct {
	As         Party
	Collection string
	ID         string
	Owner      Party
	// Schema is the number of the schema that Data follow, 0 for the latest.
	Schema uint32
	Data   []byte
	// Commitment stands for data that are kept elsewhere (see package disclosure); zero
	// for none.
	Commitment crypto.Digest
}

// Kind is KindCreateRecord.
func (*CreateRecord) Kind() Kind { return KindCreateRecord }
func (o *CreateRecord) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	codeParty(c, &o.Owner)
	c.Uint32(&o.Schema)
	c.Bytes(&o.Data, huge)
	c.Fixed(o.Commitment[:])
}

// UpdateRecord replaces data and commitment. Its author is the owner or has the right
// from it.
type UpdateRecord struct {
	As         Party
	Collection string
	ID         string
	// Version is that which the record must have, 0 for any.
	Version    uint64
	Schema     uint32
	Data       []byte
	Commitment crypto.Digest
}

// Kind is KindUpdateRecord.
func (*UpdateRecord) Kind() Kind { return KindUpdateRecord }
func (o *UpdateRecord) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.Version)
	c.Uint32(&o.Schema)
	c.Bytes(&o.Data, huge)
	c.Fixed(o.Commitment[:])
}

// RevokeRecord ends a record: it can be read for ever and changed no more. Its author is
// the owner or has the right from it; or the controller, where the rules permit it.
type RevokeRecord struct {
	As         Party
	Collection string
	ID         string
	Reason     string
}

// Kind is KindRevokeRecord.
func (*RevokeRecord) Kind() Kind { return KindRevokeRecord }
func (o *RevokeRecord) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.String(&o.Reason, huge)
}

// OfferRecord offers a record to a party, until Expires (0: until it is withdrawn); it
// replaces an earlier offer. An empty To withdraws it. Its author is the owner or has the
// right from it.
type OfferRecord struct {
	As         Party
	Collection string
	ID         string
	To         Party
	Expires    statemachine.Time
}

// Kind is KindOfferRecord.
func (*OfferRecord) Kind() Kind { return KindOfferRecord }
func (o *OfferRecord) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	codeParty(c, &o.To)
	c.Uint64((*uint64)(&o.Expires))
}

// AcceptRecord makes its author, whom the record was offered to, the owner. Version is
// that which the record must have, 0 for any: it may have been changed since the offer.
type AcceptRecord struct {
	As         Party
	Collection string
	ID         string
	Version    uint64
}

// Kind is KindAcceptRecord.
func (*AcceptRecord) Kind() Kind { return KindAcceptRecord }
func (o *AcceptRecord) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.Version)
}

// TransferRecord makes To the owner in one step: where the rules permit it, or To has
// signed too. Its author is the owner or has the right from it.
type TransferRecord struct {
	As         Party
	Collection string
	ID         string
	To         Party
}

// Kind is KindTransferRecord.
func (*TransferRecord) Kind() Kind { return KindTransferRecord }
func (o *TransferRecord) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	codeParty(c, &o.To)
}

// Delegate lets To do in the author's name what Rights say, with one record or, if ID is
// empty, with all that the author has in the collection; until Expires (0: until it is
// revoked). It replaces what To had before; no rights revoke it. Rights end when the
// record changes hands, and cannot be passed on.
type Delegate struct {
	As         Party
	Collection string
	ID         string
	To         Party
	Rights     Rights
	Expires    statemachine.Time
}

// Kind is KindDelegate.
func (*Delegate) Kind() Kind { return KindDelegate }
func (o *Delegate) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	codeParty(c, &o.To)
	o.Rights.code(c)
	c.Uint64((*uint64)(&o.Expires))
}

// Attest states something about a version of a record, in the name of an authority of
// the collection.
type Attest struct {
	As         Party
	Collection string
	ID         string
	// Version is the version that it is about, 0 for the latest.
	Version uint64
	Topic   string
	// Statement are any bytes that the topic calls for.
	Statement []byte
	// Expires is the block time from which on it is void, 0 for never.
	Expires statemachine.Time
}

// Kind is KindAttest.
func (*Attest) Kind() Kind { return KindAttest }
func (o *Attest) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.Version)
	c.String(&o.Topic, huge)
	c.Bytes(&o.Statement, huge)
	c.Uint64((*uint64)(&o.Expires))
}

// RevokeAttestation takes an attestation back. Its author is the authority that made it,
// or the collection's controller.
type RevokeAttestation struct {
	As         Party
	Collection string
	ID         string
	Number     uint64
	Reason     string
}

// Kind is KindRevokeAttestation.
func (*RevokeAttestation) Kind() Kind { return KindRevokeAttestation }
func (o *RevokeAttestation) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.String(&o.ID, huge)
	c.Uint64(&o.Number)
	c.String(&o.Reason, huge)
}
