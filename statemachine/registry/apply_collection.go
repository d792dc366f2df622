package registry

import (
	"errors"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/registry/schema"
)

func (o *CreateCollection) apply(r *run) (*Change, error) {
	author, _, err := r.author(o.As)
	if err != nil {
		return nil, err
	}
	if err := r.registrar(); err != nil {
		return nil, err
	}
	if _, ok := r.t.Get(collectionKey(o.Name)); ok {
		return nil, refuse(CodeExists, "there is a collection %s", o.Name)
	}
	c := Collection{Name: o.Name, Controller: author, Rules: o.Rules, About: o.About, Created: r.at, Changed: r.at}
	if o.Controller != "" && o.Controller != author {
		if _, err := r.signedBy(o.Controller); err != nil {
			return nil, err
		}
		c.Controller = o.Controller
	}
	if len(o.Schema) > 0 {
		if err := r.addSchema(&c, o.Schema, 1); err != nil {
			return nil, err
		}
	}
	r.save(collectionKey(o.Name), c.code)
	r.counts.Collections++
	return &Change{Version: uint64(c.Schemas)}, nil
}

// controlled returns a collection whose controller the author must be.
func (r *run) controlled(as Party, collection string) (*Collection, error) {
	author, _, err := r.author(as)
	if err != nil {
		return nil, err
	}
	c, err := r.collection(collection)
	if err != nil {
		return nil, err
	}
	if author != c.Controller {
		return nil, refuse(CodeUnauthorized, "%s controls %s, not %s", c.Controller, collection, author)
	}
	c.Changed = r.at
	return c, nil
}

func (o *SetCollection) apply(r *run) (*Change, error) {
	c, err := r.controlled(o.As, o.Collection)
	if err != nil {
		return nil, err
	}
	if o.Controller != "" && o.Controller != c.Controller {
		if _, err := r.signedBy(o.Controller); err != nil {
			return nil, err
		}
		c.Controller = o.Controller
	}
	c.Rules, c.About = o.Rules, o.About
	r.save(collectionKey(c.Name), c.code)
	return &Change{}, nil
}

func (o *AddSchema) apply(r *run) (*Change, error) {
	c, err := r.controlled(o.As, o.Collection)
	if err != nil {
		return nil, err
	}
	if err := r.addSchema(c, o.Schema, max(o.Floor, c.Floor, 1)); err != nil {
		return nil, err
	}
	r.save(collectionKey(c.Name), c.code)
	return &Change{Version: uint64(c.Schemas)}, nil
}

func (r *run) addSchema(c *Collection, text []byte, floor uint32) error {
	switch {
	case c.Schemas == maxSchemas:
		return refuse(CodeLimit, "%s has %d schemas: make another collection", c.Name, maxSchemas)
	case floor > c.Schemas+1:
		return refuse(CodeMalformed, "writes may name schemas from %d on, and the latest is %d", floor, c.Schemas+1)
	}
	if err := r.verify(); err != nil {
		return err
	}
	digest := crypto.Hash(domainSchema, text)
	if _, err := r.h.schemas.get(digest, func() []byte { return text }, r.cfg.Limits.schema()); err != nil {
		return refuse(CodeBadSchema, "%v", err)
	}
	c.Schemas, c.Floor = c.Schemas+1, floor
	r.t.Set(schemaKey(c.Name, c.Schemas), text)
	r.t.Set(schemaDigestKey(c.Name, c.Schemas), digest[:])
	return nil
}

// maxSchemas bounds the schemas of a collection.
const maxSchemas = 10_000

// validate checks data against a schema of the collection, 0 for the latest, and returns
// its number.
func (r *run) validate(c *Collection, number uint32, data []byte) (uint32, error) {
	switch {
	case c.Schemas == 0 && number != 0:
		return 0, refuse(CodeNotFound, "%s has no schema %d", c.Name, number)
	case c.Schemas == 0 || len(data) == 0:
		return 0, nil
	case number == 0:
		number = c.Schemas
	}
	switch {
	case number > c.Schemas:
		return 0, refuse(CodeNotFound, "%s has no schema %d", c.Name, number)
	case number < c.Floor:
		return 0, refuse(CodeSchemaRetired, "schema %d of %s is retired: use %d to %d", number, c.Name, c.Floor, c.Schemas)
	}
	if err := r.verify(); err != nil {
		return 0, err
	}
	digest, _ := r.t.Get(schemaDigestKey(c.Name, number))
	// The text is read also where this process has compiled it: what an operation reads is
	// counted, and decides how it ends, and what this process knows still must not.
	text, _ := r.t.Get(schemaKey(c.Name, number))
	s, err := r.h.schemas.get(crypto.Digest(digest), func() []byte { return text }, r.cfg.Limits.schema())
	if err != nil {
		return 0, refuse(CodeBadSchema, "%v", err)
	}
	switch err := s.Validate(data); {
	case err == nil:
		return number, nil
	case errors.Is(err, schema.ErrTooComplex):
		return 0, refuse(CodeTooComplex, "schema %d of %s: %v", number, c.Name, err)
	default:
		return 0, refuse(CodeSchemaViolation, "schema %d of %s: %v", number, c.Name, err)
	}
}

func (o *SetAuthority) apply(r *run) (*Change, error) {
	c, err := r.controlled(o.As, o.Collection)
	if err != nil {
		return nil, err
	}
	if err := r.known(o.Authority); err != nil {
		return nil, err
	}
	a := Authority{Collection: c.Name, Name: o.Authority, Topics: o.Topics, Expires: o.Expires, Changed: r.at}
	r.save(authorityKey(c.Name, o.Authority), a.code)
	return &Change{}, nil
}
