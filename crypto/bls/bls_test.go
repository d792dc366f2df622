package bls

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	GG "github.com/cloudflare/circl/ecc/bls12381"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/internal/schemetest"
)

func testKey(n uint64) *PrivateKey {
	return NewKeyFromSeed(sha256.Sum256(binary.BigEndian.AppendUint64(nil, n)))
}

func encodings(keys []*PrivateKey) (public, proofs [][]byte) {
	for _, k := range keys {
		key, proof := k.Public(), k.Prove()
		public, proofs = append(public, key[:]), append(proofs, proof[:])
	}
	return public, proofs
}

func members(t testing.TB, n int) (*Scheme, []crypto.Signer) {
	var keys []*PrivateKey
	var signers []crypto.Signer
	for i := range n {
		keys = append(keys, testKey(uint64(i)))
		signers = append(signers, NewSigner(keys[i]))
	}
	s, err := NewScheme(encodings(keys))
	require.NoError(t, err)
	return s, signers
}

func TestScheme(t *testing.T) {
	s, signers := members(t, 4)
	require.Equal(t, "bls", s.Name())
	require.True(t, s.Lazy())
	schemetest.Run(t, s, signers, schemetest.Options{BitStep: 37, Sums: true})
}

// Frozen: a change of these bytes splits clusters. Checked against gnark-crypto
// in the module crosscheck.
func TestKnownAnswers(t *testing.T) {
	k := testKey(1)
	key, proof := k.Public(), k.Prove()
	require.Equal(t, knownKey, hex.EncodeToString(key[:]))
	require.Equal(t, knownProof, hex.EncodeToString(proof[:]))
	require.Equal(t, knownSignature, hex.EncodeToString(NewSigner(k).Sign(schemetest.Base(), []byte("block 17"))))
}

func TestGenerateKey(t *testing.T) {
	a, err := GenerateKey(rand.Reader)
	require.NoError(t, err)
	b, err := GenerateKey(rand.Reader)
	require.NoError(t, err)
	require.NotEqual(t, a.Public(), b.Public())
	c, err := GenerateKey(nil) // the system's randomness
	require.NoError(t, err)
	require.NotEqual(t, a.Public(), c.Public())
	_, err = GenerateKey(strings.NewReader("too short"))
	require.Error(t, err)
	secret, err := a.scalar.MarshalBinary()
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb, a), hex.EncodeToString(secret)[:16])
		require.Contains(t, fmt.Sprintf(verb, a), a.Public().String())
	}
}

func TestProofOfPossession(t *testing.T) {
	a, b := testKey(1), testKey(2)
	keyA, keyB, proofA, proofB := a.Public(), b.Public(), a.Prove(), b.Prove()
	require.NoError(t, CheckProof(keyA[:], proofA[:]))
	require.NoError(t, CheckKey(keyA[:]))
	require.ErrorIs(t, CheckProof(keyA[:], proofB[:]), crypto.ErrBadSignature)
	require.ErrorIs(t, CheckProof(keyB[:], proofA[:]), crypto.ErrBadSignature)
	require.ErrorIs(t, CheckProof(keyA[:], nil), crypto.ErrMalformed)
	require.ErrorIs(t, CheckProof(nil, proofA[:]), crypto.ErrMalformed)

	// Neither a vote is a proof nor a proof a vote, whatever the context says.
	vote := a.sign(tagSign, keyA[:])
	require.ErrorIs(t, CheckProof(keyA[:], vote), crypto.ErrBadSignature)
	c := crypto.Context{Kind: crypto.KindPossession}
	require.ErrorIs(t, CheckProof(keyA[:], NewSigner(a).Sign(c, keyA[:])), crypto.ErrBadSignature)
	point, err := parseKey(keyA[:])
	require.NoError(t, err)
	sig, err := parseSignature(proofA[:])
	require.NoError(t, err)
	require.True(t, verify(point, hash(tagProof, keyA[:]), sig))
	require.False(t, verify(point, hash(tagSign, keyA[:]), sig))
}

