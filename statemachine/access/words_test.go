package access

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The words of a rejection are part of the result, which is the same on all replicas: what
// a client wrote is shown without asking which version of Unicode a replica was built with.
func TestRejectionsAreOfNoVersionOfUnicode(t *testing.T) {
	w := newWorld(t, policy(Open))
	const unassigned = "\U0001fbff\u0378é\xff" // but for the third, which every version knows
	for _, role := range []Role{{Name: unassigned}, {Name: "r", Submit: []string{"\U0001fbff\u0378é*a"}}, {Name: "r", Read: []string{unassigned}}} {
		res := w.submit(ann, Encode(&Propose{Change: Change{SetRoles: []Role{role}}}))
		require.Equal(t, CodeInvalid, res.Code)
		require.Contains(t, string(res.Data), `\U0001fbff`)
		for _, b := range res.Data {
			require.Less(t, b, byte(0x80), "%s", res.Data)
		}
	}
}
