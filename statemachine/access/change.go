package access

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Change is a change of the policy: what its fields say, all at once or not at all.
// Fields that are empty change nothing.
type Change struct {
	// Mode, if not 0, is the new mode.
	Mode Mode `json:"mode,omitempty"`
	// Administrators, if not nobody, are the new ones.
	Administrators signed.Threshold `json:"administrators,omitzero"`
	// SetStrangers replaces the quota of those who are no members by Strangers.
	SetStrangers bool  `json:"setStrangers,omitempty"`
	Strangers    Quota `json:"strangers,omitzero"`
	// RemoveRoles are removed, from their members too; then SetRoles are made, or replace
	// those of their names.
	SetRoles    []Role   `json:"setRoles,omitempty"`
	RemoveRoles []string `json:"removeRoles,omitempty"`
	// SetMembers are made, or replace those of their keys.
	SetMembers    []Member           `json:"setMembers,omitempty"`
	RemoveMembers []crypto.PublicKey `json:"removeMembers,omitempty"`
	// Reason is for the audit trail.
	Reason string `json:"reason,omitempty"`
}

// Bounds of a change; maxItems is for each of its lists.
const (
	maxItems  = 256
	maxChange = 64 << 10
	maxReason = 256
)

func (g *Change) code(c *canon.Codec) {
	c.Uint8((*uint8)(&g.Mode))
	g.Administrators.Code(c)
	c.Bool(&g.SetStrangers)
	g.Strangers.code(c)
	canon.List(c, &g.SetRoles, maxItems, 4+4+4+24, func(c *canon.Codec, r *Role) { r.code(c) })
	codeTexts(c, &g.RemoveRoles, maxItems)
	canon.List(c, &g.SetMembers, maxItems, crypto.PublicKeySize+4+4+1, func(c *canon.Codec, m *Member) { m.code(c) })
	canon.List(c, &g.RemoveMembers, maxItems, crypto.PublicKeySize, func(c *canon.Codec, k *crypto.PublicKey) { c.Fixed(k[:]) })
	c.String(&g.Reason, maxReason)
}

const domainChange = crypto.Domain("parley/access-change")

// Digest identifies the change: approvals name it.
func (g *Change) Digest() crypto.Digest { return crypto.Hash(domainChange, canon.Encode(g.code)) }

// validate says what is wrong with the change whatever the state.
func (g *Change) validate() error {
	if g.Mode != 0 && g.Mode.String() == "" {
		return fmt.Errorf("there is no mode %d", g.Mode)
	}
	if !g.Administrators.IsZero() {
		if err := g.Administrators.Validate(); err != nil {
			return fmt.Errorf("administrators: %w", err)
		}
	}
	if !g.SetStrangers && g.Strangers != (Quota{}) {
		return fmt.Errorf("a quota of strangers is given and not to be set")
	}
	if err := g.Strangers.validate(); err != nil {
		return fmt.Errorf("strangers: %w", err)
	}
	for i := range g.SetRoles {
		if err := g.SetRoles[i].validate(); err != nil {
			return err
		}
	}
	for i := range g.SetMembers {
		if err := g.SetMembers[i].validate(); err != nil {
			return err
		}
	}
	if b := canon.Encode(g.code); len(b) > maxChange || canon.Decode(b, new(Change).code) != nil {
		return fmt.Errorf("the change has %d bytes, or too many items: at most %d bytes, and %d items in a list", len(b), maxChange, maxItems)
	}
	return nil
}
