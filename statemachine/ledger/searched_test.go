package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// One client's searches in a block are bounded, whatever they are: payments that find no
// path, those along a path with offers, and questions for one. It takes nothing from others,
// nor from the next block, nor from what needs no search.
func TestSearchesOfABlockAreBounded(t *testing.T) {
	b := town(t, func(c *Config) { c.Limits.MaxPathEdges, c.Limits.MaxLines = 8, 20 })
	for i := range 10 {
		peer := fmt.Sprintf("peer%d", i)
		b.ok(carol, NewAccount(peer, 1, carol.public()), trust("carol", peer, 100, true))
	}
	b.ok(bank, &DefineAsset{Asset: "USD", Issuer: "bank"})
	for i := range 3 { // for fewer than are wanted
		b.ok(carol, &MakeOffer{"peer0", fmt.Sprint(i), Offer{Sell: "USD", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}, Credit: true}})
	}
	hopeless := found("alice", "carol", 1)
	offers := &Pay{From: "alice", To: "carol", Source: "EUR", Asset: "USD", Amount: 5, MaxCost: 5, Path: []Hop{{"peer0", "EUR"}, {"peer0", "USD"}}}
	for name, op := range map[string][]byte{"payments": Do(hopeless), "offers": Do(offers), "questions": PathQuery(hopeless, 0)} {
		t.Run(name, func(t *testing.T) {
			first, searches := 0, 300
			for range 2 { // the second block is as the first
				var ops [][]byte
				for range searches {
					ops = append(ops, op)
				}
				rs := b.block(alice, append(ops, Do(&Transfer{"EUR", "alice", "bob", 1}))...)
				had := 0
				for i, r := range rs[:searches] {
					if r.Code == CodeTooMany {
						out, err := DecodeResult(r)
						require.NoError(t, err)
						require.ErrorContains(t, out.Err(), "submit it again, in a later one")
						continue
					}
					require.Equal(t, had, i, "searches go on after one was refused")
					had++
				}
				require.Positive(t, had)
				require.Less(t, had, searches)
				require.LessOrEqual(t, blockSearches, had, "none looks at more than the limit of one")
				require.Equal(t, statemachine.CodeOK, rs[searches].Code)
				if first == 0 {
					first = had
				}
				require.Equal(t, first, had)
			}
		})
	}

	b.height++
	b.now += second
	in := statemachine.Block{Height: b.height, Time: b.now}
	for i := range 301 {
		client := alice
		if i == 300 {
			client = bob
		}
		in.Ops = append(in.Ops, statemachine.Op{Client: client.public(), Seq: 9000 + uint64(i), Data: PathQuery(hopeless, 0)})
	}
	rs := b.m.Apply(in)
	require.Equal(t, CodeTooMany, rs[299].Code)
	require.Equal(t, statemachine.CodeOK, rs[300].Code, "another client's")
}
