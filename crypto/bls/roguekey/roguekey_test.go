package roguekey

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
)

func TestNew(t *testing.T) {
	own, a, b := bls.NewKeyFromSeed([bls.SeedSize]byte{1}), bls.NewKeyFromSeed([bls.SeedSize]byte{2}), bls.NewKeyFromSeed([bls.SeedSize]byte{3})
	rogue, err := New(own.Public(), []crypto.BLSKey{a.Public(), b.Public()})
	require.NoError(t, err)
	require.NoError(t, bls.CheckKey(rogue[:]), "it looks like any other")
	// Rogue plus both others is own: from own, rogue and one other the rest follows.
	rest, err := New(own.Public(), []crypto.BLSKey{rogue, a.Public()})
	require.NoError(t, err)
	require.Equal(t, b.Public(), rest)

	_, err = New(crypto.BLSKey{}, nil)
	require.ErrorIs(t, err, ErrKey)
	_, err = New(own.Public(), []crypto.BLSKey{{}})
	require.ErrorIs(t, err, ErrKey)

	key, _ := Identity()
	require.Error(t, bls.CheckKey(key[:]))
}
