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
	weight   int // of all that are kept
}

// maxCompiled is how many schemas are kept, and maxCompiledWeight what they weigh
// together, which is some 100 MB: a schema of a few bytes can take megabytes.
const (
	maxCompiled       = 256
	maxCompiledWeight = 2_000_000
)

// get returns the schema with a digest, whose text is asked for if it is not there.
func (c *schemaCache) get(digest crypto.Digest, text func() []byte, l schema.Limits) (*schema.Schema, error) {
	if s := c.compiled[digest]; s != nil && c.limits == l {
		return s, nil
	}
	s, err := schema.Compile(text(), l)
	if err != nil {
		return nil, err
	}
	if c.compiled == nil || c.limits != l || len(c.compiled) >= maxCompiled || c.weight+s.Weight() > maxCompiledWeight {
		c.compiled, c.limits, c.weight = make(map[crypto.Digest]*schema.Schema), l, 0
	}
	c.compiled[digest] = s
	c.weight += s.Weight()
	return s, nil
}
