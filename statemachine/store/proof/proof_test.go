package proof

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
)

// build makes the digest and a proof with the trie of package merkle alone.
func build(n int, key byte) (crypto.Digest, *Proof) {
	var t merkle.Trie
	for i := range n {
		t.Set(Path([]byte{byte(i)}), ValueDigest([]byte{byte(i), 1}))
	}
	p := new(Proof)
	tree, ok := t.View().Prove(Path([]byte{key}))
	if p.Tree, p.Empty = tree, !ok; int(key) < n {
		p.Present, p.Value = true, []byte{key, 1}
	}
	return StateDigest(t.Root()), p
}

func TestVerify(t *testing.T) {
	for _, n := range []int{0, 1, 2, 200} {
		for _, key := range []byte{0, 1, 100, 250} {
			d, p := build(n, key)
			require.NoError(t, p.Verify(d, []byte{key}))
			require.Equal(t, int(key) < n, p.Present)
			q := *p
			q.Present = !q.Present
			require.ErrorIs(t, q.Verify(d, []byte{key}), ErrInvalid)
			q = *p
			q.Value = []byte("other")
			require.ErrorIs(t, q.Verify(d, []byte{key}), ErrInvalid)
			q = *p
			q.Empty = !q.Empty
			require.ErrorIs(t, q.Verify(d, []byte{key}), ErrInvalid)
		}
	}
}

func TestHashIsTheGeneralOne(t *testing.T) {
	for _, n := range []int{0, 1, 200, 300, 5000} {
		b := make([]byte, n)
		require.Equal(t, crypto.Hash(domainKey, b), Path(b))
		require.Equal(t, crypto.Hash(domainValue, b), ValueDigest(b))
	}
}

// Nothing that decodes has a second encoding, and nothing but the proof verifies.
func FuzzDecode(f *testing.F) {
	d, p := build(200, 7)
	f.Add(p.Encode())
	_, absent := build(200, 250)
	f.Add(absent.Encode())
	_, empty := build(0, 1)
	f.Add(empty.Encode())
	good := string(p.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := Decode(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Equal(t, b, q.Encode())
		if q.Verify(d, []byte{7}) == nil {
			require.Equal(t, good, string(b))
		}
	})
}
