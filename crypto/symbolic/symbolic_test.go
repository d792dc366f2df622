package symbolic_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/internal/schemetest"
	"github.com/parley-bft/parley/crypto/symbolic"
)

func TestScheme(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		w := symbolic.NewWorld(1)
		s, err := w.Scheme(4, lazy)
		require.NoError(t, err)
		require.Equal(t, lazy, s.Lazy())
		require.Equal(t, "symbolic", s.Name())
		var signers []crypto.Signer
		for id := range 4 {
			signers = append(signers, w.Signer(crypto.ReplicaID(id)))
		}
		schemetest.Run(t, s, signers, schemetest.Options{BitStep: 1, Sums: lazy})
	}
}

func TestWorldsAreSeparateAndReproducible(t *testing.T) {
	c, msg := schemetest.Base(), []byte("m")
	a, b, again := symbolic.NewWorld(1), symbolic.NewWorld(2), symbolic.NewWorld(1)
	require.Equal(t, a.Signer(0).Sign(c, msg), again.Signer(0).Sign(c, msg))
	require.NotEqual(t, a.Signer(0).Sign(c, msg), b.Signer(0).Sign(c, msg))
	require.NotEqual(t, a.Signer(0).Sign(c, msg), a.Signer(1).Sign(c, msg))
	require.Equal(t, a.Client(3).Public(), again.Client(3).Public())
	require.NotEqual(t, a.Client(3).Public(), a.Client(4).Public())
}

func TestClients(t *testing.T) {
	w := symbolic.NewWorld(1)
	c := crypto.Context{Kind: crypto.KindRequest, Cluster: crypto.Hash("test")}
	signer, other := w.Client(0), w.Client(1)
	sig, ok := crypto.SignatureOf(signer.Sign(c, []byte("pay 10")))
	require.True(t, ok)
	require.True(t, w.Verify(signer.Public(), c, []byte("pay 10"), sig))
	require.False(t, w.Verify(other.Public(), c, []byte("pay 10"), sig))
	require.False(t, w.Verify(signer.Public(), c, []byte("pay 11"), sig))
	require.False(t, w.Verify(crypto.PublicKey{1}, c, []byte("pay 10"), sig))
	for bit := range 8 * len(sig) {
		bad := sig
		bad[bit/8] ^= 1 << (bit % 8)
		require.False(t, w.Verify(signer.Public(), c, []byte("pay 10"), bad))
	}
	items := []crypto.Item{
		{Key: signer.Public(), Context: c, Message: []byte("pay 10"), Signature: sig},
		{Key: other.Public(), Context: c, Message: []byte("pay 10"), Signature: sig},
	}
	require.Equal(t, []bool{true, false}, w.VerifyBatch(items))
}

func TestSchemeOfChangedMembers(t *testing.T) {
	w := symbolic.NewWorld(5)
	s, err := w.SchemeOf([]crypto.ReplicaID{7, 2}, false)
	require.NoError(t, err)
	c := schemetest.Base()
	require.NoError(t, s.VerifyShare(c, nil, crypto.Share{Signer: 0, Signature: w.Signer(7).Sign(c, nil)}))
	require.Error(t, s.VerifyShare(c, nil, crypto.Share{Signer: 0, Signature: w.Signer(0).Sign(c, nil)}))
	_, err = w.Scheme(0, false)
	require.Error(t, err)
	_, err = w.Scheme(crypto.MaxReplicas+1, false)
	require.Error(t, err)
}

func BenchmarkVerifyShare(b *testing.B) {
	w := symbolic.NewWorld(1)
	s, err := w.Scheme(4, false)
	require.NoError(b, err)
	c, msg := schemetest.Base(), make([]byte, 100)
	share := crypto.Share{Signer: 1, Signature: w.Signer(1).Sign(c, msg)}
	b.ReportAllocs()
	for b.Loop() {
		if s.VerifyShare(c, msg, share) != nil {
			b.Fatal("refused")
		}
	}
}
