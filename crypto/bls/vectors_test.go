package bls

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	GG "github.com/cloudflare/circl/ecc/bls12381"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// RFC 9380, appendix J.9.1: BLS12381G1_XMD:SHA-256_SSWU_RO_.
func TestHashToCurveVectors(t *testing.T) {
	const tag = "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
	for _, v := range []struct{ msg, x, y string }{
		{
			"",
			"052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
			"08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265",
		},
		{
			"abc",
			"03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
			"0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d",
		},
		{
			"abcdef0123456789",
			"11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
			"03a87ae2caf14e8ee52e51fa2ed8eefe80f02457004ba4d486d6aa1f517c0889501dc7413753f9599b099ebcbbd2d709",
		},
		{
			"q128_" + strings.Repeat("q", 128),
			"15f68eaa693b95ccb85215dc65fa81038d69629f70aeee0d0f677cf22285e7bf58d7cb86eefe8f2e9bc3f8cb84fac488",
			"1807a1d50c29f430b8cafc4f8638dfeeadf51211e1602a5f184443076715f91bb90a48ba1e370edce6ae1062f5e6dd38",
		},
		{
			"a512_" + strings.Repeat("a", 512),
			"082aabae8b7dedb0e78aeb619ad3bfd9277a2f77ba7fad20ef6aabdc6c31d19ba5a6d12283553294c1825c4b3ca2dcfe",
			"05b84ae5a942248eea39e1d91030458c40153f3b654ab7872d779ad1e942856a20c438e8d99bc8abfbf74729ce1f7ac8",
		},
	} {
		require.Equal(t, v.x+v.y, hex.EncodeToString(hash(tag, []byte(v.msg)).Bytes()))
	}
}

// EIP-2333, test case 0: a master key is derived as ours are.
func TestKeyGenVector(t *testing.T) {
	k := keyGen(unhex(t, "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e5349553"+
		"1f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04"))
	want, ok := new(big.Int).SetString("6083874454709270928345386274498605044986640685124978867557563392430687146096", 10)
	require.True(t, ok)
	have, err := k.scalar.MarshalBinary()
	require.NoError(t, err)
	require.Zero(t, want.Cmp(new(big.Int).SetBytes(have)))
}

// A signature that others made in earnest: round 1000 of the drand network
// "quicknet", whose signatures are in G1 too (under the tag without proofs).
func TestForeignSignature(t *testing.T) {
	const tag = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
	key, err := parseKey(unhex(t, "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451"+
		"0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"))
	require.NoError(t, err)
	sig, err := parseSignature(unhex(t, "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"))
	require.NoError(t, err)
	message := func(round uint64) []byte {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, round))
		return sum[:]
	}
	require.True(t, verify(key, hash(tag, message(1000)), sig))
	require.False(t, verify(key, hash(tag, message(1001)), sig))
	require.False(t, verify(key, hash(tagSign, message(1000)), sig))
}

// The generators' published encodings.
func TestGenerators(t *testing.T) {
	require.Equal(t, "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb",
		hex.EncodeToString(GG.G1Generator().BytesCompressed()))
	require.True(t, bytes.HasPrefix(generator.BytesCompressed(), unhex(t, "93e02b6052719f607dacd3a088274f65596bd0d09920b61a")))
}
