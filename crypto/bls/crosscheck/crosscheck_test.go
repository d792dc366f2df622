package crosscheck

import (
	"bytes"
	"crypto/sha256"
	"math/big"
	"math/rand/v2"
	"testing"

	circl "github.com/cloudflare/circl/sign/bls"
	gnark "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
)

const (
	tagSign  = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
	tagProof = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
)

var base = crypto.Context{Kind: crypto.KindCheckpoint, Cluster: crypto.Digest{1, 2, 3}, Epoch: 4}

// member is one key in both worlds.
type member struct {
	ours   *bls.PrivateKey
	scalar *big.Int
	key    gnark.G2Affine
}

func newMember(t testing.TB, seed byte) member {
	s := sha256.Sum256([]byte{seed})
	m := member{ours: bls.NewKeyFromSeed(s)}
	salt := sha256.Sum256([]byte("BLS-SIG-KEYGEN-SALT-"))
	k, err := circl.KeyGen[circl.KeyG2SigG1](s[:], salt[:], nil)
	require.NoError(t, err)
	b, err := k.MarshalBinary()
	require.NoError(t, err)
	m.scalar = new(big.Int).SetBytes(b)
	_, _, _, g2 := gnark.Generators()
	m.key.ScalarMultiplication(&g2, m.scalar)
	return m
}

// sign is gnark-crypto's signature.
func (m member) sign(t testing.TB, tag string, msg []byte) []byte {
	h, err := gnark.HashToG1(msg, []byte(tag))
	require.NoError(t, err)
	h.ScalarMultiplication(&h, m.scalar)
	b := h.Bytes()
	return b[:]
}

// verify is gnark-crypto's check.
func verify(t testing.TB, tag string, key gnark.G2Affine, msg, sig []byte) bool {
	var s gnark.G1Affine
	if n, err := s.SetBytes(sig); err != nil || n != len(sig) {
		return false
	}
	h, err := gnark.HashToG1(msg, []byte(tag))
	require.NoError(t, err)
	_, _, _, g2 := gnark.Generators()
	g2.Neg(&g2)
	ok, err := gnark.PairingCheck([]gnark.G1Affine{h, s}, []gnark.G2Affine{key, g2})
	require.NoError(t, err)
	return ok
}

func cluster(t testing.TB, n int) ([]member, *bls.Scheme) {
	var all []member
	var keys, proofs [][]byte
	for i := range n {
		m := newMember(t, byte(i))
		key, proof := m.ours.Public(), m.ours.Prove()
		all, keys, proofs = append(all, m), append(keys, key[:]), append(proofs, proof[:])
	}
	s, err := bls.NewScheme(keys, proofs)
	require.NoError(t, err)
	return all, s
}

func TestKeysAndSignaturesAreTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range byte(20) {
		m := newMember(t, i)
		key, proof := m.ours.Public(), m.ours.Prove()
		theirs := m.key.Bytes()
		require.Equal(t, theirs[:], key[:])
		require.Equal(t, m.sign(t, tagProof, key[:]), proof[:])
		require.True(t, verify(t, tagProof, m.key, key[:], proof[:]))

		msg := make([]byte, r.IntN(300))
		for j := range msg {
			msg[j] = byte(r.Uint32())
		}
		sig := bls.NewSigner(m.ours).Sign(base, msg)
		require.Equal(t, m.sign(t, tagSign, base.AppendMessage(nil, msg)), sig)
		require.True(t, verify(t, tagSign, m.key, base.AppendMessage(nil, msg), sig))
	}
}

func TestAggregatesAreTheSame(t *testing.T) {
	all, s := cluster(t, 7)
	msg := []byte("height 1024")
	for set := byte(1); set < 1<<7; set += 5 {
		bitmap := crypto.Bitmap{set}
		var shares []crypto.Share
		var sum gnark.G1Jac
		var keys gnark.G2Jac
		bitmap.Each(func(id crypto.ReplicaID) {
			// Signed by the other library, aggregated by both.
			sig := all[id].sign(t, tagSign, base.AppendMessage(nil, msg))
			shares = append(shares, crypto.Share{Signer: id, Signature: sig})
			var p gnark.G1Affine
			_, err := p.SetBytes(sig)
			require.NoError(t, err)
			sum.AddMixed(&p)
			keys.AddMixed(&all[id].key)
		})
		var affine gnark.G1Affine
		affine.FromJacobian(&sum)
		theirs := affine.Bytes()
		var key gnark.G2Affine
		key.FromJacobian(&keys)

		ours, err := s.Aggregate(shares)
		require.NoError(t, err)
		require.Equal(t, theirs[:], ours)
		require.NoError(t, s.VerifyAggregate(base, msg, bitmap, ours))
		require.True(t, verify(t, tagSign, key, base.AppendMessage(nil, msg), ours))

		require.Error(t, s.VerifyAggregate(base, []byte("height 2048"), bitmap, ours))
		require.False(t, verify(t, tagSign, key, base.AppendMessage(nil, []byte("height 2048")), ours))
	}
}

