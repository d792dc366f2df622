// Package schemetest is what every [crypto.Scheme] must pass.
package schemetest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// Options of [Run].
type Options struct {
	// BitStep is how many bits lie between two bits that are flipped in turn: 1
	// for all of them, more for a scheme that is slow to check.
	BitStep int

	// Sums is set when an aggregate's form says nothing of the number
	// of signers (a sum rather than a list).
	Sums bool
}

// Base is the context that the tests sign in.
func Base() crypto.Context {
	return crypto.Context{Kind: crypto.KindCommit, Cluster: crypto.Hash("test", []byte("cluster")), Epoch: 7}
}

// Shares returns everybody's share on msg.
func Shares(signers []crypto.Signer, c crypto.Context, msg []byte) []crypto.Share {
	shares := make([]crypto.Share, len(signers))
	for i, s := range signers {
		shares[i] = crypto.Share{Signer: crypto.ReplicaID(i), Signature: s.Sign(c, msg)}
	}
	return shares
}

// SetOf returns the bitmap of ids in a cluster of n.
func SetOf(n int, ids ...crypto.ReplicaID) crypto.Bitmap {
	b := crypto.NewBitmap(n)
	for _, id := range ids {
		b.Set(id)
	}
	return b
}

// Run checks the scheme over the signers, who must be four.
func Run(t *testing.T, s crypto.Scheme, signers []crypto.Signer, o Options) {
	require.Len(t, signers, 4)
	r := &run{s: s, signers: signers, o: o, c: Base(), msg: []byte("block 17")}
	r.shares = Shares(signers, r.c, r.msg)
	t.Run("deterministic", r.deterministic)
	t.Run("subsets", r.subsets)
	t.Run("shares", r.checkShares)
	t.Run("culprits", r.culprits)
	t.Run("form of shares", r.formOfShares)
	t.Run("bit flips", r.bitFlips)
	t.Run("contexts", r.contexts)
	t.Run("malformed", r.malformed)
	t.Run("concurrent", r.concurrent)
}

type run struct {
	s       crypto.Scheme
	signers []crypto.Signer
	o       Options
	c       crypto.Context
	msg     []byte
	shares  []crypto.Share
}

func (r *run) deterministic(t *testing.T) {
	require.Equal(t, r.shares, Shares(r.signers, r.c, r.msg))
}

// Every set of signers has an aggregate, which holds for this set only.
func (r *run) subsets(t *testing.T) {
	proofs := make(map[byte][]byte)
	for set := byte(1); set < 16; set++ {
		var shares []crypto.Share
		crypto.Bitmap{set}.Each(func(id crypto.ReplicaID) { shares = append(shares, r.shares[id]) })
		proof, err := r.s.Aggregate(shares)
		require.NoError(t, err)
		proofs[set] = proof
		require.NoError(t, r.s.VerifyAggregate(r.c, r.msg, crypto.Bitmap{set}, proof))
	}
	for _, pair := range [][2]byte{{1, 2}, {3, 1}, {1, 3}, {7, 11}, {15, 7}, {7, 15}, {5, 10}} {
		require.Error(t, r.s.VerifyAggregate(r.c, r.msg, crypto.Bitmap{pair[1]}, proofs[pair[0]]))
	}
	require.ErrorIs(t, r.s.VerifyAggregate(r.c, r.msg, crypto.Bitmap{0}, proofs[1]), crypto.ErrBadSignature)
	require.Error(t, r.s.VerifyAggregate(r.c, r.msg, crypto.Bitmap{0}, nil))
}

func (r *run) checkShares(t *testing.T) {
	for _, share := range r.shares {
		require.NoError(t, r.s.VerifyShare(r.c, r.msg, share))
	}
	other := r.shares[1]
	other.Signer = 2
	require.ErrorIs(t, r.s.VerifyShare(r.c, r.msg, other), crypto.ErrBadSignature)
	other.Signer = 4
	require.ErrorIs(t, r.s.VerifyShare(r.c, r.msg, other), crypto.ErrUnknownSigner)
	require.ErrorIs(t, r.s.VerifyShare(r.c, []byte("block 18"), r.shares[0]), crypto.ErrBadSignature)
	require.ErrorIs(t, r.s.VerifyShare(r.c, r.msg, crypto.Share{}), crypto.ErrBadSignature)

	// Different messages and contexts in one call, with bad ones in between.
	later := r.c
	later.Epoch++
	checks := []crypto.ShareCheck{
		{Context: r.c, Message: r.msg, Share: r.shares[0]},
		{Context: later, Message: r.msg, Share: r.shares[0]},
		{Context: later, Message: r.msg, Share: crypto.Share{Signer: 3, Signature: r.signers[3].Sign(later, r.msg)}},
		{Context: r.c, Message: r.msg, Share: other},
		{Context: r.c, Message: r.msg, Share: crypto.Share{Signer: 1, Signature: r.shares[1].Signature[1:]}},
		{Context: r.c, Message: nil, Share: crypto.Share{Signer: 1, Signature: r.signers[1].Sign(r.c, nil)}},
	}
	errs := r.s.VerifyShares(checks)
	require.Len(t, errs, len(checks))
	for i, want := range []error{nil, crypto.ErrBadSignature, nil, crypto.ErrUnknownSigner, crypto.ErrBadSignature, nil} {
		require.ErrorIs(t, errs[i], want, "check %d", i)
	}
	require.Empty(t, r.s.VerifyShares(nil))
}