// The attack: Mallory's key is his own minus Alice's, so that the sum of both is
// his own and he signs for both. It works on the sums, and only the proof of
// possession stands against it.
func TestRogueKey(t *testing.T) {
	alice, mallory := testKey(1), testKey(2)
	aliceKey, err := parseKey(keyOf(alice))
	require.NoError(t, err)
	own, err := parseKey(keyOf(mallory))
	require.NoError(t, err)
	rogue := *aliceKey
	rogue.Neg()
	rogue.Add(&rogue, own)
	rogueKey := rogue.BytesCompressed()
	require.NoError(t, CheckKey(rogueKey), "the key itself looks like any other")

	// The forgery, where nobody asked for a proof.
	unsafe := &Scheme{keys: []*GG.G2{aliceKey, &rogue}, sums: newSums([]*GG.G2{aliceKey, &rogue})}
	forged := NewSigner(mallory).Sign(schemetest.Base(), []byte("Alice pays"))
	require.NoError(t, unsafe.VerifyAggregate(schemetest.Base(), []byte("Alice pays"), schemetest.SetOf(2, 0, 1), forged))

	// The best that Mallory can prove: his own key, a signature by it on the rogue
	// key, Alice's proof.
	aliceProof, ownProof := alice.Prove(), mallory.Prove()
	for name, proof := range map[string][]byte{
		"his own":            ownProof[:],
		"Alice's":            aliceProof[:],
		"made with his own":  mallory.sign(tagProof, rogueKey),
		"difference of both": difference(t, ownProof[:], aliceProof[:]),
	} {
		_, err := NewScheme([][]byte{keyOf(alice), rogueKey}, [][]byte{aliceProof[:], proof})
		require.ErrorIs(t, err, crypto.ErrBadSignature, name)
		require.ErrorContains(t, err, "member 1", name)
	}
}

func keyOf(k *PrivateKey) []byte { key := k.Public(); return key[:] }

func difference(t *testing.T, a, b []byte) []byte {
	p, err := parseSignature(a)
	require.NoError(t, err)
	q, err := parseSignature(b)
	require.NoError(t, err)
	q.Neg()
	p.Add(p, q)
	return p.BytesCompressed()
}

// negative returns the private key -k, which whoever has k has too.
func negative(k *PrivateKey) *PrivateKey {
	n := new(PrivateKey)
	n.scalar = k.scalar
	n.scalar.Neg()
	var p GG.G2
	p.ScalarMult(&n.scalar, GG.G2Generator())
	copy(n.public[:], p.BytesCompressed())
	return n
}

// Two keys that add up to zero have good proofs and can sign anything together
// with the identity as aggregate: the splitting-zero attack.
func TestSplittingZero(t *testing.T) {
	a, b := testKey(1), testKey(2)
	minus := negative(a)
	proof := minus.Prove()
	require.NoError(t, CheckProof(keyOf(minus), proof[:]), "the proof is good")
	require.Equal(t, negate(a.Public()), minus.Public())

	_, err := NewScheme(encodings([]*PrivateKey{a, b, minus}))
	require.ErrorIs(t, err, ErrNegatedKey)
	_, err = NewScheme(encodings([]*PrivateKey{a, b, a}))
	require.ErrorIs(t, err, ErrDuplicateKey)

	// Three keys that add up to zero cannot be told apart from others. Their sum
	// proves nothing.
	third := new(PrivateKey)
	third.scalar.Add(&a.scalar, &b.scalar)
	third.scalar.Neg()
	var p GG.G2
	p.ScalarMult(&third.scalar, GG.G2Generator())
	copy(third.public[:], p.BytesCompressed())
	s, err := NewScheme(encodings([]*PrivateKey{a, b, third}))
	require.NoError(t, err)
	c, msg := schemetest.Base(), []byte("anything")
	shares := schemetest.Shares([]crypto.Signer{NewSigner(a), NewSigner(b), NewSigner(third)}, c, msg)
	sum, err := s.Aggregate(shares)
	require.NoError(t, err)
	require.Equal(t, infinity(crypto.BLSSignatureSize), sum)
	require.ErrorIs(t, s.VerifyAggregate(c, msg, schemetest.SetOf(3, 0, 1, 2), sum), crypto.ErrBadSignature)
	err = s.VerifyAggregate(c, msg, schemetest.SetOf(3, 0, 1, 2), shares[0].Signature)
	require.ErrorIs(t, err, crypto.ErrBadSignature)
	require.ErrorContains(t, err, "add up to zero")
}

