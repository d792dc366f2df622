package access

import (
	"bytes"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Kind is the kind of an operation, or query, about access itself. The numbers are part
// of the encoding.
type Kind uint8

// The kinds.
const (
	KindPropose  Kind = 1
	KindApprove  Kind = 2
	KindWithdraw Kind = 3
	// KindSigned is an envelope around one of those above.
	KindSigned Kind = 15

	// Reads: operations that change nothing, and queries.
	KindGetPolicy     Kind = 16
	KindGetMember     Kind = 17
	KindListMembers   Kind = 18
	KindListRoles     Kind = 19
	KindListProposals Kind = 20
	KindListAudit     Kind = 21
	KindListRefusals  Kind = 22
	KindCheck         Kind = 23
)

var kindNames = map[Kind]string{
	KindPropose: "propose", KindApprove: "approve", KindWithdraw: "withdraw", KindSigned: "signed",
	KindGetPolicy: "get-policy", KindGetMember: "get-member", KindListMembers: "list-members", KindListRoles: "list-roles",
	KindListProposals: "list-proposals", KindListAudit: "list-audit", KindListRefusals: "list-refusals", KindCheck: "check",
}

// String names the kind, as a policy's patterns do: "access/list-audit".
func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return "access/" + name
	}
	return "access/unknown"
}

// Read tells whether operations of the kind change nothing.
func (k Kind) Read() bool { return k >= KindGetPolicy }

// magic begins the operations and queries that are about access. Those of the
// application must not begin with it.
var magic = []byte("\xffparley/access\x01")

// Operation is one of the operation types of this package; [Encode] makes bytes of it.
type Operation interface {
	Kind() Kind
	code(*canon.Codec)
}

// Encode returns the encoding of an operation, or of a query.
func Encode(o Operation) []byte {
	return canon.Append(append(bytes.Clone(magic), byte(o.Kind())), o.code)
}

// EncodeSigned returns the operation that an envelope makes, whose Op is an encoded
// operation that is not signed itself.
func EncodeSigned(e *signed.Envelope) []byte {
	return append(append(bytes.Clone(magic), byte(KindSigned)), e.Encode()...)
}

// Space is where administrators' signatures for a chain count.
func Space(chain crypto.Digest) signed.Space {
	return signed.Space{Chain: chain, Application: "access"}
}

// IsOperation tells whether bytes are an operation or query about access.
func IsOperation(b []byte) bool { return bytes.HasPrefix(b, magic) }

// Decode reads an operation that Encode wrote. The error wraps [ErrMalformed].
func Decode(b []byte) (Operation, error) {
	o, err := decode(b)
	if err != nil {
		return nil, err.(*rejection).result().Err()
	}
	return o, nil
}

func decode(b []byte) (Operation, error) {
	rest, ok := bytes.CutPrefix(b, magic)
	if !ok || len(rest) == 0 {
		return nil, reject(CodeMalformed, "it is no operation about access")
	}
	var o Operation
	switch Kind(rest[0]) {
	case KindPropose:
		o = new(Propose)
	case KindApprove:
		o = new(Approve)
	case KindWithdraw:
		o = new(Withdraw)
	case KindGetPolicy:
		o = new(GetPolicy)
	case KindGetMember:
		o = new(GetMember)
	case KindListMembers:
		o = new(ListMembers)
	case KindListRoles:
		o = new(ListRoles)
	case KindListProposals:
		o = new(ListProposals)
	case KindListAudit:
		o = new(ListAudit)
	case KindListRefusals:
		o = new(ListRefusals)
	case KindCheck:
		o = new(Check)
	default:
		return nil, reject(CodeMalformed, "there are no operations about access of kind %d", rest[0])
	}
	if canon.Decode(rest[1:], o.code) != nil {
		return nil, reject(CodeMalformed, "%s: its encoding is wrong", o.Kind())
	}
	return o, nil
}

// Propose proposes a change. If enough administrators have signed it takes effect at
// once; else it waits for their approvals, for a week.
type Propose struct{ Change Change }

