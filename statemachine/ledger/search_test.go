package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store"
)

// web is a network of trust lines, made without transactions, under the default limits.
type web struct {
	t     testing.TB
	x     *exec
	edges int // that the last search looked at
	nodes int // that it went on from
}

func newWeb(t testing.TB) *web {
	m := open(t, DefaultConfig(thisCluster))
	block := m.Store().Block()
	t.Cleanup(block.Discard)
	l := DefaultLimits()
	w := &web{t: t, x: &exec{l: &Handler{cfg: Config{Limits: l}}, t: block, now: second}}
	w.open("issuer")
	for _, asset := range []string{"EUR", "USD"} {
		w.do(&DefineAsset{Asset: asset, Issuer: "issuer"})
	}
	return w
}

func (w *web) do(a Action) {
	w.t.Helper()
	require.NoError(w.t, a.run(w.x))
}

func (w *web) open(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if !w.x.exists(AccountKey(name)) {
			w.do(&OpenAccount{Account: name, Keys: []crypto.PublicKey{mallory.public()}, Threshold: 1})
		}
	}
}

// trusts lets one account trust another, and let payments through.
func (w *web) trusts(account, peer string, limit uint64) {
	w.t.Helper()
	w.open(account, peer)
	w.do(trust(account, peer, limit, true))
}

// way makes a way for payments: each trusts the one before, and all let payments through.
func (w *web) way(limit uint64, names ...string) {
	w.t.Helper()
	for i := 1; i < len(names); i++ {
		w.trusts(names[i], names[i-1], limit)
		low := names[i-1] < names[i]
		l, _ := w.x.line(names[i-1], names[i], "EUR")
		limit := l.LimitLow
		if !low {
			limit = l.LimitHigh
		}
		w.do(trust(names[i-1], names[i], limit, true))
	}
}

func (w *web) find(p *Pay) (hops []string, cost uint64) {
	w.t.Helper()
	l := w.x.l.cfg.Limits
	nodes, edges := l.MaxPathNodes, l.MaxPathEdges
	s := search{
		r: w.x.t, now: w.x.now, limits: &l, nodes: &nodes, edges: &edges,
		from: Hop{p.From, p.Source}, to: Hop{p.To, p.Asset}, most: p.MaxCost,
	}
	found := s.find(p.Amount)
	require.GreaterOrEqual(w.t, min(nodes, edges), 0, "the limits hold")
	w.nodes, w.edges = l.MaxPathNodes-nodes, l.MaxPathEdges-edges
	if found == nil {
		return nil, 0
	}
	// What was found can be carried out.
	in := w.x.t.Begin()
	defer in.Discard()
	try := *w.x
	try.t = in
	require.NoError(w.t, try.carryOut(found))
	for _, st := range found.steps {
		hops = append(hops, st.Account)
	}
	return hops, found.steps[0].amount
}

