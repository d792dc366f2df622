package registry

import (
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

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