// Kind is KindPropose.
func (*Propose) Kind() Kind            { return KindPropose }
func (o *Propose) code(c *canon.Codec) { o.Change.code(c) }

// Approve approves a proposal, which takes effect once enough have.
type Approve struct {
	Number uint64
	// Digest is that of the change: nobody approves what they have not seen.
	Digest crypto.Digest
}

// Kind is KindApprove.
func (*Approve) Kind() Kind { return KindApprove }
func (o *Approve) code(c *canon.Codec) {
	c.Uint64(&o.Number)
	c.Fixed(o.Digest[:])
}

// Withdraw takes a proposal back. One administrator of those who approved it is enough.
type Withdraw struct{ Number uint64 }

// Kind is KindWithdraw.
func (*Withdraw) Kind() Kind            { return KindWithdraw }
func (o *Withdraw) code(c *canon.Codec) { c.Uint64(&o.Number) }

// GetPolicy asks for mode, administrators, the quota of strangers, and counts.
type GetPolicy struct{}

// Kind is KindGetPolicy.
func (*GetPolicy) Kind() Kind        { return KindGetPolicy }
func (*GetPolicy) code(*canon.Codec) {}

// GetMember asks for a member and what of its quota is used.
type GetMember struct{ Key crypto.PublicKey }

// Kind is KindGetMember.
func (*GetMember) Kind() Kind            { return KindGetMember }
func (o *GetMember) code(c *canon.Codec) { c.Fixed(o.Key[:]) }

// ListMembers asks for the members in the order of their keys, behind that of After.
type ListMembers struct {
	After crypto.PublicKey
	Limit uint32
}

// Kind is KindListMembers.
func (*ListMembers) Kind() Kind { return KindListMembers }
func (o *ListMembers) code(c *canon.Codec) {
	c.Fixed(o.After[:])
	c.Uint32(&o.Limit)
}

// ListRoles asks for the roles in the order of their names.
type ListRoles struct {
	After string
	Limit uint32
}

// Kind is KindListRoles.
func (*ListRoles) Kind() Kind { return KindListRoles }
func (o *ListRoles) code(c *canon.Codec) {
	c.String(&o.After, maxName)
	c.Uint32(&o.Limit)
}

// ListProposals asks for the changes that wait for approvals.
type ListProposals struct {
	After uint64
	Limit uint32
}

// Kind is KindListProposals.
func (*ListProposals) Kind() Kind { return KindListProposals }
func (o *ListProposals) code(c *canon.Codec) {
	c.Uint64(&o.After)
	c.Uint32(&o.Limit)
}

// ListAudit asks for the changes that took effect, from the first on.
type ListAudit struct {
	After uint64
	Limit uint32
}

// Kind is KindListAudit.
func (*ListAudit) Kind() Kind { return KindListAudit }
func (o *ListAudit) code(c *canon.Codec) {
	c.Uint64(&o.After)
	c.Uint32(&o.Limit)
}

// ListRefusals asks how often whom was refused what, in the order of client and rule. A
// zero client stands for all who are no members.
type ListRefusals struct {
	AfterClient crypto.PublicKey
	// AfterRule is that of the last entry of the page before, 0 to begin.
	AfterRule Rule
	Limit     uint32
}

// Kind is KindListRefusals.
func (*ListRefusals) Kind() Kind { return KindListRefusals }
func (o *ListRefusals) code(c *canon.Codec) {
	c.Fixed(o.AfterClient[:])
	c.Uint8((*uint8)(&o.AfterRule))
	c.Uint32(&o.Limit)
}

// Check asks whether a client may submit, or read, something of a kind, quotas aside, and
// if not by which rule.
type Check struct {
	Client crypto.PublicKey
	// What is the name of a kind of operation or query.
	What string
	Read bool
}

// Kind is KindCheck.
func (*Check) Kind() Kind { return KindCheck }
func (o *Check) code(c *canon.Codec) {
	c.Fixed(o.Client[:])
	c.String(&o.What, maxName)
	c.Bool(&o.Read)
}