func infinity(size int) []byte {
	b := make([]byte, size)
	b[0] = 0xc0
	return b
}

func TestSchemeRefusesBadMembers(t *testing.T) {
	keys, proofs := encodings([]*PrivateKey{testKey(1), testKey(2)})
	_, err := NewScheme(nil, nil)
	require.Error(t, err)
	_, err = NewScheme(keys, proofs[:1])
	require.Error(t, err)
	_, err = NewScheme([][]byte{keys[0], infinity(crypto.BLSKeySize)}, [][]byte{proofs[0], infinity(crypto.BLSSignatureSize)})
	require.ErrorIs(t, err, errIdentity)
	_, err = NewScheme(keys, [][]byte{proofs[0], infinity(crypto.BLSSignatureSize)})
	require.ErrorIs(t, err, errIdentity)
	_, err = NewScheme(keys, [][]byte{proofs[1], proofs[0]})
	require.ErrorIs(t, err, crypto.ErrBadSignature)
	_, err = NewScheme(make([][]byte, crypto.MaxReplicas+1), make([][]byte, crypto.MaxReplicas+1))
	require.Error(t, err)
}

// Two bad shares whose errors cancel out: the aggregate holds (and proves that
// both signed, it took both keys), but no check of shares may call them good,
// also not the one that combines many.
func TestCancellingShares(t *testing.T) {
	s, signers := members(t, 8)
	c, msg := schemetest.Base(), []byte("block 17")
	shares := schemetest.Shares(signers, c, msg)
	shift := hash(tagSign, []byte("anything"))
	minus := *shift
	minus.Neg()
	shares[2].Signature = shifted(t, shares[2].Signature, shift)
	shares[5].Signature = shifted(t, shares[5].Signature, &minus)

	sum, err := s.Aggregate(shares)
	require.NoError(t, err)
	require.NoError(t, s.VerifyAggregate(c, msg, crypto.Bitmap{0xff}, sum))
	require.Equal(t, []crypto.ReplicaID{2, 5}, crypto.FindCulprits(s, c, msg, shares))
	require.Equal(t, []crypto.ReplicaID{2, 5}, crypto.FindCulprits(s, c, msg, []crypto.Share{shares[2], shares[5]}))
	require.Empty(t, crypto.FindCulprits(s, c, msg, append(shares[:2:2], shares[3], shares[4], shares[6], shares[7], shares[0])))
}

func shifted(t *testing.T, sig []byte, by *GG.G1) []byte {
	p, err := parseSignature(sig)
	require.NoError(t, err)
	p.Add(p, by)
	return p.BytesCompressed()
}

func TestSumsAreBoundedAndRight(t *testing.T) {
	s, _ := members(t, 10)
	for i := range 1 << 10 {
		s.sums.of(crypto.Bitmap{byte(i), byte(i >> 8)})
		require.LessOrEqual(t, len(s.sums.young)+len(s.sums.old), maxSums)
	}
	var want GG.G2
	want.Add(s.keys[1], s.keys[9])
	for range 2 {
		require.True(t, s.sums.of(crypto.Bitmap{2, 2}).IsEqual(&want))
	}
	want.SetIdentity()
	require.True(t, s.sums.of(crypto.Bitmap{0, 0}).IsEqual(&want))
}
