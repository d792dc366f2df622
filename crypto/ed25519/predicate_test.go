package ed25519_test

import (
	"crypto/sha512"
	"testing"

	"github.com/oasisprotocol/curve25519-voi/curve"
	"github.com/oasisprotocol/curve25519-voi/curve/scalar"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/internal/schemetest"
)

// torsion returns i times a point of order eight.
func torsion(i int) *curve.EdwardsPoint {
	p := curve.NewEdwardsPoint()
	return p.Set(curve.EIGHT_TORSION[i%8])
}

func encode(p *curve.EdwardsPoint) (b [32]byte) {
	y := curve.NewCompressedEdwardsY().SetEdwardsPoint(p)
	copy(b[:], y[:])
	return b
}

func number(n uint64) *scalar.Scalar { return scalar.NewFromUint64(n) }

func times(n *scalar.Scalar) *curve.EdwardsPoint {
	return curve.NewEdwardsPoint().MulBasepoint(curve.ED25519_BASEPOINT_TABLE, n)
}

// modulus is 2^255 - 19, little-endian; adding a small y gives the
// non-canonical encoding of y.
func nonCanonical(y byte) (b [32]byte) {
	b[0] = 0xed + y
	for i := 1; i < 31; i++ {
		b[i] = 0xff
	}
	b[31] = 0x7f
	return b
}

func badKeys() map[string]crypto.PublicKey {
	mixed := curve.NewEdwardsPoint()
	mixed.Add(times(number(5)), torsion(1))
	keys := map[string]crypto.PublicKey{
		"not on the curve":            {0: 2},
		"non-canonical identity":      nonCanonical(1),
		"non-canonical zero":          nonCanonical(0),
		"mixed order":                 encode(mixed),
		"identity with the sign of x": {0: 1, 31: 0x80},
	}
	for i := range 8 {
		keys["small order "+string(rune('0'+i))] = encode(torsion(i))
	}
	return keys
}

// crafted is a signature that no honest signer makes, with what we decided about it.
type crafted struct {
	name string
	item crypto.Item
	good bool
}

// craft makes a signature by the secret a under the public key A and nonce point R
// given as encodings: s = r + H(R,A,m) a.
func craft(c crypto.Context, msg []byte, a, r *scalar.Scalar, public, nonce [32]byte) crypto.Item {
	h := sha512.New()
	h.Write(nonce[:])
	h.Write(public[:])
	h.Write(c.AppendMessage(nil, msg))
	k, err := scalar.NewFromBytesModOrderWide(h.Sum(nil))
	if err != nil {
		panic(err)
	}
	s := scalar.New().Mul(k, a)
	s.Add(s, r)
	it := crypto.Item{Key: public, Context: c, Message: msg}
	copy(it.Signature[:32], nonce[:])
	if err := s.ToBytes(it.Signature[32:]); err != nil {
		panic(err)
	}
	return it
}

func plus(p, q *curve.EdwardsPoint) [32]byte { return encode(curve.NewEdwardsPoint().Add(p, q)) }

func craftedSignatures() []crafted {
	c := schemetest.Base()
	a, r, zero := number(12345), number(67890), scalar.New()
	A, R := times(a), times(r)
	var all []crafted
	add := func(name string, good bool, it crypto.Item) { all = append(all, crafted{name, it, good}) }
	for m := range byte(16) { // several messages: H mod 8 must not matter
		msg := []byte{m}
		add("honest", true, craft(c, msg, a, r, encode(A), encode(R)))
		for i := 1; i < 8; i++ {
			add("key of mixed order", true, craft(c, msg, a, r, plus(A, torsion(i)), encode(R)))
			add("nonce of mixed order", true, craft(c, msg, a, r, encode(A), plus(R, torsion(i))))
			add("both of mixed order", true, craft(c, msg, a, r, plus(A, torsion(i)), plus(R, torsion(8-i))))
			add("nonce of small order", true, craft(c, msg, a, zero, encode(A), encode(torsion(i))))
			add("key of small order", false, craft(c, msg, zero, r, encode(torsion(i)), encode(R)))
			add("key and nonce of small order", false, craft(c, msg, zero, zero, encode(torsion(i)), encode(torsion(8-i))))
		}
		add("identity as key", false, craft(c, msg, zero, r, encode(torsion(0)), encode(R)))
		add("non-canonical key", false, craft(c, msg, zero, r, nonCanonical(1), encode(R)))
		add("identity as nonce", true, craft(c, msg, a, zero, encode(A), encode(torsion(0))))
		add("non-canonical nonce", false, craft(c, msg, a, zero, encode(A), nonCanonical(1)))
		add("non-canonical nonce of order four", false, craft(c, msg, a, zero, encode(A), nonCanonical(0)))
		add("nonce not on the curve", false, craft(c, msg, a, r, encode(A), [32]byte{0: 2}))

		high := craft(c, msg, a, r, encode(A), encode(R))
		addGroupOrder(high.Signature[32:])
		add("s above the group order", false, high)
		wrong := craft(c, msg, a, number(67891), encode(A), encode(R))
		add("wrong s", false, wrong)
	}
	return all
}

