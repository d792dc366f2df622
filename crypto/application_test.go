package crypto_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func TestApplicationIsPartOfTheIdentity(t *testing.T) {
	c := testCluster(1, 1, 1, 1)
	seen := map[crypto.Digest]bool{c.ID(): true}
	for _, a := range []crypto.Application{
		{Name: "kv"},
		{Name: "ledger"},
		{Name: "ledger", Genesis: json.RawMessage(`{}`)},
		{Name: "ledger", Genesis: json.RawMessage(`{"a": [1, 2]}`)},
		{Name: "ledger", Genesis: json.RawMessage(`{"a": [1, 3]}`)},
	} {
		c.Application = &a
		require.NoError(t, c.Check())
		require.False(t, seen[c.ID()], "%s %s", a.Name, a.Genesis)
		seen[c.ID()] = true

		data, err := c.Encode()
		require.NoError(t, err)
		back, err := crypto.ParseCluster(data)
		require.NoError(t, err)
		require.Equal(t, a.Name, back.Application.Name)
		require.Equal(t, c.ID(), back.ID(), "however the file indents it")
	}
}

func TestApplicationErrors(t *testing.T) {
	for want, a := range map[string]crypto.Application{
		`application: name "": write 1 to 63`:          {},
		`application: name "The Ledger": write`:        {Name: "The Ledger"},
		`application: genesis is no JSON value: corr`:  {Name: "x", Genesis: json.RawMessage(`{"a":}`)},
		`application: genesis has 4194306 bytes: at m`: {Name: "x", Genesis: json.RawMessage(`"` + strings.Repeat("a", 4<<20) + `"`)},
	} {
		c := testCluster(1, 1, 1, 1)
		c.Application = &a
		require.ErrorContains(t, c.Check(), want)
	}
}
