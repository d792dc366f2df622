package ed25519_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/internal/schemetest"
)

func requests(n, clients int) []crypto.Item {
	c := crypto.Context{Kind: crypto.KindRequest}
	items := make([]crypto.Item, n)
	for i := range items {
		k := key(uint64(i % clients))
		msg := make([]byte, 256)
		msg[0], msg[1] = byte(i), byte(i>>8)
		sig, _ := crypto.SignatureOf(ed25519.NewSigner(k).Sign(c, msg))
		items[i] = crypto.Item{Key: k.Public(), Context: c, Message: msg, Signature: sig}
	}
	return items
}

func BenchmarkSign(b *testing.B) {
	s, c, msg := ed25519.NewSigner(key(1)), schemetest.Base(), make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		s.Sign(c, msg)
	}
}

func BenchmarkVerify(b *testing.B) {
	v, it := ed25519.NewVerifier(10), requests(1, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		if !v.Verify(it.Key, it.Context, it.Message, it.Signature) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkVerifyBatch(b *testing.B) {
	for _, n := range []int{16, 64, 256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v, items := ed25519.NewVerifier(10_000), requests(n, n)
			dst := v.AppendVerify(nil, items)
			b.ReportAllocs()
			for b.Loop() {
				dst = v.AppendVerify(dst[:0], items)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "us/signature")
		})
	}
}

func BenchmarkVerifyAggregate(b *testing.B) {
	for _, k := range []int{3, 22, 67} {
		b.Run(fmt.Sprint(k), func(b *testing.B) {
			s, signers := members(b, k)
			c, msg := schemetest.Base(), make([]byte, 100)
			proof, err := s.Aggregate(schemetest.Shares(signers, c, msg))
			require.NoError(b, err)
			set := crypto.NewBitmap(k)
			for i := range k {
				set.Set(crypto.ReplicaID(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				if s.VerifyAggregate(c, msg, set, proof) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}
