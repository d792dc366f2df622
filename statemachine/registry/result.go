package registry

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// How operations end beside CodeOK. A rejection changes nothing, and its data are words
// for people, the same on every replica.
const (
	CodeMalformed   = statemachine.CodeMalformed
	CodeUnsupported = statemachine.CodeUnsupported
	CodeTooLarge    = statemachine.CodeTooLarge

	// CodeNotFound: there is no such record, version, collection, party ...
	CodeNotFound = statemachine.CodeApplication + 0
	// CodeExists: there is one already.
	CodeExists = statemachine.CodeApplication + 1
	// CodeUnauthorized: who signed may not do this.
	CodeUnauthorized = statemachine.CodeApplication + 2
	// CodeBadSignature: a signature in an envelope does not verify, or is a foreign one.
	CodeBadSignature = statemachine.CodeApplication + 3
	// CodeReplayed: the envelope has been used.
	CodeReplayed = statemachine.CodeApplication + 4
	// CodeExpired: an envelope's or offer's time is over, or a deadline too far off.
	CodeExpired = statemachine.CodeApplication + 5
	// CodeKeyRevoked: a key that would be needed was revoked.
	CodeKeyRevoked = statemachine.CodeApplication + 6
	// CodeSchemaViolation: the data do not follow the schema.
	CodeSchemaViolation = statemachine.CodeApplication + 7
	// CodeBadSchema: a schema is none.
	CodeBadSchema = statemachine.CodeApplication + 8
	// CodeSchemaRetired: writes may not name that schema any more.
	CodeSchemaRetired = statemachine.CodeApplication + 9
	// CodeTooComplex: the validation would take too long.
	CodeTooComplex = statemachine.CodeApplication + 10
	// CodeConflict: the record has another version than the operation wants.
	CodeConflict = statemachine.CodeApplication + 11
	// CodeRevoked: the record, or attestation, was revoked.
	CodeRevoked = statemachine.CodeApplication + 12
	// CodeRule: the collection's rules forbid it.
	CodeRule = statemachine.CodeApplication + 13
	// CodeScope: the authority may not attest that topic.
	CodeScope = statemachine.CodeApplication + 14
	// CodeLimit: there are too many of something.
	CodeLimit = statemachine.CodeApplication + 15
	// CodeNoSpace: the state would exceed MaxStateBytes.
	CodeNoSpace = statemachine.CodeApplication + 16
)

// Errors that [Result.Err] returns; test with errors.Is.
var (
	ErrMalformed       = errors.New("malformed operation")
	ErrTooLarge        = errors.New("operation too large")
	ErrNotFound        = errors.New("not found")
	ErrExists          = errors.New("exists already")
	ErrUnauthorized    = errors.New("not authorized")
	ErrBadSignature    = errors.New("bad signature")
	ErrReplayed        = errors.New("replayed")
	ErrExpired         = errors.New("expired")
	ErrKeyRevoked      = errors.New("key is revoked")
	ErrSchemaViolation = errors.New("schema violation")
	ErrBadSchema       = errors.New("bad schema")
	ErrSchemaRetired   = errors.New("schema is retired")
	ErrTooComplex      = errors.New("too complex")
	ErrConflict        = errors.New("version conflict")
	ErrRevoked         = errors.New("revoked")
	ErrRule            = errors.New("against the collection's rules")
	ErrScope           = errors.New("outside of the authority's scope")
	ErrLimit           = errors.New("limit reached")
	ErrNoSpace         = errors.New("the registry is full")
	ErrRejected        = errors.New("operation rejected")
)

var codeErrors = map[statemachine.ResultCode]error{
	CodeMalformed: ErrMalformed, CodeTooLarge: ErrTooLarge,
	CodeNotFound: ErrNotFound, CodeExists: ErrExists, CodeUnauthorized: ErrUnauthorized, CodeBadSignature: ErrBadSignature, CodeReplayed: ErrReplayed,
	CodeExpired: ErrExpired, CodeKeyRevoked: ErrKeyRevoked, CodeSchemaViolation: ErrSchemaViolation, CodeBadSchema: ErrBadSchema,
	CodeSchemaRetired: ErrSchemaRetired, CodeTooComplex: ErrTooComplex, CodeConflict: ErrConflict, CodeRevoked: ErrRevoked, CodeRule: ErrRule,
	CodeScope: ErrScope, CodeLimit: ErrLimit, CodeNoSpace: ErrNoSpace,
}

// refusal is a rejection on its way.
type refusal struct {
	code   statemachine.ResultCode
	detail string
}

func refuse(code statemachine.ResultCode, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return fmt.Sprintf("%v: %s", r.code, r.detail) }

func (r *refusal) result() *Result { return &Result{Code: r.code, Detail: r.detail} }

// maxDetail bounds the words of a rejection.
const maxDetail = 1 << 10

func (r *refusal) encode() statemachine.Result {
	d := r.detail
	if len(d) > maxDetail {
		d = d[:maxDetail]
	}
	return statemachine.Reject(r.code, []byte(d))
}

// Change is what an operation that wrote something answers.
type Change struct {
	// Version is the record's or party's, or the schema's number.
	Version uint64 `json:"version,omitempty"`
	// Digest is that of the record's version.
	Digest crypto.Digest `json:"digest"`
	// Number is that of an attestation.
	Number uint64 `json:"number,omitempty"`
	At     Stamp  `json:"at"`
}

