package registry

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/registry/schema"
)

const domainSchema = crypto.Domain("parley/registry-schema")

// schemaCache keeps compiled schemas by the digest of their texts. It belongs to the
// goroutine that applies. What is in it changes what an operation costs, and nothing
// else: a schema compiles to the same from the same text and limits.
type schemaCache struct {
	limits   schema.Limits
	compiled map[crypto.Digest]*schema.Schema
}

// maxCompiled is how many schemas are kept.
const maxCompiled = 256

// get returns the schema with a digest, whose text is asked for if it is not there.
func (c *schemaCache) get(digest crypto.Digest, text func() []byte, l schema.Limits) (*schema.Schema, error) {
	if s := c.compiled[digest]; s != nil && c.limits == l {
		return s, nil
	}
	return c.compile(digest, text(), l)
}

func (c *schemaCache) compile(digest crypto.Digest, text []byte, l schema.Limits) (*schema.Schema, error) {
	s, err := schema.Compile(text, l)
	if err != nil {
		return nil, err
	}
	if c.compiled == nil || c.limits != l || len(c.compiled) >= maxCompiled {
		c.compiled, c.limits = make(map[crypto.Digest]*schema.Schema), l
	}
	c.compiled[digest] = s
	return s, nil
}
