package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
)

// A policy is told who has signed, and nothing of bytes that are no transaction.
func TestCosigners(t *testing.T) {
	h, err := NewHandler(DefaultConfig(crypto.Digest{1}))
	require.NoError(t, err)
	key := ed25519.NewSigner(ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{1}))
	other := ed25519.NewSigner(ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{2}))
	tx := new(Transaction)
	data := Submit(tx, tx.Sign(crypto.Digest{1}, key), tx.Sign(crypto.Digest{1}, other))
	require.ElementsMatch(t, []crypto.PublicKey{key.Public(), other.Public()}, h.Cosigners(&statemachine.Op{Data: data}))
	require.Empty(t, h.Cosigners(&statemachine.Op{Data: Submit(tx)}))
	require.Empty(t, h.Cosigners(&statemachine.Op{Data: data[:len(data)/2]}))
	require.Empty(t, h.Cosigners(&statemachine.Op{}))
}
