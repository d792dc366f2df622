package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/store"
)

// A bank has more customers than a search may look at: it need not look at them.
func TestManyCustomers(t *testing.T) {
	w := newWeb(t)
	w.open("bank", "branch")
	for i := range DefaultLimits().MaxPathEdges + 100 {
		customer := name("a%06d", i)
		w.way(1000, "bank", customer)
		w.do(eur("bank", customer, 500))
	}
	w.trusts("bank", "branch", 1000)
	w.way(1000, "branch", "bank")
	w.way(1000, "bank", "zoe")
	w.way(1000, "yves", "branch")
	w.way(1000, "bank", "yves")
	w.do(eur("bank", "yves", 500))
	hops, _ := w.find(found("yves", "zoe", 10))
	require.Equal(t, []string{"yves", "bank", "zoe"}, hops)
	hops, _ = w.find(found("yves", "zoe", 900)) // more than the bank owes: by the branch
	require.Equal(t, []string{"yves", "branch", "bank", "zoe"}, hops)
}

// Whoever the payee trusts is asked whether the payer can pay it, as many as it may trust.
func TestManyTrusted(t *testing.T) {
	w := newWeb(t)
	most := int(DefaultLimits().MaxLines)
	for i := range most {
		w.way(10, name("desk-%04d", i), "bob")
	}
	w.way(10, "alice", name("desk-%04d", most-1))
	hops, _ := w.find(found("alice", "bob", 10))
	require.Equal(t, []string{"alice", name("desk-%04d", most-1), "bob"}, hops)
}

// The notes of who can be paid follow the lines.
func TestPayerNotes(t *testing.T) {
	w := newWeb(t)
	w.open("ann", "ben")
	notes := func() (all []string) {
		for _, space := range []byte{spaceTrusts, spaceOwes} {
			for k := range w.x.t.Range([]byte{space}, store.PrefixEnd([]byte{space})) {
				names, _, _ := splitKey(k, 3)
				all = append(all, string(space)+names[0]+"<"+names[2])
			}
		}
		return all
	}
	require.Empty(t, notes())
	w.do(trust("ann", "ben", 10, false))
	require.Equal(t, []string{"oann<ben"}, notes())
	w.do(eur("ben", "ann", 4))
	require.Equal(t, []string{"oann<ben", "pben<ann"}, notes())
	w.do(eur("ben", "ann", 6))
	require.Equal(t, []string{"pben<ann"}, notes(), "ann trusts ben no further")
	w.do(trust("ann", "ben", 0, false))
	w.do(trust("ben", "ann", 3, false))
	require.Equal(t, []string{"oben<ann"}, notes())
	w.do(eur("ann", "ben", 10))
	w.do(trust("ben", "ann", 0, false))
	require.Empty(t, notes())
}

// In small random networks the search finds what trying everything finds: the fewest hops
// at no more than the most that it may cost, and the least cost among these; or the least
// that it would cost, or nothing.
func TestSearchFindsTheBest(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	accounts := []string{"a", "b", "c", "d", "e", "f"}
	assets := []string{"EUR", "USD"}
	outcomes := map[string]int{}
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 11))
		w := newWeb(t)
		w.x.l.cfg.Limits.MaxHops = 5
		w.open(accounts...)
		for range 15 + r.IntN(45) {
			i, j := r.IntN(len(accounts)), r.IntN(len(accounts)-1)
			if j >= i {
				j++
			}
			tr := &Trust{accounts[i], accounts[j], assets[r.IntN(2)], uint64(r.IntN(30)), r.IntN(4) > 0}
			if tr.run(w.x) != nil {
				continue
			}
			if r.IntN(3) == 0 { // the other one owes some of it
				_ = (&Pay{From: tr.Peer, To: tr.Account, Source: tr.Asset, Asset: tr.Asset, Amount: 1 + uint64(r.IntN(10)), MaxCost: 100}).run(w.x)
			}
		}
		for range r.IntN(6) {
			k := r.IntN(2)
			sell := 1 + uint64(r.IntN(3))
			w.do(&MakeOffer{accounts[r.IntN(len(accounts))], []string{"a", "b"}[r.IntN(2)], Offer{
				Sell: assets[k], Buy: assets[1-k], Amount: 1 + uint64(r.IntN(30)), Price: [2]uint64{sell + uint64(r.IntN(3)), sell}, Credit: true,
			}})
		}
		for range 20 {
			p := &Pay{
				From: accounts[r.IntN(len(accounts))], To: accounts[r.IntN(len(accounts))], Source: assets[r.IntN(2)], Asset: assets[r.IntN(2)],
				Amount: 1 + uint64(r.IntN(8)), MaxCost: 1 + uint64(r.IntN(20)), Find: true,
			}
			if p.From == p.To {
				continue
			}
			var hops int
			var cost, least uint64
			w.all(p, accounts, w.x.l.cfg.Limits.MaxHops, func(h int, c uint64) {
				if least == 0 || c < least {
					least = c
				}
				if c <= p.MaxCost && (hops == 0 || h < hops || h == hops && c < cost) {
					hops, cost = h, c
				}
			})
			got, paid := w.find(p)
			switch {
			case hops > 0:
				require.Equal(t, []uint64{uint64(hops), cost}, []uint64{uint64(len(got) - 1), paid}, "seed %d %+v: %v", seed, p, got)
				outcomes[fmt.Sprint(hops, p.Source == p.Asset)]++
			case least > 0:
				require.Equal(t, least, paid, "seed %d %+v", seed, p)
				outcomes["too dear"]++
			default:
				require.Nil(t, got, "seed %d %+v", seed, p)
				outcomes["none"]++
			}
		}
	}
	for _, seen := range []string{"1 true", "2 true", "3 true", "4 true", "3 false", "4 false", "5 false", "too dear", "none"} {
		require.Greater(t, outcomes[seen], 5, "%v", outcomes)
	}
}
