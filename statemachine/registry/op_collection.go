package registry

import (
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// CreateCollection makes a collection. Its controller is the author if none is named;
// if one is, it must have signed too. The party [Registrar], if there is one, must sign.
type CreateCollection struct {
	As         Party
	Name       string
	Controller Party
	Rules      Rules
	// Schema is JSON Schema, empty for none (see package schema for what it may say).
	Schema []byte
	About  string
}

// Kind is KindCreateCollection.
func (*CreateCollection) Kind() Kind { return KindCreateCollection }

func (o *CreateCollection) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Name, huge)
	codeParty(c, &o.Controller)
	o.Rules.code(c)
	c.Bytes(&o.Schema, huge)
	c.String(&o.About, huge)
}

// SetCollection changes a collection's controller, which must sign too if it is new,
// and its rules. Its author is the controller.
type SetCollection struct {
	As         Party
	Collection string
	Controller Party
	Rules      Rules
	About      string
}

// Kind is KindSetCollection.
func (*SetCollection) Kind() Kind { return KindSetCollection }

func (o *SetCollection) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	codeParty(c, &o.Controller)
	o.Rules.code(c)
	c.String(&o.About, huge)
}

// AddSchema adds the next schema to a collection. Records that were written keep the
// number of the schema that they followed then; later writes may name any from Floor on,
// and follow the latest if they name none. Its author is the controller.
type AddSchema struct {
	As         Party
	Collection string
	Schema     []byte
	// Floor is the lowest number that writes may still name, at least as high as before;
	// 0 leaves it.
	Floor uint32
}

// Kind is KindAddSchema.
func (*AddSchema) Kind() Kind { return KindAddSchema }

func (o *AddSchema) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	c.Bytes(&o.Schema, huge)
	c.Uint32(&o.Floor)
}

// SetAuthority says what a party may attest in a collection: these topics, which replace
// those it had, until Expires (0: for ever); "*" is any topic, and none takes everything
// from it. What it attested before stays. Its author is the controller.
type SetAuthority struct {
	As         Party
	Collection string
	Authority  Party
	Topics     []string
	Expires    statemachine.Time
}

// Kind is KindSetAuthority.
func (*SetAuthority) Kind() Kind { return KindSetAuthority }

func (o *SetAuthority) code(c *canon.Codec) {
	codeParty(c, &o.As)
	c.String(&o.Collection, huge)
	codeParty(c, &o.Authority)
	codeTopics(c, &o.Topics)
	c.Uint64((*uint64)(&o.Expires))
}
