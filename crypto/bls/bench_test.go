package bls

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/internal/schemetest"
)

func BenchmarkSign(b *testing.B) {
	s, c, msg := NewSigner(testKey(1)), schemetest.Base(), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		s.Sign(c, msg)
	}
}

func BenchmarkAggregateAndVerify(b *testing.B) {
	for _, k := range []int{3, 22, 67} {
		s, signers := members(b, k)
		c, msg := schemetest.Base(), make([]byte, 100)
		shares := schemetest.Shares(signers, c, msg)
		set := crypto.NewBitmap(k)
		for i := range k {
			set.Set(crypto.ReplicaID(i))
		}
		proof, err := s.Aggregate(shares)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("aggregate/%d", k), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = s.Aggregate(shares)
			}
		})
		b.Run(fmt.Sprintf("verify/%d", k), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.VerifyAggregate(c, msg, set, proof) != nil {
					b.Fatal("refused")
				}
			}
		})
		b.Run(fmt.Sprintf("culprits/%d", k), func(b *testing.B) {
			bad := append([]crypto.Share(nil), shares...)
			bad[k/2].Signature = bad[0].Signature
			for b.Loop() {
				if len(crypto.FindCulprits(s, c, msg, bad)) != 1 {
					b.Fatal("culprit not found")
				}
			}
		})
	}
}
