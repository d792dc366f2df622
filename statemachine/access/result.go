package access

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

// The codes of this package's results, far from those of applications.
const (
	// CodeRefused: the policy does not permit it. [RefusalOf] says by which rule.
	CodeRefused = statemachine.CodeApplication + 10_000 + iota
	// CodeMalformed: an operation about access is malformed.
	CodeMalformed
	// CodeNotFound: there is no such member or proposal.
	CodeNotFound
	// CodeBadSignature: a signature in an envelope does not verify, or is a foreign one.
	CodeBadSignature
	// CodeReplayed: the envelope has been used.
	CodeReplayed
	// CodeExpired: the envelope's or proposal's time is over, or its deadline too far off.
	CodeExpired
	// CodeInvalid: the change makes no sense.
	CodeInvalid
	// CodeConflict: the proposal is about another change than was approved.
	CodeConflict
	// CodeLimit: there are too many of something.
	CodeLimit
)

// Errors that [Result.Err] returns; test with errors.Is.
var (
	ErrRefused      = errors.New("refused by the access policy")
	ErrMalformed    = errors.New("malformed operation about access")
	ErrNotFound     = errors.New("not found")
	ErrBadSignature = errors.New("bad signature")
	ErrReplayed     = errors.New("replayed")
	ErrExpired      = errors.New("expired")
	ErrInvalid      = errors.New("invalid change")
	ErrConflict     = errors.New("another change")
	ErrLimit        = errors.New("limit reached")
)

var codeErrors = map[statemachine.ResultCode]error{
	CodeRefused: ErrRefused, CodeMalformed: ErrMalformed, CodeNotFound: ErrNotFound, CodeBadSignature: ErrBadSignature, CodeReplayed: ErrReplayed,
	CodeExpired: ErrExpired, CodeInvalid: ErrInvalid, CodeConflict: ErrConflict, CodeLimit: ErrLimit,
}

// Rule is the rule that something was refused by. The numbers are part of the encoding.
type Rule uint8

// The rules.
const (
	// RuleConsortium: only members submit.
	RuleConsortium Rule = 1
	// RulePrivate: only members read and submit.
	RulePrivate Rule = 2
	// RuleSuspended: the member is suspended.
	RuleSuspended Rule = 3
	// RuleRoles: none of the member's roles permits it.
	RuleRoles Rule = 4
	// RuleOperations and RuleBytes: the quota is used up.
	RuleOperations Rule = 5
	RuleBytes      Rule = 6
	// RuleAdministrators: only administrators change the policy.
	RuleAdministrators Rule = 7
)

var ruleNames = map[Rule]string{
	RuleConsortium: "mode-consortium", RulePrivate: "mode-private", RuleSuspended: "suspended", RuleRoles: "roles",
	RuleOperations: "quota-operations", RuleBytes: "quota-bytes", RuleAdministrators: "administrators",
}

// String names the rule.
func (r Rule) String() string {
	if name := ruleNames[r]; name != "" {
		return name
	}
	return fmt.Sprintf("rule %d", uint8(r))
}

// MarshalText returns the name.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Refusal says by which rule something is not permitted.
type Refusal struct {
	Rule Rule `json:"rule"`
	// Detail is in words: who, what, and what the rule says.
	Detail string `json:"detail"`
}

func (r *Refusal) Error() string { return fmt.Sprintf("%v: rule %v: %s", ErrRefused, r.Rule, r.Detail) }

// Unwrap returns [ErrRefused].
func (r *Refusal) Unwrap() error { return ErrRefused }

func (r *Refusal) code(c *canon.Codec) {
	c.Uint8((*uint8)(&r.Rule))
	c.String(&r.Detail, maxDetail)
}

const maxDetail = 4 << 10

func refuse(rule Rule, format string, args ...any) *Refusal {
	return &Refusal{rule, fmt.Sprintf(format, args...)}
}

func (r *Refusal) encode() statemachine.Result {
	return statemachine.Reject(CodeRefused, canon.Encode(r.code))
}

// RefusalOf returns the refusal that a result of any operation is, or nil if it is none.
func RefusalOf(res statemachine.Result) *Refusal {
	r := new(Refusal)
	if res.Code != CodeRefused || canon.Decode(res.Data, r.code) != nil {
		return nil
	}
	return r
}

// rejection is any other rejection on its way.
type rejection struct {
	code   statemachine.ResultCode
	detail string
}

func reject(code statemachine.ResultCode, format string, args ...any) error {
	return &rejection{code, fmt.Sprintf(format, args...)}
}

func (r *rejection) Error() string { return r.detail }

func (r *rejection) result() *Result { return &Result{Code: r.code, Detail: r.detail} }

