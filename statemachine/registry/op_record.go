package registry

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

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
