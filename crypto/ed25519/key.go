package ed25519

import (
	"bytes"
	stded25519 "crypto/ed25519"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/oasisprotocol/curve25519-voi/curve"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/parley-bft/parley/crypto"
)

// SeedSize is the length of a private key's seed in bytes.
const SeedSize = 32

// PrivateKey is an Ed25519 private key. It prints as the public key it belongs to
// and has no text form, so that it does not end in a log by accident.
type PrivateKey struct {
	expanded [voi.PrivateKeySize]byte // seed || public key
}

// NewKeyFromSeed returns the private key of a seed of RFC 8032.
func NewKeyFromSeed(seed [SeedSize]byte) *PrivateKey {
	k := new(PrivateKey)
	copy(k.expanded[:], voi.NewKeyFromSeed(seed[:]))
	return k
}

// GenerateKey takes a seed from rand, crypto/rand.Reader if that is nil.
func GenerateKey(rand io.Reader) (*PrivateKey, error) {
	if rand == nil {
		rand = cryptorand.Reader
	}
	var seed [SeedSize]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, fmt.Errorf("take an ed25519 seed: %w", err)
	}
	return NewKeyFromSeed(seed), nil
}

// Public returns the public key.
func (k *PrivateKey) Public() crypto.PublicKey { return crypto.PublicKey(k.expanded[SeedSize:]) }

// Seed returns the seed: the secret itself.
func (k *PrivateKey) Seed() [SeedSize]byte { return [SeedSize]byte(k.expanded[:SeedSize]) }

// Standard returns the key for the standard library, which TLS needs.
func (k *PrivateKey) Standard() stded25519.PrivateKey {
	return stded25519.PrivateKey(bytes.Clone(k.expanded[:]))
}

// String names the public half only.
func (k *PrivateKey) String() string { return "private key of " + k.Public().String() }

// GoString names the public half only.
func (k *PrivateKey) GoString() string { return k.String() }

// Format names the public half only, whatever the verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// Errors of [CheckKey].
var (
	errNotOnCurve   = errors.New("not a point of the curve")
	errNonCanonical = errors.New("not in canonical form")
	errTorsion      = errors.New("not in the prime-order group")
)

// CheckKey returns an error unless key is a canonical encoding of a point of the
// prime-order group other than the identity: what a member's key must be. For
// clients' keys the laxer rule of verification holds (see the package's notes);
// their owners have none but themselves to blame.
func CheckKey(key crypto.PublicKey) error {
	var y curve.CompressedEdwardsY
	copy(y[:], key[:])
	var p curve.EdwardsPoint
	switch _, err := p.SetCompressedY(&y); {
	case err != nil:
		return fmt.Errorf("ed25519 key %s: %w", key.Hex(), errNotOnCurve)
	case !y.IsCanonicalVartime():
		return fmt.Errorf("ed25519 key %s: %w", key.Hex(), errNonCanonical)
	case p.IsSmallOrder() || !p.IsTorsionFree():
		return fmt.Errorf("ed25519 key %s: %w", key.Hex(), errTorsion)
	}
	return nil
}

// Signer signs with one private key. It is safe for concurrent use and
// implements [crypto.Signer] and [crypto.KeySigner].
type Signer struct{ key PrivateKey }

var _ crypto.KeySigner = (*Signer)(nil)

// NewSigner returns the signer of a key.
func NewSigner(key *PrivateKey) *Signer { return &Signer{key: *key} }

// Public returns the public key.
func (s *Signer) Public() crypto.PublicKey { return s.key.Public() }

// Sign returns the 64-byte signature on msg in context c (about 15 us).
func (s *Signer) Sign(c crypto.Context, msg []byte) []byte {
	buf := takeBuffer()
	defer giveBuffer(buf)
	*buf = c.AppendMessage((*buf)[:0], msg)
	return voi.Sign(s.key.expanded[:], *buf)
}
