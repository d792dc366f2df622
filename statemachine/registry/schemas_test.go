package registry

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/registry/schema"
)

// What is kept of compiled schemas is bounded by what they take, not only by how many
// they are; what an operation is answered does not depend on what is kept.
func TestCompiledSchemasAreBounded(t *testing.T) {
	var c schemaCache
	l := schema.DefaultLimits()
	texts := 0
	get := func(text string) (*schema.Schema, error) {
		return c.get(crypto.Hash(domainSchema, []byte(text)), func() []byte { texts++; return []byte(text) }, l)
	}
	most := 0
	for i := range 3 * maxCompiled {
		s, err := get(fmt.Sprintf(`{"title": "%d", "pattern": "^(ab?c?d?e?f?g?){1000}$"}`, i))
		require.NoError(t, err)
		require.Greater(t, s.Weight(), 20_000)
		sum := 0
		for _, s := range c.compiled {
			sum += s.Weight()
		}
		require.Equal(t, sum, c.weight)
		require.LessOrEqual(t, sum, maxCompiledWeight)
		most = max(most, len(c.compiled))
	}
	require.Greater(t, most, 10)
	require.Less(t, most, maxCompiled)

	// Many schemas without a pattern weigh something, too.
	s, err := get(`{"anyOf": [` + strings.Repeat(`{},`, 20_000) + `{}]}`)
	require.NoError(t, err)
	require.Greater(t, s.Weight(), 200_000)

	// It is compiled once, and again under other limits.
	before := texts
	again, err := get(`{"anyOf": [` + strings.Repeat(`{},`, 20_000) + `{}]}`)
	require.NoError(t, err)
	require.Same(t, s, again)
	require.Equal(t, before, texts)
	l.MaxSchemaBytes = 1000
	_, err = get(`{"anyOf": [` + strings.Repeat(`{},`, 20_000) + `{}]}`)
	require.ErrorIs(t, err, schema.ErrSchema)
}