func name(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// Strangers open lines towards everybody on a path, more than a search may look at. They
// cost it nothing at all: it does what it did without them.
func TestStrangersHideNoPath(t *testing.T) {
	w := newWeb(t)
	w.way(100, "alice", "bank", "bob")
	w.way(100, "alice", "first", "second", "third", "carol")
	type outcome struct {
		hops         []string
		nodes, edges int
	}
	search := func() (all []outcome) {
		for _, p := range []*Pay{found("alice", "bob", 10), found("alice", "carol", 10)} {
			hops, _ := w.find(p)
			all = append(all, outcome{hops, w.nodes, w.edges})
		}
		return all
	}
	before := search()
	require.Equal(t, []string{"alice", "bank", "bob"}, before[0].hops)
	require.Equal(t, []string{"alice", "first", "second", "third", "carol"}, before[1].hops)

	strangers := DefaultLimits().MaxPathEdges + 100
	for i := range strangers {
		// Names below and above those of everybody else.
		for _, stranger := range []string{name("a%06d", i), name("z%06d", i)} {
			w.open(stranger)
			for _, peer := range []string{"alice", "bank", "bob", "third", "carol"} {
				w.do(trust(stranger, peer, MaxAmount, true))
			}
		}
	}
	require.Equal(t, before, search())

	// Not even by what they pay back, to those who owe them nothing any more.
	w.do(trust("bob", "a000000", 5, false))
	w.do(eur("a000000", "bob", 5))
	w.do(trust("bob", "a000000", 0, false))
	require.Equal(t, before, search())
}

// One whom the payee trusts invents all that it may: accounts that it trusts and owes,
// with accounts below them, and below those. They take its share and no more.
func TestInventionsCrowdOutNobody(t *testing.T) {
	w := inventions(t)
	w.way(100, "alice", "north", "south", "west", "bank", "bob") // five hops
	hops, _ := w.find(found("alice", "bob", 10))
	require.Equal(t, []string{"alice", "north", "south", "west", "bank", "bob"}, hops)

	// A payment that there is no way for costs no more than the limits.
	hops, _ = w.find(found("alice", "bob", 1000))
	require.Nil(t, hops)
	require.LessOrEqual(t, w.nodes, DefaultLimits().MaxPathNodes)
	require.LessOrEqual(t, w.edges, DefaultLimits().MaxPathEdges)
}

// inventions are what three accounts whom bob trusts have below them.
func inventions(t testing.TB) *web {
	w := newWeb(t)
	most := int(DefaultLimits().MaxLines)
	for k := range 3 { // with names before and after a bank's
		spammer := []string{"a-spammer", "b-spammer", "z-spammer"}[k]
		w.way(MaxAmount, spammer, "bob")
		for i := range most {
			w.way(MaxAmount, name("%s-%04d", spammer, i), spammer)
			for j := range 3 {
				w.way(MaxAmount, name("%s-%04d-%d", spammer, i, j), name("%s-%04d", spammer, i))
			}
		}
		for i := range 2 * most { // whom it owes without trusting them
			creditor := name("%s-c%04d", spammer, i)
			w.way(MaxAmount, spammer, creditor)
			w.do(eur(spammer, creditor, 50))
		}
	}
	return w
}

// BenchmarkSearch is what a search costs that uses up what it may look at.
func BenchmarkSearch(b *testing.B) {
	w := inventions(b)
	w.open("alice")
	b.ReportAllocs()
	for b.Loop() {
		if hops, _ := w.find(found("alice", "bob", 10)); hops != nil {
			b.Fatal(hops)
		}
	}
	b.ReportMetric(float64(w.nodes), "nodes")
	b.ReportMetric(float64(w.edges), "edges")
}

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

// Somebody whom the payee trusts trusts an account on the only path, which lets nothing
// through to it, or buys what arrives there at a price that nobody would pay. Both reach
// that account, and neither hides it.
func TestPoisonedPoints(t *testing.T) {
	w := newWeb(t)
	w.way(100, "alice", "bank", "desk", "bob")
	w.way(MaxAmount, "a-spoiler", "bob")
	w.trusts("a-spoiler", "bank", MaxAmount) // the bank knows nothing of it
	w.trusts("a-spoiler", "desk", MaxAmount)
	for _, n := range []string{"bank", "desk"} { // they sell something, but not here
		w.do(&MakeOffer{n, "x", Offer{Sell: "USD", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}, Credit: true}})
	}
	hops, _ := w.find(found("alice", "bob", 10))
	require.Equal(t, []string{"alice", "bank", "desk", "bob"}, hops)

	// Conversion: the honest maker is a hop further away than the usurer.
	usd := func(account, peer string) *Trust { return &Trust{account, peer, "USD", MaxAmount, true} }
	for _, n := range []string{"usurer", "maker"} {
		w.open(n)
		price := uint64(1)
		if n == "usurer" {
			price = 1000
		}
		w.do(&MakeOffer{n, "o", Offer{Sell: "USD", Buy: "EUR", Amount: 1000, Price: [2]uint64{price, 1}, Credit: true}})
		w.do(trust(n, "bank", MaxAmount, false))
		w.do(trust("bank", n, 0, true))
	}
	w.open("middle")
	w.do(usd("bob", "usurer"))
	w.do(usd("bob", "middle"))
	w.do(usd("middle", "maker"))
	w.do(&Trust{"middle", "bob", "USD", 0, true})
	pay := &Pay{From: "alice", To: "bob", Source: "EUR", Asset: "USD", Amount: 1, MaxCost: 5, Find: true}
	w.do(trust("bank", "alice", 100, true))
	hops, cost := w.find(pay)
	require.Equal(t, []string{"alice", "bank", "maker", "maker", "middle", "bob"}, hops)
	require.EqualValues(t, 1, cost)

	// With enough credit for the usurer, its way is the shorter one, and too dear; where the
	// payer would pay it, it is taken.
	w.do(trust("bank", "alice", MaxAmount, true))
	_, cost = w.find(pay)
	require.EqualValues(t, 1, cost)
	pay.MaxCost = 5000
	_, cost = w.find(pay)
	require.EqualValues(t, 1000, cost)
	pay.MaxCost = 0
	_, cost = w.find(pay)
	require.EqualValues(t, 1, cost, "the least that would have to be paid")
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

// all calls yield with every way of a payment there is within so many hops, each account
// once in each asset, that can be carried out.
func (w *web) all(p *Pay, accounts []string, hops int, yield func(hops int, cost uint64)) {
	steps := []step{{Hop: Hop{p.To, p.Asset}, amount: p.Amount}} // from the end
	var on func()
	visit := func(s step) {
		for _, o := range steps {
			if o.Hop == s.Hop {
				return
			}
		}
		steps = append(steps, s)
		on()
		steps = steps[:len(steps)-1]
	}
	on = func() {
		at := steps[len(steps)-1]
		if at.Hop == (Hop{p.From, p.Source}) {
			way := new(plan)
			for i := len(steps) - 1; i >= 0; i-- {
				way.steps = append(way.steps, steps[i])
			}
			in := w.x.t.Begin()
			try := *w.x
			try.t = in
			if try.carryOut(way) == nil {
				yield(len(steps)-1, at.amount)
			}
			in.Discard()
			return
		}
		if len(steps) > hops {
			return
		}
		for _, peer := range accounts {
			if l, ok := w.x.line(at.Account, peer, at.Asset); ok && peer != at.Account && l.room(at.Account < peer) >= at.amount {
				visit(step{Hop: Hop{peer, at.Asset}, amount: at.amount})
			}
		}
		if len(steps) == 1 || at.offer != "" || at.Account == p.From || at.Account == p.To {
			return
		}
		for _, ref := range []string{"a", "b"} {
			if o, err := w.x.offer(at.Account, ref); err == nil && o.Sell == at.Asset && o.Amount >= at.amount {
				if cost, ok := o.Cost(at.amount); ok {
					visit(step{Hop: Hop{at.Account, o.Buy}, amount: cost, offer: ref})
				}
			}
		}
	}
	on()
}

// In small random networks the search finds what trying everything finds: the fewest hops
// at no more than the most that it may cost, and the least cost among these; or the least
// that it would cost, or nothing.
func TestSearchFindsTheBest(t *testing.T) {
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
