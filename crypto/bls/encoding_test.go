package bls

import (
	"bytes"
	"testing"

	GG "github.com/cloudflare/circl/ecc/bls12381"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// modulus of the base field, big-endian.
const modulusHex = "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab"

// withFlags returns b with the three flag bits of its first byte replaced.
func withFlags(b []byte, flags byte) []byte {
	b = bytes.Clone(b)
	b[0] = b[0]&0x1f | flags
	return b
}

// plusModulus returns the encoding with the modulus added to the last 48 bytes'
// coordinate, or nil where that does not fit below the flag bits.
func plusModulus(t *testing.T, b []byte) []byte {
	p := unhex(t, modulusHex)
	flags := b[0] & 0xe0
	b = withFlags(b, 0)
	at := b[len(b)-48:]
	carry := 0
	for i := 47; i >= 0; i-- {
		sum := int(at[i]) + int(p[i]) + carry
		at[i], carry = byte(sum), sum>>8
	}
	if len(b) == 48 && (carry != 0 || b[0]&0xe0 != 0) {
		return nil
	}
	b[0] |= flags
	return b
}

// offSubgroup returns compressed encodings of points on the curve that are not in
// the prime-order group: small x are.
func offSubgroup(size int) [][]byte {
	var found [][]byte
	for x := range byte(40) {
		b := make([]byte, size)
		b[0], b[size-1] = 0x80, x
		found = append(found, b)
	}
	return found
}

func TestMalformedEncodings(t *testing.T) {
	k := testKey(1)
	for name, group := range map[string]struct {
		good  []byte
		check func([]byte) error
	}{
		"key":       {keyOf(k), CheckKey},
		"signature": {k.sign(tagSign, []byte("m")), func(b []byte) error { _, err := parseSignature(b); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			good, check := group.good, group.check
			require.NoError(t, check(good))
			require.NoError(t, check(withFlags(good, good[0]&0xe0^0x20)), "the negative is a point too")
			bad := map[string][]byte{
				"empty":                    {},
				"truncated":                good[:len(good)-1],
				"trailing byte":            append(bytes.Clone(good), 0),
				"infinity":                 infinity(len(good)),
				"infinity with sign":       withFlags(infinity(len(good)), 0xe0),
				"infinity uncompressed":    withFlags(infinity(len(good)), 0x40),
				"infinity with x":          withFlags(good, 0xc0),
				"zero":                     make([]byte, len(good)),
				"ones":                     bytes.Repeat([]byte{0xff}, len(good)),
				"not marked compressed":    withFlags(good, 0),
				"sign, uncompressed":       withFlags(good, 0x20),
				"uncompressed and doubled": append(bytes.Clone(good), good...),
			}
			// The modulus in place of the first coordinate, and of the last.
			first := append(unhex(t, modulusHex), make([]byte, len(good)-48)...)
			bad["first x is the modulus"] = withFlags(first, 0x80)
			last := append(make([]byte, len(good)-48), unhex(t, modulusHex)...)
			bad["last x is the modulus"] = withFlags(last, 0x80)
			if b := plusModulus(t, good); b != nil {
				bad["x plus the modulus"] = b
			}
			for name, b := range bad {
				require.ErrorIs(t, check(b), crypto.ErrMalformed, name)
			}
			for _, b := range offSubgroup(len(good)) {
				require.ErrorIs(t, check(b), crypto.ErrMalformed)
			}
		})
	}
}

// The uncompressed encoding of a good point is not accepted anywhere.
func TestUncompressedIsRefused(t *testing.T) {
	k := testKey(1)
	p, err := parseKey(keyOf(k))
	require.NoError(t, err)
	require.Error(t, CheckKey(p.Bytes()))
	q, err := parseSignature(k.sign(tagSign, nil))
	require.NoError(t, err)
	_, err = parseSignature(q.Bytes())
	require.Error(t, err)
	// It has the length of a compressed key: the group must not be confused.
	require.Len(t, q.Bytes(), crypto.BLSKeySize)
	require.Error(t, CheckKey(q.Bytes()))
}

func FuzzParseKey(f *testing.F) {
	f.Add(keyOf(testKey(1)))
	f.Add(infinity(crypto.BLSKeySize))
	for _, b := range offSubgroup(crypto.BLSKeySize)[:3] {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parseKey(b); err == nil {
			require.Equal(t, b, p.BytesCompressed(), "a second encoding")
			require.True(t, p.IsOnG2() && !p.IsIdentity())
		} else {
			require.ErrorIs(t, err, crypto.ErrMalformed)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	f.Add(testKey(1).sign(tagSign, nil))
	f.Add(GG.G1Generator().BytesCompressed())
	f.Add(infinity(crypto.BLSSignatureSize))
	for _, b := range offSubgroup(crypto.BLSSignatureSize)[:3] {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parseSignature(b); err == nil {
			require.Equal(t, b, p.BytesCompressed(), "a second encoding")
			require.True(t, p.IsOnG1() && !p.IsIdentity())
		} else {
			require.ErrorIs(t, err, crypto.ErrMalformed)
		}
	})
}