// addGroupOrder adds L, little-endian.
func addGroupOrder(s []byte) {
	order := [32]byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
	carry := 0
	for i := range s {
		sum := int(s[i]) + int(order[i]) + carry
		s[i], carry = byte(sum), sum>>8
	}
}

// Single checks and batches of every size and company decide alike, and as
// documented.
func TestOnePredicate(t *testing.T) {
	all := craftedSignatures()
	kinds := make(map[string]bool)
	for _, x := range all {
		kinds[x.name] = true
		it := x.item
		require.Equal(t, x.good, ed25519.NewVerifier(1).Verify(it.Key, it.Context, it.Message, it.Signature), x.name)
		require.Equal(t, []bool{x.good}, ed25519.NewVerifier(1).VerifyBatch([]crypto.Item{it}), x.name)
	}
	require.Len(t, kinds, 15)

	for _, size := range []int{2, 3, 7, 64, 120, len(all)} { // on both sides of the library's switch of algorithms
		for start := 0; start < len(all); start += size {
			var items []crypto.Item
			var want []bool
			for _, x := range all[start:min(start+size, len(all))] {
				items, want = append(items, x.item), append(want, x.good)
			}
			require.Equal(t, want, ed25519.NewVerifier(64).VerifyBatch(items))
		}
	}
}

// The good ones pass as a batch, not only by the single checks after a failed
// batch: this is where cofactorless libraries differ from themselves.
func TestCraftedGoodOnesPassTogether(t *testing.T) {
	var items []crypto.Item
	for _, x := range craftedSignatures() {
		if x.good {
			items = append(items, x.item)
		}
	}
	for range 5 { // other random coefficients each time
		require.True(t, ed25519.BatchHolds(items))
	}
	for _, it := range items {
		require.True(t, ed25519.BatchHolds([]crypto.Item{it}))
	}
}

// A member with a crafted share can neither pass one check and fail the other.
func TestSchemePredicate(t *testing.T) {
	a := number(12345)
	keys := []crypto.PublicKey{encode(times(a))}
	for i := range 4 {
		keys = append(keys, key(uint64(i)).Public())
	}
	s, err := ed25519.NewScheme(keys)
	require.NoError(t, err)
	for _, x := range craftedSignatures() {
		it := x.item
		if it.Key != encode(times(a)) {
			continue
		}
		share := crypto.Share{Signer: 0, Signature: it.Signature[:]}
		require.Equal(t, x.good, s.VerifyShare(it.Context, it.Message, share) == nil, x.name)
		shares := []crypto.Share{share}
		set := schemetest.SetOf(5, 0)
		for id := range crypto.ReplicaID(5) { // 1 to 5 signers: checked singly, then as a batch
			if id > 0 {
				set.Set(id)
				shares = append(shares, crypto.Share{Signer: id, Signature: ed25519.NewSigner(key(uint64(id-1))).Sign(it.Context, it.Message)})
			}
			proof, err := s.Aggregate(shares)
			require.NoError(t, err)
			require.Equal(t, x.good, s.VerifyAggregate(it.Context, it.Message, set, proof) == nil, x.name)
			require.Equal(t, x.good, len(crypto.FindCulprits(s, it.Context, it.Message, shares)) == 0, x.name)
		}
	}
}