func (a *Change) code(c *canon.Codec) {
	c.Uint64(&a.Version)
	c.Fixed(a.Digest[:])
	c.Uint64(&a.Number)
	a.At.code(c)
}

// Result is the decoded result of an operation or query: what its kind answers.
type Result struct {
	Code statemachine.ResultCode `json:"-"`
	// Detail is why it was rejected.
	Detail string `json:"-"`

	// Change is the answer to a write.
	Change *Change `json:"change,omitempty"`

	Info       *Info       `json:"info,omitempty"`
	Party      *PartyInfo  `json:"party,omitempty"`
	Key        *RevokedKey `json:"key,omitempty"`
	Collection *Collection `json:"collection,omitempty"`
	Schema     []byte      `json:"-"`
	Record     *Record     `json:"record,omitempty"`
	// Version is a version; of GetRecord, that with the present content.
	Version *Version `json:"version,omitempty"`

	Collections  []Collection  `json:"collections,omitempty"`
	Authorities  []Authority   `json:"authorities,omitempty"`
	Records      []Record      `json:"records,omitempty"`
	Versions     []Version     `json:"versions,omitempty"`
	Attestations []Attestation `json:"attestations,omitempty"`
	Delegations  []Delegation  `json:"delegations,omitempty"`
	// More: the list goes on after its last entry.
	More bool `json:"more,omitempty"`
}

// Err returns nil for CodeOK, and otherwise an error that wraps the one of the code and
// says why.
func (r *Result) Err() error {
	if r.Code == statemachine.CodeOK {
		return nil
	}
	err := codeErrors[r.Code]
	switch {
	case err == nil:
		return fmt.Errorf("%w: %v: %s", ErrRejected, r.Code, r.Detail)
	case r.Detail == "":
		return err
	}
	return fmt.Errorf("%w: %s", err, r.Detail)
}

// The forms of an answer: the first byte.
const (
	formChange byte = iota + 1
	formInfo
	formParty
	formKey
	formCollection
	formSchema
	formRecord
	formVersion
	formCollections
	formAuthorities
	formRecords
	formVersions
	formAttestations
	formDelegations
)

// pageRoom is what an answer with a list takes beside the list's entries.
const pageRoom = 1 + 4 + 1

// maxList bounds the number of entries when reading; what they take bounds it too.
const maxList = 1 << 20

func codePage[T any](c *canon.Codec, r *Result, list *[]T, minSize int, element func(*canon.Codec, *T)) {
	canon.List(c, list, maxList, minSize, element)
	c.Bool(&r.More)
}

// describe is the encoding of an answer of a form.
func (r *Result) describe(form byte) func(*canon.Codec) {
	return func(c *canon.Codec) {
		switch form {
		case formChange:
			fresh(c, &r.Change).code(c)
		case formInfo:
			fresh(c, &r.Info).code(c)
		case formParty:
			fresh(c, &r.Party).code(c)
		case formKey:
			fresh(c, &r.Key).code(c)
		case formCollection:
			fresh(c, &r.Collection).code(c)
		case formSchema:
			c.Bytes(&r.Schema, huge)
		case formRecord:
			fresh(c, &r.Record).code(c)
			fresh(c, &r.Version).answer(c)
		case formVersion:
			fresh(c, &r.Version).answer(c)
		case formCollections:
			codePage(c, r, &r.Collections, 32, func(c *canon.Codec, v *Collection) { v.code(c) })
		case formAuthorities:
			codePage(c, r, &r.Authorities, 32, func(c *canon.Codec, v *Authority) { v.code(c) })
		case formRecords:
			codePage(c, r, &r.Records, 64, func(c *canon.Codec, v *Record) { v.code(c) })
		case formVersions:
			codePage(c, r, &r.Versions, 64, func(c *canon.Codec, v *Version) { v.answer(c) })
		case formAttestations:
			codePage(c, r, &r.Attestations, 64, func(c *canon.Codec, v *Attestation) { v.code(c) })
		case formDelegations:
			codePage(c, r, &r.Delegations, 32, func(c *canon.Codec, v *Delegation) { v.code(c) })
		default:
			c.Fail("answer of form %d", form)
		}
	}
}

// fresh makes what is to be read.
func fresh[T any](c *canon.Codec, p **T) *T {
	if c.Reading() {
		*p = new(T)
	}
	return *p
}

func (r *Result) encode(form byte) []byte { return canon.Append([]byte{form}, r.describe(form)) }

// DecodeResult reads the result of an operation. The error wraps canon.ErrMalformed.
func DecodeResult(res statemachine.Result) (*Result, error) {
	out := &Result{Code: res.Code}
	if res.Code != statemachine.CodeOK {
		out.Detail = string(res.Data)
		return out, nil
	}
	if len(res.Data) == 0 {
		return nil, fmt.Errorf("registry result: %w: it is empty", canon.ErrMalformed)
	}
	if err := canon.Decode(res.Data[1:], out.describe(res.Data[0])); err != nil {
		return nil, fmt.Errorf("registry result: %w", err)
	}
	return out, nil
}

// DecodeAnswer reads the answer to a query.
func DecodeAnswer(b []byte) (*Result, error) {
	r := canon.NewReader(b)
	code := statemachine.ResultCode(r.Uint32())
	if r.Err() != nil {
		return nil, fmt.Errorf("registry answer: %w", r.Err())
	}
	return DecodeResult(statemachine.Result{Code: code, Data: r.Rest()})
}
