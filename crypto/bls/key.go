package bls

import (
	cryptorand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	GG "github.com/cloudflare/circl/ecc/bls12381"
	circl "github.com/cloudflare/circl/sign/bls"

	"github.com/parley-bft/parley/crypto"
)

// SeedSize is the length of a private key's seed in bytes.
const SeedSize = 32

// Domain separation tags of the ciphersuite (draft-irtf-cfrg-bls-signature,
// sections 4.2.3): signatures in G1 with proof of possession.
const (
	tagSign  = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
	tagProof = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
)

// Errors of decoding; all of them also are [crypto.ErrMalformed].
var (
	errIdentity = errors.New("the point at infinity")
	errPoint    = errors.New("not the canonical encoding of a point of the group")
)

// PrivateKey is a BLS private key. It prints as the public key it belongs to.
type PrivateKey struct {
	scalar GG.Scalar
	public crypto.BLSKey
}

// NewKeyFromSeed derives a private key as the IETF draft's KeyGen does, with the
// salt SHA-256("BLS-SIG-KEYGEN-SALT-") and no key information (the same as the
// master key of EIP-2333).
func NewKeyFromSeed(seed [SeedSize]byte) *PrivateKey { return keyGen(seed[:]) }

func keyGen(seed []byte) *PrivateKey {
	salt := sha256.Sum256([]byte("BLS-SIG-KEYGEN-SALT-"))
	key, err := circl.KeyGen[circl.KeyG2SigG1](seed, salt[:], nil)
	if err != nil {
		panic("bls: key generation from a seed of sufficient length: " + err.Error())
	}
	b, err := key.MarshalBinary()
	if err != nil {
		panic("bls: encode a scalar: " + err.Error())
	}
	k := new(PrivateKey)
	k.scalar.SetBytes(b)
	var p GG.G2
	p.ScalarMult(&k.scalar, GG.G2Generator())
	copy(k.public[:], p.BytesCompressed())
	return k
}

// GenerateKey takes a seed from rand, crypto/rand.Reader if that is nil.
func GenerateKey(rand io.Reader) (*PrivateKey, error) {
	if rand == nil {
		rand = cryptorand.Reader
	}
	var seed [SeedSize]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("take a BLS seed: %w", err)
	}
	return NewKeyFromSeed(seed), nil
}

// Public returns the public key.
func (k *PrivateKey) Public() crypto.BLSKey { return k.public }

// String names the public half only.
func (k *PrivateKey) String() string { return "private BLS key of " + k.public.String() }

// GoString names the public half only.
func (k *PrivateKey) GoString() string { return k.String() }

// Format names the public half only, whatever the verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

func (k *PrivateKey) sign(tag string, msg []byte) []byte {
	var h GG.G1
	h.Hash(msg, []byte(tag))
	h.ScalarMult(&k.scalar, &h)
	return h.BytesCompressed()
}

// Prove returns the proof of possession of the key: a signature on the public
// key's own bytes under a tag that nothing else is signed under.
func (k *PrivateKey) Prove() crypto.BLSProof {
	return crypto.BLSProof(k.sign(tagProof, k.public[:]))
}

// CheckProof validates a public key (canonical, in the group, not the identity)
// and its proof of possession (about 4 ms).
func CheckProof(key, proof []byte) error {
	p, err := parseKey(key)
	if err != nil {
		return err
	}
	s, err := parseSignature(proof)
	if err != nil {
		return fmt.Errorf("proof of possession: %w", err)
	}
	if !verify(p, hash(tagProof, key), s) {
		return fmt.Errorf("proof of possession: %w", crypto.ErrBadSignature)
	}
	return nil
}

// CheckKey validates a public key without its proof.
func CheckKey(key []byte) error {
	_, err := parseKey(key)
	return err
}

// parseKey accepts the one encoding of a point of G2 other than the identity.
// The library checks the flag bits, that the coordinate is below the field's
// modulus, the curve and the subgroup; it also takes uncompressed points, which
// the length excludes here.
func parseKey(b []byte) (*GG.G2, error) {
	if len(b) != crypto.BLSKeySize {
		return nil, fmt.Errorf("%w: BLS key of %d bytes, want %d", crypto.ErrMalformed, len(b), crypto.BLSKeySize)
	}
	p := new(GG.G2)
	if err := p.SetBytes(b); err != nil {
		return nil, fmt.Errorf("%w: BLS key: %w", crypto.ErrMalformed, errPoint)
	}
	if p.IsIdentity() {
		return nil, fmt.Errorf("%w: BLS key: %w", crypto.ErrMalformed, errIdentity)
	}
	return p, nil
}

// parseSignature accepts the one encoding of a point of G1 other than the identity.
func parseSignature(b []byte) (*GG.G1, error) {
	if len(b) != crypto.BLSSignatureSize {
		return nil, fmt.Errorf("%w: BLS signature of %d bytes, want %d", crypto.ErrMalformed, len(b), crypto.BLSSignatureSize)
	}
	p := new(GG.G1)
	if err := p.SetBytes(b); err != nil {
		return nil, fmt.Errorf("%w: BLS signature: %w", crypto.ErrMalformed, errPoint)
	}
	if p.IsIdentity() {
		return nil, fmt.Errorf("%w: BLS signature: %w", crypto.ErrMalformed, errIdentity)
	}
	return p, nil
}

func hash(tag string, msg []byte) *GG.G1 {
	h := new(GG.G1)
	h.Hash(msg, []byte(tag))
	return h
}

var generator = GG.G2Generator()

// verify tells whether e(h, key) == e(s, generator). (ProdPair would multiply by
// scalars first; this form does not.)
func verify(key *GG.G2, h, s *GG.G1) bool {
	return GG.ProdPairFrac([]*GG.G1{h, s}, []*GG.G2{key, generator}, []int{1, -1}).IsIdentity()
}

// Signer signs with one private key. It is safe for concurrent use and
// implements [crypto.Signer].
type Signer struct{ key PrivateKey }

var _ crypto.Signer = (*Signer)(nil)

// NewSigner returns the signer of a key.
func NewSigner(key *PrivateKey) *Signer { return &Signer{key: *key} }

// Public returns the public key.
func (s *Signer) Public() crypto.BLSKey { return s.key.public }

// Sign returns the 48-byte signature on msg in context c (about 0.5 ms).
func (s *Signer) Sign(c crypto.Context, msg []byte) []byte {
	return s.key.sign(tagSign, c.AppendMessage(make([]byte, 0, crypto.ContextSize+len(msg)), msg))
}
