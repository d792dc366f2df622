package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestForgeriesAreRefused(t *testing.T) {
	for _, f := range []Forgery{RogueKey, IdentityKey} {
		r := RunForgery(f, 1)
		require.NoError(t, r.Err())
		require.Equal(t, 1, r.Sometimes[f.String()+" refused"])
	}
}
