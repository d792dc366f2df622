package crypto_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
)

func drawContext(t *rapid.T, name string) crypto.Context {
	c := crypto.Context{
		Kind:  crypto.Kind(rapid.Byte().Draw(t, name+" kind")),
		Epoch: rapid.Uint64().Draw(t, name+" epoch"),
	}
	copy(c.Cluster[:], rapid.SliceOfN(rapid.Byte(), crypto.DigestSize, crypto.DigestSize).Draw(t, name+" cluster"))
	return c
}

// Two different pairs of context and message are never the same bytes to sign.
func TestContextsSeparate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawContext(t, "a"), drawContext(t, "b")
		// Close to each other, too: most fields equal.
		for i, same := range rapid.SliceOfN(rapid.Bool(), 3, 3).Draw(t, "same") {
			if same {
				switch i {
				case 0:
					b.Kind = a.Kind
				case 1:
					b.Cluster = a.Cluster
				case 2:
					b.Epoch = a.Epoch
				}
			}
		}
		m := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "m")
		n := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "n")
		if rapid.Bool().Draw(t, "equal messages") {
			n = m
		}
		equal := a == b && bytes.Equal(m, n)
		require.Equal(t, equal, bytes.Equal(a.AppendMessage(nil, m), b.AppendMessage(nil, n)))
		require.Len(t, a.AppendMessage(nil, m), crypto.ContextSize+len(m))
		require.Equal(t, append([]byte("x"), a.AppendMessage(nil, m)...), a.AppendMessage([]byte("x"), m))
	})
}

func TestDomainsSeparate(t *testing.T) {
	require.NotEqual(t, crypto.Hash("a", []byte("b")), crypto.Hash("ab"))
	require.NotEqual(t, crypto.Hash("a"), crypto.Hash("b"))
	require.Equal(t, crypto.Hash("a", []byte("b"), []byte("c")), crypto.Hash("a", []byte("bc")))
	require.False(t, crypto.Hash("").IsZero())
}

func TestTextForms(t *testing.T) {
	d := crypto.Hash("test")
	var key crypto.PublicKey
	copy(key[:], d[:])
	var sig crypto.Signature
	copy(sig[:], d[:])
	var blsKey crypto.BLSKey
	copy(blsKey[:], d[:])
	var proof crypto.BLSProof
	copy(proof[:], d[:])

	type all struct {
		D crypto.Digest
		K crypto.PublicKey
		S crypto.Signature
		B crypto.BLSKey
		P crypto.BLSProof
		T crypto.Duration
	}
	in := all{d, key, sig, blsKey, proof, crypto.Duration(5e6)}
	data, err := json.Marshal(in)
	require.NoError(t, err)
	require.Contains(t, string(data), `"T":"5ms"`)
	var out all
	require.NoError(t, json.Unmarshal(data, &out))
	require.Equal(t, in, out)

	for _, s := range []string{key.String(), sig.String(), blsKey.String(), proof.String(), d.String()} {
		require.Equal(t, d.Hex()[:8], s)
	}
	require.Equal(t, "-", crypto.Digest{}.String())
	back, err := crypto.ParsePublicKey(key.Hex())
	require.NoError(t, err)
	require.Equal(t, key, back)
	for _, bad := range []string{"", "00", key.Hex() + "00", "zz" + key.Hex()[2:]} {
		_, err := crypto.ParsePublicKey(bad)
		require.Error(t, err)
		require.Error(t, out.D.UnmarshalText([]byte(bad)))
		require.Error(t, out.S.UnmarshalText([]byte(bad)))
		require.Error(t, out.T.UnmarshalText([]byte(bad)))
	}
	require.Equal(t, key, out.K, "unchanged after an error")
	_, ok := crypto.SignatureOf(sig[:63])
	require.False(t, ok)
	require.True(t, crypto.PublicKey{}.IsZero())
	require.Zero(t, key.Compare(key))
	require.Equal(t, -1, crypto.PublicKey{}.Compare(key))
	require.Equal(t, 1, key.Compare(crypto.PublicKey{}))
}

func TestBitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, crypto.MaxReplicas).Draw(t, "n")
		ids := rapid.SliceOfDistinct(rapid.Uint16Range(0, uint16(n-1)), rapid.ID).Draw(t, "ids")
		b := crypto.NewBitmap(n)
		for _, id := range ids {
			require.False(t, b.Has(crypto.ReplicaID(id)))
			b.Set(crypto.ReplicaID(id))
		}
		require.NoError(t, b.Check(n))
		require.Equal(t, len(ids), b.Count())
		listed := b.IDs()
		require.Len(t, listed, len(ids))
		for i, id := range listed {
			require.True(t, b.Has(id))
			require.True(t, i == 0 || id > listed[i-1])
		}
		require.False(t, b.Has(crypto.ReplicaID(8*len(b))))
		c := b.Clone()
		c[0] ^= 1
		require.NotEqual(t, b, c)
	})
	require.Equal(t, "{0,2,9}", crypto.Bitmap{5, 2}.String())
	require.Equal(t, "{}", crypto.Bitmap{}.String())
}

func FuzzBitmapCheck(f *testing.F) {
	f.Add([]byte{0x0f}, uint16(4))
	f.Add([]byte{0x1f}, uint16(4))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		set := crypto.Bitmap(b)
		err := set.Check(int(n))
		rebuilt := crypto.NewBitmap(int(n))
		for _, id := range set.IDs() {
			if id < crypto.ReplicaID(n) {
				rebuilt.Set(id)
			}
		}
		// Valid iff it is the encoding that its own members give.
		require.Equal(t, bytes.Equal(rebuilt, b), err == nil)
		if err != nil {
			require.ErrorIs(t, err, crypto.ErrMalformed)
		}
		_ = set.String()
		_ = set.Has(crypto.ReplicaID(n))
	})
}

func TestCulpritError(t *testing.T) {
	err := error(&crypto.CulpritError{Signer: 3, Err: crypto.ErrMalformed})
	require.ErrorIs(t, err, crypto.ErrMalformed)
	require.EqualError(t, err, "share of replica 3: malformed encoding")
	require.ErrorIs(t, crypto.CheckOrder([]crypto.Share{{Signer: 4}}, 4), crypto.ErrUnknownSigner)
	var culprit *crypto.CulpritError
	require.True(t, errors.As(crypto.CheckOrder([]crypto.Share{{Signer: 1}, {Signer: 1}}, 4), &culprit))
	require.Equal(t, crypto.ReplicaID(1), culprit.Signer)
	require.NoError(t, crypto.CheckOrder([]crypto.Share{{Signer: 1}, {Signer: 3}}, 4))
}