func (r *run) culprits(t *testing.T) {
	shares := append([]crypto.Share(nil), r.shares...)
	shares[1].Signature = r.signers[1].Sign(r.c, []byte("another block"))
	proof, err := r.s.Aggregate(shares)
	require.NoError(t, err)
	require.ErrorIs(t, r.s.VerifyAggregate(r.c, r.msg, SetOf(4, 0, 1, 2, 3), proof), crypto.ErrBadSignature)
	require.Equal(t, []crypto.ReplicaID{1}, crypto.FindCulprits(r.s, r.c, r.msg, shares))
	proof, err = r.s.Aggregate([]crypto.Share{shares[0], shares[2], shares[3]})
	require.NoError(t, err)
	require.NoError(t, r.s.VerifyAggregate(r.c, r.msg, SetOf(4, 0, 2, 3), proof))
	require.Empty(t, crypto.FindCulprits(r.s, r.c, r.msg, r.shares))
}

func (r *run) formOfShares(t *testing.T) {
	s := r.shares
	for name, shares := range map[string][]crypto.Share{
		"none": nil, "twice": {s[0], s[0]}, "descending": {s[1], s[0]},
		"unknown": {s[0], {Signer: 4, Signature: s[1].Signature}},
	} {
		_, err := r.s.Aggregate(shares)
		require.Error(t, err, name)
	}
	bad := append([]crypto.Share(nil), s...)
	for _, sig := range [][]byte{nil, s[2].Signature[1:], append([]byte{0}, s[2].Signature...)} {
		bad[2].Signature = sig
		_, err := r.s.Aggregate(bad)
		var culprit *crypto.CulpritError
		require.ErrorAs(t, err, &culprit)
		require.Equal(t, crypto.ReplicaID(2), culprit.Signer)
		require.ErrorIs(t, err, crypto.ErrMalformed)
		require.ErrorIs(t, r.s.VerifyShare(r.c, r.msg, bad[2]), crypto.ErrBadSignature)
	}
}

// No single bit of a signature, a message or a proof may change.
func (r *run) bitFlips(t *testing.T) {
	flip := func(b []byte, f func([]byte) error) {
		for i := range 8 * len(b) {
			b = append([]byte(nil), b...)
			b[i/8] ^= 1 << (i % 8)
			require.Error(t, f(b), "bit %d", i)
			b[i/8] ^= 1 << (i % 8)
		}
	}
	flip(r.shares[0].Signature, func(sig []byte) error {
		return r.s.VerifyShare(r.c, r.msg, crypto.Share{Signer: 0, Signature: sig})
	})
	flip(r.msg, func(msg []byte) error { return r.s.VerifyShare(r.c, msg, r.shares[0]) })
	proof, err := r.s.Aggregate(r.shares[:3])
	require.NoError(t, err)
	flip(proof, func(proof []byte) error { return r.s.VerifyAggregate(r.c, r.msg, SetOf(4, 0, 1, 2), proof) })
	flip(SetOf(4, 0, 1, 2), func(set []byte) error { return r.s.VerifyAggregate(r.c, r.msg, set, proof) })
}

// What is signed in one context holds in no other.
func (r *run) contexts(t *testing.T) {
	proof, err := r.s.Aggregate(r.shares[:3])
	require.NoError(t, err)
	refused := func(c crypto.Context) {
		require.NotEqual(t, r.c, c)
		require.ErrorIs(t, r.s.VerifyAggregate(c, r.msg, SetOf(4, 0, 1, 2), proof), crypto.ErrBadSignature)
		require.ErrorIs(t, r.s.VerifyShare(c, r.msg, r.shares[0]), crypto.ErrBadSignature)
	}
	for kind := crypto.KindRequest; kind <= crypto.KindApplication; kind++ {
		if c := r.c; kind != c.Kind {
			c.Kind = kind
			refused(c)
		}
	}
	for bit := 0; bit < 8*crypto.DigestSize; bit += r.o.BitStep {
		c := r.c
		c.Cluster[bit/8] ^= 1 << (bit % 8)
		refused(c)
	}
	for bit := 0; bit < 64; bit += r.o.BitStep {
		c := r.c
		c.Epoch ^= 1 << bit
		refused(c)
	}
}

func (r *run) malformed(t *testing.T) {
	set := SetOf(4, 0, 1, 2)
	proof, err := r.s.Aggregate(r.shares[:3])
	require.NoError(t, err)
	for _, b := range []crypto.Bitmap{nil, {}, {7, 0}, {0x17}, {0xff}} {
		require.ErrorIs(t, r.s.VerifyAggregate(r.c, r.msg, b, proof), crypto.ErrMalformed, "%x", []byte(b))
	}
	for _, p := range [][]byte{nil, {}, proof[:len(proof)-1], append(append([]byte(nil), proof...), 0),
		append(append([]byte(nil), proof...), proof...), make([]byte, len(proof))} {
		require.Error(t, r.s.VerifyAggregate(r.c, r.msg, set, p))
	}
	if !r.o.Sums {
		more, err := r.s.Aggregate(r.shares)
		require.NoError(t, err)
		require.Error(t, r.s.VerifyAggregate(r.c, r.msg, set, more))
	}
}

func (r *run) concurrent(t *testing.T) {
	proof, err := r.s.Aggregate(r.shares[1:])
	require.NoError(t, err)
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = r.s.VerifyAggregate(r.c, r.msg, SetOf(4, 1, 2, 3), proof)
			if bad := r.s.VerifyShares([]crypto.ShareCheck{{Context: r.c, Message: r.msg, Share: r.shares[i%4]}}); errs[i] == nil {
				errs[i] = bad[0]
			}
			_ = r.signers[i%4].Sign(r.c, r.msg)
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}