// Info is the policy as a whole.
type Info struct {
	Mode           Mode             `json:"mode"`
	Strangers      Quota            `json:"strangers"`
	Members        uint64           `json:"members"`
	Changes        uint64           `json:"changes"`
	Chain          crypto.Digest    `json:"chain"`
	Administrators signed.Threshold `json:"administrators"`
}

// MemberInfo is a member and its use of its quota.
type MemberInfo struct {
	Member
	// Used is what was submitted in the window that began at Since; zero if none is open.
	Used  Quota             `json:"used"`
	Since statemachine.Time `json:"since"`
}

func (m *MemberInfo) code(c *canon.Codec) {
	m.Member.code(c)
	m.Used.code(c)
	c.Uint64((*uint64)(&m.Since))
}

// Proposal is a change that waits for approvals.
type Proposal struct {
	Number    uint64             `json:"number"`
	Change    Change             `json:"change"`
	Digest    crypto.Digest      `json:"digest"`
	Approvals []crypto.PublicKey `json:"approvals"`
	// Expires is the block time from which on it is void.
	Expires statemachine.Time `json:"expires"`
	// Epoch counts the changes of administrators: a proposal of an earlier one is void.
	Epoch uint64 `json:"epoch"`
}

// Entry is a change that took effect.
type Entry struct {
	Number uint64            `json:"number"`
	Height uint64            `json:"height"`
	Time   statemachine.Time `json:"time"`
	Change Change            `json:"change"`
	// By are the administrators who signed or approved it.
	By []crypto.PublicKey `json:"by"`
}

// RefusalCount is how often a client was refused by a rule. Those who are no members are
// counted together, under the zero key.
type RefusalCount struct {
	Client crypto.PublicKey  `json:"client"`
	Rule   Rule              `json:"rule"`
	Count  uint64            `json:"count"`
	Last   statemachine.Time `json:"last"`
	// What is the kind of the last one.
	What string `json:"what"`
}

// Result is the decoded result of an operation or query about access.
type Result struct {
	Code   statemachine.ResultCode `json:"-"`
	Detail string                  `json:"-"`
	// Refusal is set with CodeRefused, and in the answer to a Check that says no.
	Refusal *Refusal `json:"refusal,omitempty"`

	// Number is the proposal's, of Propose and Approve; Effective says that the change
	// took effect, Number is then its entry's in the audit trail.
	Number    uint64 `json:"number,omitempty"`
	Effective bool   `json:"effective,omitempty"`

	Info      *Info          `json:"policy,omitempty"`
	Member    *MemberInfo    `json:"member,omitempty"`
	Members   []Member       `json:"members,omitempty"`
	Roles     []Role         `json:"roles,omitempty"`
	Proposals []Proposal     `json:"proposals,omitempty"`
	Audit     []Entry        `json:"audit,omitempty"`
	Refusals  []RefusalCount `json:"refusals,omitempty"`
	// More: the list goes on after its last entry.
	More bool `json:"more,omitempty"`
}

// Err returns nil for CodeOK, a *[Refusal] for CodeRefused, and otherwise an error that
// wraps the one of the code and says why.
func (r *Result) Err() error {
	switch {
	case r.Code == statemachine.CodeOK:
		return nil
	case r.Code == CodeRefused && r.Refusal != nil:
		return r.Refusal
	}
	err := codeErrors[r.Code]
	if err == nil {
		return fmt.Errorf("operation about access rejected: %v", r.Code)
	}
	return fmt.Errorf("%w: %s", err, r.Detail)
}

// DecodeResult reads the result of an operation about access. The error wraps
// canon.ErrMalformed.
func DecodeResult(res statemachine.Result) (*Result, error) {
	out := &Result{Code: res.Code}
	switch {
	case res.Code == CodeRefused:
		if out.Refusal = RefusalOf(res); out.Refusal == nil {
			return nil, fmt.Errorf("access refusal: %w", canon.ErrMalformed)
		}
		return out, nil
	case res.Code != statemachine.CodeOK:
		out.Detail = string(res.Data)
		return out, nil
	case len(res.Data) == 0:
		return nil, fmt.Errorf("access result: %w: it is empty", canon.ErrMalformed)
	}
	if err := canon.Decode(res.Data[1:], out.describe(Kind(res.Data[0]))); err != nil {
		return nil, fmt.Errorf("access result: %w", err)
	}
	return out, nil
}

// DecodeAnswer reads the answer to a query about access.
func DecodeAnswer(b []byte) (*Result, error) {
	r := canon.NewReader(b)
	code := statemachine.ResultCode(r.Uint32())
	if r.Err() != nil {
		return nil, fmt.Errorf("access answer: %w", r.Err())
	}
	return DecodeResult(statemachine.Result{Code: code, Data: r.Rest()})
}
