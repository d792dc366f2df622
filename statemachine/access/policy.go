package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/internal/strictjson"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Mode says what strangers may, who are no members.
type Mode uint8

// The modes. The numbers are part of the encoding.
const (
	// Open: anybody may read and submit.
	Open Mode = 1
	// Consortium: anybody may read, members submit.
	Consortium Mode = 2
	// Private: members read and submit.
	Private Mode = 3
)

var modeNames = map[Mode]string{Open: "open", Consortium: "consortium", Private: "private"}

// String names the mode.
func (m Mode) String() string { return modeNames[m] }

// MarshalText returns the name.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads a name. The error says which there are; whoever knows where the text
// was says that and shows it.
func (m *Mode) UnmarshalText(text []byte) error {
	for mode, name := range modeNames {
		if name == string(text) {
			*m = mode
			return nil
		}
	}
	return errors.New("no mode: give open, consortium or private")
}

// Quota bounds what a client submits in a window of block time. A zero bound is none.
type Quota struct {
	Operations uint64 `json:"operations,omitempty"`
	Bytes      uint64 `json:"bytes,omitempty"`
	// Seconds is the length of the window, which begins with its first operation.
	Seconds uint64 `json:"seconds,omitempty"`
}

// Limits tells whether q bounds anything.
func (q Quota) Limits() bool { return q.Operations != 0 || q.Bytes != 0 }

const maxSeconds = 366 * 24 * 3600

func (q Quota) validate() error {
	switch {
	case q.Limits() && q.Seconds == 0:
		return errors.New("the quota has no window: give seconds")
	case q.Seconds > maxSeconds:
		return fmt.Errorf("the quota's window is %d seconds, at most %d", q.Seconds, maxSeconds)
	}
	return nil
}

func (q *Quota) code(c *canon.Codec) {
	c.Uint64(&q.Operations)
	c.Uint64(&q.Bytes)
	c.Uint64(&q.Seconds)
}

// Role is what those who have it may do. A pattern is the name of a kind of operation or
// query, or the beginning of one with a '*' behind: "create-*", "*".
type Role struct {
	Name   string   `json:"name"`
	Submit []string `json:"submit,omitempty"`
	Read   []string `json:"read,omitempty"`
	Quota  Quota    `json:"quota,omitzero"`
}

// Bounds of a policy.
const (
	maxName     = 64
	maxPatterns = 64
	maxRoles    = 64 // of a member, and of all in a genesis
	maxMembers  = 10_000
)

func (r *Role) code(c *canon.Codec) {
	c.String(&r.Name, maxName)
	codeTexts(c, &r.Submit, maxPatterns)
	codeTexts(c, &r.Read, maxPatterns)
	r.Quota.code(c)
}

func codeTexts(c *canon.Codec, list *[]string, most int) {
	canon.List(c, list, most, 4, func(c *canon.Codec, s *string) { c.String(s, maxName) })
}

func (r *Role) validate() error {
	if err := validName("role", r.Name); err != nil {
		return err
	}
	for _, p := range slices.Concat(r.Submit, r.Read) {
		if i := strings.IndexByte(p, '*'); p == "" || i >= 0 && i != len(p)-1 || len(p) > maxName || !utf8.ValidString(p) {
			return fmt.Errorf("role %s: pattern %+q: give the name of a kind of operation, or its beginning and *", r.Name, p)
		}
	}
	if max(len(r.Submit), len(r.Read)) > maxPatterns {
		return fmt.Errorf("role %s has more than %d patterns", r.Name, maxPatterns)
	}
	if err := r.Quota.validate(); err != nil {
		return fmt.Errorf("role %s: %w", r.Name, err)
	}
	return nil
}

func validName(what, s string) error {
	if len(s) == 0 || len(s) > maxName || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("%s %+q: give 1 to %d lower-case letters, digits, '-', '_' and '.'", what, s, maxName)
	}
	return nil
}

