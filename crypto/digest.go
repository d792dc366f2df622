package crypto

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// DigestSize is the length of a [Digest] in bytes.
const DigestSize = sha256.Size

// Digest is a SHA-256 digest made under a domain tag (see [Hash]).
// The zero Digest stands for "none"; no input is known that hashes to it.
type Digest [DigestSize]byte

// Domain separates the uses of the hash function: equal bytes hashed for two
// purposes give two digests.
type Domain string

// Hash returns SHA-256(len(domain) || domain || parts...). The parts are
// concatenated as they are: a caller that hashes more than one part of variable
// length encodes the lengths (package canon does).
func Hash(domain Domain, parts ...[]byte) Digest {
	h := sha256.New()
	var prefix [64]byte
	tag := append(prefix[:0], byte(len(domain)))
	tag = append(tag, domain...)
	h.Write(tag)
	for _, p := range parts {
		h.Write(p)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}

// IsZero tells whether d is the zero Digest, which stands for "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns the first eight hexadecimal digits: enough to tell blocks
// apart in a log line. [Digest.Hex] has all of them.
func (d Digest) String() string {
	if d.IsZero() {
		return "-"
	}
	return hex.EncodeToString(d[:4])
}

// Hex returns all 64 hexadecimal digits.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// MarshalText returns [Digest.Hex], for JSON and logs.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.Hex()), nil }

// UnmarshalText reads the 64 hexadecimal digits that [Digest.MarshalText] wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*DigestSize {
		return fmt.Errorf("digest %q: want %d hexadecimal digits, have %d characters", text, 2*DigestSize, len(text))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("digest %q: want hexadecimal digits only, 0 to 9 and a to f", text)
	}
	return nil
}

// Uint64 returns the first eight bytes as a number: a hash key for tables that
// an adversary may not steer must be salted by the caller.
func (d Digest) Uint64() uint64 { return binary.BigEndian.Uint64(d[:8]) }
