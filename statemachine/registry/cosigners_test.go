package registry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

// A policy is told who has signed an envelope, and nothing of other bytes.
func TestCosigners(t *testing.T) {
	h := new(Handler)
	e := signed.Envelope{Op: []byte{1}, Deadline: 1}
	require.NoError(t, e.Sign(Space(chain), ann))
	require.NoError(t, e.Sign(Space(chain), bob))
	data := EncodeSigned(&e)
	require.ElementsMatch(t, []crypto.PublicKey{ann.Public(), bob.Public()}, h.Cosigners(&statemachine.Op{Data: data}))
	require.Empty(t, h.Cosigners(&statemachine.Op{Data: data[:len(data)-1]}))
	require.Empty(t, h.Cosigners(&statemachine.Op{Data: e.Op}))
	require.Empty(t, h.Cosigners(&statemachine.Op{}))
}
