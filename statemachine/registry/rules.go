package registry

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/parley-bft/parley/crypto/canon"
)

// Rules say what is permitted in a collection.
type Rules uint32

// The rules. The numbers are part of the encoding.
const (
	// OpenCreate lets anybody create records, for themselves.
	OpenCreate Rules = 1 << iota
	// Immutable forbids updates: what was created stays as it is.
	Immutable
	// NoTransfer keeps records with the owners that they were created for.
	NoTransfer
	// DirectTransfer lets owners transfer without the receiver's consent.
	DirectTransfer
	// ControllerRevokes lets the controller revoke records of others.
	ControllerRevokes
	// CommitmentsOnly forbids data: records have commitments alone, so that personal data
	// cannot get into the state by a mistake.
	CommitmentsOnly
	// RequireData wants data in every record.
	RequireData
	// RequireCommitment wants a commitment in every record.
	RequireCommitment

	allRules = RequireCommitment<<1 - 1
)

var ruleNames = []string{"open-create", "immutable", "no-transfer", "direct-transfer", "controller-revokes", "commitments-only", "require-data", "require-commitment"}

// Rights are what a delegation permits.
type Rights uint32

// The rights. The numbers are part of the encoding.
const (
	// MayCreate is of a controller, for all its collection: to create records.
	MayCreate Rights = 1 << iota
	// MayUpdate is to update records.
	MayUpdate
	// MayTransfer is to offer and transfer records.
	MayTransfer
	// MayRevoke is to revoke records.
	MayRevoke

	allRights = MayRevoke<<1 - 1
)

var rightNames = []string{"create", "update", "transfer", "revoke"}

func names(bits uint32, of []string) string {
	var set []string
	for i, name := range of {
		if bits>>i&1 == 1 {
			set = append(set, name)
		}
	}
	return strings.Join(set, ",")
}

func parseNames(s string, of []string) (bits uint32, err error) {
	if s == "" {
		return 0, nil
	}
next:
	for name := range strings.SplitSeq(s, ",") {
		for i, known := range of {
			if strings.TrimSpace(name) == known {
				bits |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("%q is none of %s", name, strings.Join(of, ", "))
	}
	return bits, nil
}

// String lists the rules, separated by commas.
func (r Rules) String() string { return names(uint32(r), ruleNames) }

// ParseRules reads what String returns.
func ParseRules(s string) (Rules, error) {
	bits, err := parseNames(s, ruleNames)
	return Rules(bits), err
}

// MarshalJSON returns a list of names.
func (r Rules) MarshalJSON() ([]byte, error) { return marshalNames(r.String()) }

// UnmarshalJSON reads a list of names.
func (r *Rules) UnmarshalJSON(b []byte) (err error) {
	var list []string
	if err = json.Unmarshal(b, &list); err == nil {
		*r, err = ParseRules(strings.Join(list, ","))
	}
	return err
}

func marshalNames(s string) ([]byte, error) {
	if s == "" {
		return []byte("[]"), nil
	}
	return json.Marshal(strings.Split(s, ","))
}

func (r *Rules) code(c *canon.Codec) {
	c.Uint32((*uint32)(r))
	if *r > allRules {
		c.Fail("rules %x", *r)
	}
}

// check says which rules contradict each other.
func (r Rules) check() error {
	switch {
	case r&CommitmentsOnly != 0 && r&RequireData != 0:
		return refuse(CodeMalformed, "the rules commitments-only and require-data contradict each other")
	case r&NoTransfer != 0 && r&DirectTransfer != 0:
		return refuse(CodeMalformed, "the rules no-transfer and direct-transfer contradict each other")
	}
	return nil
}

// String lists the rights, separated by commas.
func (r Rights) String() string { return names(uint32(r), rightNames) }

// ParseRights reads what String returns.
func ParseRights(s string) (Rights, error) {
	bits, err := parseNames(s, rightNames)
	return Rights(bits), err
}

// MarshalJSON returns a list of names.
func (r Rights) MarshalJSON() ([]byte, error) { return marshalNames(r.String()) }

func (r *Rights) code(c *canon.Codec) {
	c.Uint32((*uint32)(r))
	if *r > allRights {
		c.Fail("rights %x", *r)
	}
}
