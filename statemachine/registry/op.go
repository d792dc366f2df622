package registry

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
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
//
// As, in those that have it, is the party that the author acts as; empty is the key that
// signed the request. Name it in an operation that goes into an envelope: there, empty is
// whoever submits it.
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