// permits tells whether a pattern of the list covers a kind.
func permits(patterns []string, kind string) bool {
	for _, p := range patterns {
		if beginning, ok := strings.CutSuffix(p, "*"); p == kind || ok && strings.HasPrefix(kind, beginning) {
			return true
		}
	}
	return false
}

// Member is a client that is known.
type Member struct {
	Key crypto.PublicKey `json:"key"`
	// Name is for people.
	Name  string   `json:"name,omitempty"`
	Roles []string `json:"roles"`
	// Suspended members may nothing, whatever the mode.
	Suspended bool `json:"suspended,omitempty"`
}

func (m *Member) code(c *canon.Codec) {
	c.Fixed(m.Key[:])
	c.String(&m.Name, maxName)
	codeTexts(c, &m.Roles, maxRoles)
	c.Bool(&m.Suspended)
}

func (m *Member) validate() error {
	for _, r := range m.Roles {
		if err := validName("role", r); err != nil {
			return fmt.Errorf("member %s: %w", m.Key.Hex(), err)
		}
	}
	if m.Key.IsZero() {
		return errors.New("a member has no key")
	}
	if len(m.Name) > maxName || !utf8.ValidString(m.Name) || len(m.Roles) > maxRoles {
		return fmt.Errorf("member %s: give a name of at most %d bytes and at most %d roles", m.Key.Hex(), maxName, maxRoles)
	}
	return nil
}

// Policy is what a genesis says: the first policy.
type Policy struct {
	Mode Mode `json:"mode"`
	// Administrators are who changes the policy: m of n.
	Administrators signed.Threshold `json:"administrators"`
	// Strangers is the quota of those who are no members.
	Strangers Quota    `json:"strangers,omitzero"`
	Roles     []Role   `json:"roles,omitempty"`
	Members   []Member `json:"members,omitempty"`
}

// ErrPolicy is wrapped by every error of [Policy.Validate] and [ParsePolicy].
var ErrPolicy = errors.New("access policy")

// ParsePolicy reads the JSON of a policy, strictly, and validates it: a field that there is
// not, or that is there twice, is an error that names the way to it. Whether its patterns
// mean anything says [Kinds.Check].
func ParsePolicy(data []byte) (Policy, error) {
	var p Policy
	if err := strictjson.Decode(data, &p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return p, p.Validate()
}

// Validate names what is wrong.
func (p *Policy) Validate() error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return nil
}

func (p *Policy) validate() error {
	if p.Mode.String() == "" {
		return errors.New("mode is missing: give open, consortium or private")
	}
	if err := p.Administrators.Validate(); err != nil {
		return fmt.Errorf("administrators: %w", err)
	}
	if err := p.Strangers.validate(); err != nil {
		return fmt.Errorf("strangers: %w", err)
	}
	roles := make(map[string]bool)
	for i := range p.Roles {
		r := &p.Roles[i]
		if err := r.validate(); err != nil {
			return fmt.Errorf("roles[%d]: %w", i, err)
		}
		if roles[r.Name] {
			return fmt.Errorf("roles[%d]: role %s is there twice", i, r.Name)
		}
		roles[r.Name] = true
	}
	keys := make(map[crypto.PublicKey]bool)
	for i := range p.Members {
		m := &p.Members[i]
		if err := m.validate(); err != nil {
			return fmt.Errorf("members[%d]: %w", i, err)
		}
		if keys[m.Key] {
			return fmt.Errorf("members[%d]: member %s is there twice", i, m.Key.Hex())
		}
		keys[m.Key] = true
		for _, r := range m.Roles {
			if !roles[r] {
				return fmt.Errorf("members[%d].roles: member %s has role %q, which is none of the roles: give some of %s",
					i, m.Key.Hex(), r, strings.Join(slices.Sorted(maps.Keys(roles)), ", "))
			}
		}
	}
	if len(p.Roles) > maxRoles || len(p.Members) > maxMembers {
		return fmt.Errorf("%d roles and %d members, at most %d and %d", len(p.Roles), len(p.Members), maxRoles, maxMembers)
	}
	return nil
}
