package crypto

import (
	"encoding/hex"
	"fmt"
)

// Sizes of Ed25519 keys and signatures in bytes.
const (
	PublicKeySize = 32
	SignatureSize = 64
)

// Sizes of BLS12-381 keys (G2, compressed) and signatures (G1, compressed) in bytes.
const (
	BLSKeySize       = 96
	BLSSignatureSize = 48
)

// PublicKey is an Ed25519 public key: of a client, or of a replica for votes or
// for TLS. Any 32 bytes are a PublicKey; whether they are a good one says
// ed25519.CheckKey, and no signature verifies under a bad one.
type PublicKey [PublicKeySize]byte

// Signature is an Ed25519 signature.
type Signature [SignatureSize]byte

// BLSKey is a BLS12-381 public key: a point of G2, compressed.
type BLSKey [BLSKeySize]byte

// BLSProof is a proof of possession of a BLS key: a point of G1, compressed.
type BLSProof [BLSSignatureSize]byte

// IsZero tells whether k is all zeros, which stands for "no key".
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// String returns the first eight hexadecimal digits, for logs. [PublicKey.Hex]
// has all of them.
func (k PublicKey) String() string { return hex.EncodeToString(k[:4]) }

// Hex returns all 64 hexadecimal digits.
func (k PublicKey) Hex() string { return hex.EncodeToString(k[:]) }

// MarshalText returns [PublicKey.Hex], for JSON and logs.
func (k PublicKey) MarshalText() ([]byte, error) { return appendHex(k[:]), nil }

// UnmarshalText reads the hexadecimal digits that [PublicKey.MarshalText] wrote.
func (k *PublicKey) UnmarshalText(text []byte) error { return readHex("public key", k[:], text) }

// ParsePublicKey reads the 64 hexadecimal digits of [PublicKey.Hex].
func ParsePublicKey(s string) (PublicKey, error) {
	var k PublicKey
	err := k.UnmarshalText([]byte(s))
	return k, err
}

// Compare orders keys by their bytes: -1, 0 or +1.
func (k PublicKey) Compare(other PublicKey) int {
	for i := range k {
		switch {
		case k[i] < other[i]:
			return -1
		case k[i] > other[i]:
			return 1
		}
	}
	return 0
}

// SignatureOf converts what a [Signer] of client requests returned, or what was
// received; ok is false when b does not have exactly SignatureSize bytes.
func SignatureOf(b []byte) (sig Signature, ok bool) {
	if len(b) != SignatureSize {
		return sig, false
	}
	copy(sig[:], b)
	return sig, true
}

// String returns the first eight hexadecimal digits, for logs.
func (s Signature) String() string { return hex.EncodeToString(s[:4]) }

// MarshalText returns all hexadecimal digits.
func (s Signature) MarshalText() ([]byte, error) { return appendHex(s[:]), nil }

// UnmarshalText reads the hexadecimal digits that [Signature.MarshalText] wrote.
func (s *Signature) UnmarshalText(text []byte) error { return readHex("signature", s[:], text) }

// String returns the first eight hexadecimal digits, for logs.
func (k BLSKey) String() string { return hex.EncodeToString(k[:4]) }

// MarshalText returns all hexadecimal digits.
func (k BLSKey) MarshalText() ([]byte, error) { return appendHex(k[:]), nil }

// UnmarshalText reads the hexadecimal digits that [BLSKey.MarshalText] wrote.
func (k *BLSKey) UnmarshalText(text []byte) error { return readHex("BLS key", k[:], text) }

// String returns the first eight hexadecimal digits, for logs.
func (p BLSProof) String() string { return hex.EncodeToString(p[:4]) }

// MarshalText returns all hexadecimal digits.
func (p BLSProof) MarshalText() ([]byte, error) { return appendHex(p[:]), nil }

// UnmarshalText reads the hexadecimal digits that [BLSProof.MarshalText] wrote.
func (p *BLSProof) UnmarshalText(text []byte) error { return readHex("BLS proof", p[:], text) }

func appendHex(b []byte) []byte {
	return hex.AppendEncode(make([]byte, 0, 2*len(b)), b)
}

// readHex reads exactly len(dst) bytes; dst is unchanged after an error.
func readHex(what string, dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("%s: want %d hexadecimal digits, have %d characters", what, 2*len(dst), len(text))
	}
	b := make([]byte, len(dst))
	if _, err := hex.Decode(b, text); err != nil {
		return fmt.Errorf("%s: want hexadecimal digits only, 0 to 9 and a to f", what)
	}
	copy(dst, b)
	return nil
}

// MemberKeys are the public halves of one replica's key file.
type MemberKeys struct {
	Signing PublicKey
	TLS     PublicKey
	BLS     BLSKey
	Proof   BLSProof
}

// Member returns a member with these keys and weight 1.
func (k MemberKeys) Member(name, peerAddress, clientAddress string) Member {
	return Member{
		Name: name, Weight: 1,
		SigningKey: k.Signing, TLSKey: k.TLS, BLSKey: k.BLS, BLSProof: k.Proof,
		PeerAddress: peerAddress, ClientAddress: clientAddress,
	}
}
