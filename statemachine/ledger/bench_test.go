package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// One iteration is a transfer between two of 10000 accounts, in blocks of 500 with a
// digest each 10 blocks; "signed" carries a detached signature.
func BenchmarkTransfer(b *testing.B) {
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprintf("signed=%t", signed), func(b *testing.B) {
			m := open(b, Config{Limits: DefaultLimits(), Cluster: thisCluster})
			const accounts = 10_000
			height, now := uint64(0), 1000*second
			apply := func(ops [][]byte) {
				height++
				now += second / 10
				in := statemachine.Block{Height: height, Time: now}
				for i, op := range ops {
					in.Ops = append(in.Ops, statemachine.Op{Client: alice.public(), Seq: height, Index: i, Data: op})
				}
				for _, r := range m.Apply(in) {
					if r.Code != statemachine.CodeOK {
						out, err := DecodeResult(r)
						require.NoError(b, err)
						b.Fatal(out.Err())
					}
				}
				if height%10 == 0 {
					m.Digest()
				}
			}
			name := func(i int) string { return fmt.Sprintf("a%05d", i) }
			setup := []Action{NewAccount("bank", 1, alice.public()), &DefineAsset{Asset: "EUR", Issuer: "bank"}}
			apply([][]byte{Do(setup...)})
			for i := 0; i < accounts; i += 20 {
				var all []Action
				for k := range 20 {
					all = append(all, NewAccount(name(i+k), 1, alice.public()), &Issue{"EUR", name(i + k), 1_000_000})
				}
				apply([][]byte{Do(all...)})
			}
			const block = 500
			blocks := make([][][]byte, (b.N+block-1)/block)
			for i := range blocks {
				for k := range min(block, b.N-i*block) {
					from := rand.IntN(accounts)
					tx := &Transaction{Actions: []Action{&Transfer{"EUR", name(from), name((from + 1 + rand.IntN(accounts-1)) % accounts), 1}}}
					if !signed {
						blocks[i] = append(blocks[i], Submit(tx))
						continue
					}
					tx.Expires, tx.Memo = now+1_000_000*second, fmt.Sprint(i, k)
					op := Submit(tx, tx.Sign(thisCluster, alice.signer))
					blocks[i] = append(blocks[i], op)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, ops := range blocks {
				apply(ops)
			}
		})
	}
}