// theirKey is gnark-crypto's answer to crypto/bls.CheckKey: compressed, in the
// group, not the identity, nothing left over.
func theirKey(b []byte) bool {
	var p gnark.G2Affine
	if len(b) != crypto.BLSKeySize || b[0]&0x80 == 0 {
		return false
	}
	n, err := p.SetBytes(b)
	return err == nil && n == len(b) && !p.IsInfinity()
}

func theirSignature(b []byte) bool {
	var p gnark.G1Affine
	if len(b) != crypto.BLSSignatureSize || b[0]&0x80 == 0 {
		return false
	}
	n, err := p.SetBytes(b)
	return err == nil && n == len(b) && !p.IsInfinity()
}

// ourSignature asks the only door that every share from the wire goes through.
func ourSignature(s *bls.Scheme, b []byte) bool {
	_, err := s.Aggregate([]crypto.Share{{Signer: 0, Signature: b}})
	return err == nil
}

// mutants returns encodings close to good: flags, bits, truncations, modulus
// added, coordinates off the subgroup.
func mutants(good []byte) [][]byte {
	p, _ := new(big.Int).SetString("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab", 16)
	all := [][]byte{good, nil, good[:len(good)-1], append(bytes.Clone(good), 0), make([]byte, len(good))}
	for flags := range 8 {
		for _, b := range [][]byte{good, make([]byte, len(good))} {
			b = bytes.Clone(b)
			b[0] = b[0]&0x1f | byte(flags)<<5
			all = append(all, b)
		}
	}
	for bit := range 8 * len(good) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		all = append(all, b)
	}
	for at := 0; at < len(good); at += 48 { // each coordinate: plus the modulus, the modulus itself, just below and above
		for _, x := range []*big.Int{
			p, new(big.Int).Sub(p, big.NewInt(1)), new(big.Int).Add(p, big.NewInt(1)),
			new(big.Int).Add(p, coordinate(good, at)),
		} {
			if x.BitLen() > 381+3*min(at, 1) {
				continue
			}
			b := bytes.Clone(good)
			flags := b[0] & 0xe0
			x.FillBytes(b[at : at+48])
			b[0] = b[0]&0x1f | flags
			all = append(all, b)
		}
	}
	for x := range byte(200) { // a third on the curve, all off the subgroup
		for _, flags := range []byte{0x80, 0xa0} {
			b := make([]byte, len(good))
			b[0], b[len(b)-1] = flags, x
			all = append(all, b)
		}
	}
	return all
}

func coordinate(b []byte, at int) *big.Int {
	b = bytes.Clone(b[at : at+48])
	if at == 0 {
		b[0] &= 0x1f
	}
	return new(big.Int).SetBytes(b)
}

func TestDecodersAgree(t *testing.T) {
	_, s := cluster(t, 1)
	accepted := 0
	for seed := range byte(3) {
		m := newMember(t, seed)
		key := m.ours.Public()
		for _, b := range mutants(key[:]) {
			require.Equal(t, theirKey(b), bls.CheckKey(b) == nil, "key %x", b)
		}
		for _, b := range mutants(bls.NewSigner(m.ours).Sign(base, nil)) {
			require.Equal(t, theirSignature(b), ourSignature(s, b), "signature %x", b)
			if theirSignature(b) {
				accepted++
			}
		}
	}
	require.Positive(t, accepted)
}

// The small coordinates above do include points of the curve outside the group:
// otherwise the subgroup checks would not have been tested.
func TestMutantsReachTheSubgroupCheck(t *testing.T) {
	onCurve := 0
	for x := range uint64(200) {
		// y^2 = x^3 + 4 has a solution iff the right side is a square.
		var p gnark.G1Affine
		p.X.SetUint64(x)
		p.Y.Square(&p.X).Mul(&p.Y, &p.X)
		four := p.X
		four.SetUint64(4)
		p.Y.Add(&p.Y, &four)
		if p.Y.Sqrt(&p.Y) == nil {
			continue
		}
		require.True(t, p.IsOnCurve())
		require.False(t, p.IsInSubGroup())
		onCurve++
	}
	require.Greater(t, onCurve, 50)
}

func FuzzDecodersAgree(f *testing.F) {
	_, s := cluster(f, 1)
	m := newMember(f, 0)
	key := m.ours.Public()
	f.Add(key[:])
	f.Add(bls.NewSigner(m.ours).Sign(base, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		require.Equal(t, theirKey(b), bls.CheckKey(b) == nil)
		require.Equal(t, theirSignature(b), ourSignature(s, b))
	})
}
