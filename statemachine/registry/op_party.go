package registry

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

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
