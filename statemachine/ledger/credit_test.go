package ledger

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

func trust(account, peer string, limit uint64, ripple bool) *Trust {
	return &Trust{account, peer, "EUR", limit, ripple}
}

func eur(from, to string, n uint64, path ...string) *Pay {
	p := &Pay{From: from, To: to, Source: "EUR", Asset: "EUR", Amount: n, MaxCost: n}
	for _, a := range path {
		p.Path = append(p.Path, Hop{a, "EUR"})
	}
	return p
}

// found is eur with the path to be found.
func found(from, to string, n uint64) *Pay {
	p := eur(from, to, n)
	p.Find = true
	return p
}

func (b *books) owed(want map[string]int64) {
	b.t.Helper()
	sum := int64(0)
	for account, credit := range want {
		require.Equal(b.t, credit, b.holding(account, "EUR").Credit, account)
		sum += credit
	}
	require.Zero(b.t, sum)
}

func (b *books) lineOf(x, y string) (l Line) {
	v, ok := b.view().Get(LineKey(x, y, "EUR"))
	require.True(b.t, ok)
	mustDecode(v, &l)
	return l
}

func TestTrustLines(t *testing.T) {
	b := town(t)
	b.no(ErrUnauthorized, bob, trust("alice", "bob", 100, false))
	b.no(ErrUnknownAccount, alice, trust("alice", "nobody", 100, false))
	b.no(ErrUnknownAsset, alice, &Trust{"alice", "bob", "USD", 1, false})
	b.no(ErrInvalid, alice, trust("alice", "alice", 100, false))
	b.no(ErrInvalid, alice, trust("alice", "bob", 0, true))
	b.ok(alice, trust("alice", "bob", 0, false)) // nothing to say
	_, ok := b.view().Get(LineKey("alice", "bob", "EUR"))
	require.False(t, ok)

	// Bob owes alice, who lets him, and not the other way.
	b.no(ErrCredit, bob, eur("bob", "alice", 1))
	b.ok(alice, trust("alice", "bob", 100, false))
	b.no(ErrUnauthorized, alice, eur("bob", "alice", 1))
	b.no(ErrCredit, alice, eur("alice", "bob", 1))
	r := b.no(ErrCredit, bob, eur("bob", "alice", 101))
	require.Equal(t, &Rejection{Code: CodeCredit, Subject: "bob to alice", Asset: "EUR", Have: 100, Want: 101}, r)
	b.ok(bob, eur("bob", "alice", 60))
	b.owed(map[string]int64{"alice": 60, "bob": -60})
	b.no(ErrCredit, bob, eur("bob", "alice", 41))
	b.no(ErrCost, bob, &Pay{From: "bob", To: "alice", Source: "EUR", Asset: "EUR", Amount: 2, MaxCost: 1})
	b.no(ErrInvalid, bob, eur("bob", "alice", 0))
	b.no(ErrInvalid, bob, eur("bob", "bob", 1))

	// Paying back goes as far as what is owed, and beyond as far as bob trusts alice.
	b.no(ErrCredit, alice, eur("alice", "bob", 61))
	b.ok(bob, trust("bob", "alice", 5, false))
	b.ok(alice, eur("alice", "bob", 65))
	b.owed(map[string]int64{"alice": -5, "bob": 5})
	require.Equal(t, Line{Balance: -5, LimitLow: 100, LimitHigh: 5}, b.lineOf("bob", "alice"))

	// A limit below what is owed stands: nothing more, and less at any time.
	b.ok(bob, trust("bob", "alice", 0, false))
	b.no(ErrCredit, alice, eur("alice", "bob", 1))
	b.ok(alice, trust("alice", "bob", 0, false))
	b.ok(bob, eur("bob", "alice", 5))
	_, ok = b.view().Get(LineKey("alice", "bob", "EUR"))
	require.False(t, ok, "a line that says nothing is gone")
	require.Zero(t, b.account("alice").Lines)

	// Redeemed against the asset, at once.
	b.ok(alice, trust("alice", "bank", 500, false))
	b.ok(bank, eur("bank", "alice", 300), &Issue{"EUR", "bank", 300})
	tx := &Transaction{Expires: b.now + 100*second, Actions: []Action{eur("alice", "bank", 300), &Transfer{"EUR", "bank", "alice", 300}}}
	require.NoError(t, b.do(alice, Submit(tx, tx.Sign(thisCluster, bank.signer))).Err())
	b.has("alice", "EUR", 1300, 0)
	b.owed(map[string]int64{"alice": 0, "bank": 0})
}

func TestLinesAreBounded(t *testing.T) {
	b := town(t)
	for i := range 5 {
		b.ok(mallory, NewAccount(fmt.Sprint("m", i), 1, mallory.public()))
		if i < 4 {
			b.ok(alice, trust("alice", fmt.Sprint("m", i), 1, false))
		}
		b.ok(mallory, trust(fmt.Sprint("m", i), "alice", 1, false)) // costs alice nothing
	}
	b.no(ErrTooMany, alice, trust("alice", "m4", 1, false))
	b.ok(alice, trust("alice", "m0", 0, false))
	b.ok(alice, trust("alice", "m4", 1, false))
}

func TestExtremeLines(t *testing.T) {
	b := town(t)
	const most = math.MaxInt64
	b.ok(alice, trust("alice", "bob", most, true))
	b.ok(bob, trust("bob", "alice", most, true))
	b.ok(carol, trust("carol", "alice", most, true))
	b.ok(bob, eur("bob", "alice", most))
	b.no(ErrCredit, bob, eur("bob", "alice", 1))
	b.owed(map[string]int64{"alice": most, "bob": -most})
	b.ok(alice, eur("alice", "bob", most), eur("alice", "bob", most))
	b.owed(map[string]int64{"alice": -most, "bob": most})
	b.no(ErrOverflow, alice, eur("alice", "carol", 1))
}

// Payments through others, who have agreed.
func TestRippling(t *testing.T) {
	b := town(t)
	// alice -> bank -> bob: the bank trusts alice, bob trusts the bank.
	b.ok(bank, trust("bank", "alice", 100, false))
	b.ok(bob, trust("bob", "bank", 100, false))
	b.no(ErrCredit, alice, eur("alice", "bob", 10, "bank"))
	b.ok(bank, trust("bank", "alice", 100, true))
	b.no(ErrCredit, alice, eur("alice", "bob", 10, "bank"))
	b.no(ErrNoPath, alice, found("alice", "bob", 10))
	b.no(ErrInvalid, bank, trust("bank", "bob", 0, true), trust("bank", "dave", 0, true)) // the second has no line
	b.ok(bank, trust("bank", "bob", 0, true))
	b.ok(alice, eur("alice", "bob", 10, "bank"))
	b.owed(map[string]int64{"alice": -10, "bank": 0, "bob": 10})
	l := b.lineOf("alice", "bank")
	require.EqualValues(t, 10, l.room(true)) // what alice may take back
	s, err := DecodeStatement(b.query(StatementQuery(StatementPage{Account: "bank", Asset: "EUR"})))
	require.NoError(t, err)
	require.Len(t, s.Entries, 2)
	require.Equal(t, []int64{10, -10}, []int64{s.Entries[0].Credit, s.Entries[1].Credit})

	b.ok(alice, found("alice", "bob", 20))
	b.owed(map[string]int64{"alice": -30, "bank": 0, "bob": 30})
	b.no(ErrNoPath, alice, found("alice", "bob", 71))
	b.no(ErrCredit, alice, eur("alice", "bob", 71, "bank"))
	b.no(ErrUnknownAccount, alice, eur("alice", "bob", 1, "nobody"))
	b.no(ErrInvalid, alice, eur("alice", "bob", 1, "bank", "bank"))
	both := found("alice", "bob", 1)
	both.Path = []Hop{{"bank", "EUR"}}
	b.no(ErrInvalid, alice, both)

	// All or nothing: the second of two legs has no room.
	b.no(ErrCredit, alice, eur("alice", "bob", 50, "bank"), eur("alice", "bob", 21, "bank"))
	b.owed(map[string]int64{"alice": -30, "bank": 0, "bob": 30})

	// The other way, with what is owed.
	b.ok(bob, found("bob", "alice", 30))
	b.owed(map[string]int64{"alice": 0, "bank": 0, "bob": 0})
}

// The search finds the way with the fewest hops, in a network where there are longer ones.
func TestSearch(t *testing.T) {
	b := town(t)
	// a long way: alice -> c1 -> c2 -> c3 -> bob, a short one with less room: alice -> d1 -> bob.
	ways := [][]string{{"alice", "c1", "c2", "c3", "bob"}, {"alice", "d1", "bob"}}
	for k, limit := range []uint64{100, 40} {
		for i := 1; i < len(ways[k]); i++ {
			from, to := ways[k][i-1], ways[k][i]
			owner := mallory
			if to == "bob" {
				owner = bob
			} else {
				b.ok(mallory, NewAccount(to, 1, mallory.public()))
			}
			b.ok(owner, trust(to, from, limit, true))
			if from != "alice" {
				b.ok(mallory, trust(from, to, 0, true))
			}
		}
	}
	path := func(n uint64) Path {
		p, err := DecodePath(b.query(PathQuery(found("alice", "bob", n), 0)))
		require.NoError(t, err)
		return p
	}
	require.Equal(t, Path{true, 40, []Hop{{"d1", "EUR"}}}, path(40))
	require.Equal(t, Path{true, 41, []Hop{{"c1", "EUR"}, {"c2", "EUR"}, {"c3", "EUR"}}}, path(41))
	require.Equal(t, Path{}, path(101))
	b.ok(alice, found("alice", "bob", 30))
	require.Equal(t, 3, len(path(11).Hops))
	b.ok(alice, found("alice", "bob", 90))
	b.owed(map[string]int64{"alice": -120, "bob": 120, "c1": 0, "c2": 0, "d1": 0})

	// Within limits: hops, accounts visited, lines looked at.
	for _, edit := range []func(*Limits){
		func(l *Limits) { l.MaxHops = 3 }, func(l *Limits) { l.MaxPathNodes = 2 }, func(l *Limits) { l.MaxPathEdges = 3 },
	} {
		l := smallLimits()
		edit(&l)
		nodes, edges := l.MaxPathNodes, l.MaxPathEdges
		s := search{r: b.view(), limits: &l, nodes: &nodes, edges: &edges, from: Hop{"alice", "EUR"}, to: Hop{"bob", "EUR"}, most: 100}
		require.Nil(t, s.find(11), "%+v", l)
	}
}

// A market maker changes what passes through it, at its price.
func TestConversion(t *testing.T) {
	b := town(t)
	b.ok(mallory, NewAccount("maker", 1, dave.public()))
	b.ok(bank, &DefineAsset{Asset: "USD", Issuer: "bank"})
	usd := func(account, peer string, limit uint64, ripple bool) *Trust {
		return &Trust{account, peer, "USD", limit, ripple}
	}
	// alice is owed EUR by the bank; the maker trusts the bank; carol owes USD to the maker, bob trusts carol.
	b.ok(alice, trust("alice", "bank", 1000, false))
	b.ok(bank, eur("bank", "alice", 500), trust("bank", "alice", 0, true))
	b.ok(dave, trust("maker", "bank", 1000, false), usd("maker", "carol", 1000, false))
	b.ok(bank, trust("bank", "maker", 0, true))
	b.ok(carol, &Pay{From: "carol", To: "maker", Source: "USD", Asset: "USD", Amount: 300, MaxCost: 300}, usd("carol", "maker", 0, true))
	b.ok(bob, usd("bob", "carol", 1000, false))
	b.ok(carol, usd("carol", "bob", 0, true))
	offer := func(ref string, amount, buy, sell uint64) *MakeOffer {
		return &MakeOffer{"maker", ref, Offer{Sell: "USD", Buy: "EUR", Amount: amount, Price: [2]uint64{buy, sell}, Credit: true}}
	}
	pay := func(n, most uint64) *Pay {
		return &Pay{From: "alice", To: "bob", Source: "EUR", Asset: "USD", Amount: n, MaxCost: most, Find: true}
	}
	b.no(ErrNoPath, alice, pay(10, 100))
	b.no(ErrUnauthorized, alice, offer("x", 1, 1, 1))
	b.no(ErrInvalid, dave, offer("x", 0, 1, 1))
	b.no(ErrInvalid, dave, offer("x", 1, 0, 1))
	b.no(ErrInvalid, dave, &MakeOffer{"maker", "x", Offer{Sell: "USD", Buy: "USD", Amount: 1, Price: [2]uint64{1, 1}}})
	b.ok(dave, offer("dear", 100, 10, 9), offer("fair", 100, 19, 20), offer("few", 5, 1, 2))
	b.no(ErrInvalid, alice, &TakeOffer{"maker", "fair", "alice", 1, 1})
	b.no(ErrUnauthorized, alice, &CancelOffer{"maker", "fair"})
	b.no(ErrUnknownOffer, dave, &CancelOffer{"maker", "none"})

	// 0.95 EUR each, rounded up: 10 USD cost 9.5, so 10 units.
	r := b.no(ErrCost, alice, pay(10, 9))
	require.Equal(t, []uint64{9, 10}, []uint64{r.Have, r.Want})
	res := b.ok(alice, pay(10, 10))
	require.EqualValues(t, 10, res.Cost)
	b.owed(map[string]int64{"alice": 490, "bank": -500, "maker": 10})
	require.EqualValues(t, 10, b.holding("bob", "USD").Credit)
	require.EqualValues(t, 290, b.holding("maker", "USD").Credit)
	v, _ := b.view().Get(OfferKey("maker", "fair"))
	o, err := DecodeOffer(v)
	require.NoError(t, err)
	require.EqualValues(t, 90, o.Amount)

	// More than the fair one has left, along a path that is given; then nobody has so much.
	given := pay(95, 200)
	given.Find, given.Path = false, []Hop{{"bank", "EUR"}, {"maker", "EUR"}, {"maker", "USD"}, {"carol", "USD"}}
	require.EqualValues(t, 106, b.ok(alice, given).Cost)
	b.no(ErrUnknownOffer, alice, given)
	given.Path = []Hop{{"alice", "USD"}, {"carol", "USD"}}
	b.no(ErrInvalid, alice, given)
	given.Path = []Hop{{"carol", "USD"}}
	b.no(ErrInvalid, alice, given)
	b.no(ErrNoPath, alice, pay(95, 200))
	require.EqualValues(t, 3, b.ok(alice, pay(5, 100)).Cost) // the few, of which none are left
	_, ok := b.view().Get(OfferKey("maker", "few"))
	require.False(t, ok)
	require.EqualValues(t, 2, b.account("maker").Offers)
}

func TestOffersOfBalances(t *testing.T) {
	b := town(t)
	b.ok(bob, &MakeOffer{"bob", "bonds", Offer{Sell: "BOND", Buy: "EUR", Amount: 8, Price: [2]uint64{101, 1}, Expires: b.now + 1000*second}})
	take := func(n, most uint64) *TakeOffer { return &TakeOffer{"bob", "bonds", "alice", n, most} }
	b.no(ErrUnauthorized, bob, take(1, 101))
	b.no(ErrCost, alice, take(1, 100))
	b.no(ErrInvalid, alice, take(0, 100))
	b.no(ErrInsufficient, alice, take(9, 1000))
	b.no(ErrUnknownOffer, alice, &TakeOffer{"bob", "none", "alice", 1, 1})
	require.EqualValues(t, 303, b.ok(alice, take(3, 400)).Cost)
	b.has("alice", "BOND", 3, 0)
	b.has("bob", "EUR", 303, 0)
	b.ok(bob, &Transfer{"BOND", "bob", "carol", 7}) // it promised more than it has now
	b.no(ErrInsufficient, alice, take(1, 400))
	b.ok(carol, &Transfer{"BOND", "carol", "bob", 7})

	// Replacing starts anew, and its end is the new one.
	b.ok(bob, &MakeOffer{"bob", "bonds", Offer{Sell: "BOND", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}, Expires: b.now + 2000*second}})
	require.EqualValues(t, 1, b.account("bob").Offers)
	b.now += 1500 * second
	b.ok(alice, take(1, 1))
	b.no(ErrUnknownOffer, alice, take(1, 1))
	require.Zero(t, b.account("bob").Offers)
	b.no(ErrTooFar, bob, &MakeOffer{"bob", "x", Offer{Sell: "BOND", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}, Expires: math.MaxUint64}})
	for i := range 4 {
		b.ok(bob, &MakeOffer{"bob", fmt.Sprint(i), Offer{Sell: "BOND", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}, Expires: b.now + 100*second}})
	}
	b.no(ErrTooMany, bob, &MakeOffer{"bob", "x", Offer{Sell: "BOND", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}}})
	b.now += 200 * second
	b.no(ErrUnknownOffer, alice, &TakeOffer{"bob", "0", "alice", 1, 1})
	require.Zero(t, b.account("bob").Offers)
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]uint64{"12.50": 1250, "12.5": 1250, "12": 1200, "0.01": 1, "0": 0, "007.00": 700, "92233720368547758.07": math.MaxInt64} {
		n, err := ParseAmount(text, 2)
		require.NoError(t, err, text)
		require.Equal(t, want, n)
	}
	for _, text := range []string{"", ".", "1.", ".5", "1.234", "-1", "+1", "1e3", "1,5", " 1", "92233720368547758.08", "99999999999999999999"} {
		_, err := ParseAmount(text, 2)
		require.ErrorIs(t, err, ErrAmount, text)
	}
	require.Equal(t, "12.05", FormatAmount(1205, 2))
	require.Equal(t, "0.05", FormatAmount(5, 2))
	require.Equal(t, "5", FormatAmount(5, 0))
	require.Equal(t, "-0.05", FormatSigned(-5, 2))
	require.Equal(t, "9223372036854775808", FormatAmount(magnitude(math.MinInt64), 0))

	for _, c := range []struct {
		n, buy, sell, want uint64
		ok                 bool
	}{
		{10, 19, 20, 10, true}, {20, 19, 20, 19, true}, {1, 1, math.MaxInt64, 1, true}, {math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, true},
		{math.MaxInt64, 2, 1, 0, false}, {math.MaxInt64, math.MaxInt64, 1, 0, false}, {1, 1, 0, 0, false}, {0, 1, 1, 0, false},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64 - 1, 0, false},
	} {
		cost, ok := price(c.n, c.buy, c.sell)
		require.Equal(t, c.ok, ok, c)
		require.Equal(t, c.want, cost, c)
	}
	for _, c := range [][3]int64{{1, 2, 3}, {math.MaxInt64, -1, math.MaxInt64 - 1}, {-math.MaxInt64, 1, -math.MaxInt64 + 1}} {
		sum, ok := addSigned(c[0], c[1])
		require.True(t, ok)
		require.Equal(t, c[2], sum)
	}
	for _, c := range [][2]int64{{math.MaxInt64, 1}, {-math.MaxInt64, -1}, {math.MinInt64, 0}, {-math.MaxInt64, -math.MaxInt64}} {
		_, ok := addSigned(c[0], c[1])
		require.False(t, ok, c)
	}
}

func TestGenesis(t *testing.T) {
	g := &Genesis{
		Accounts: []GenesisAccount{{Name: "bank", Keys: []crypto.PublicKey{bank.public()}}, {Name: "alice", Keys: []crypto.PublicKey{alice.public(), bob.public()}, Threshold: 2}},
		Assets: []GenesisAsset{{
			Name: "EUR", Issuer: "bank", Decimals: 2, Rules: []string{"freezable", "admission"}, MaxSupply: "100.00",
			Balances: []GenesisBalance{{"alice", "12.50"}, {"bank", "1"}},
		}},
	}
	b := newBooks(t, func(c *Config) { c.Genesis = g })
	b.has("alice", "EUR", 1250, 0)
	b.has("bank", "EUR", 100, 0)
	b.no(ErrUnauthorized, alice, &Transfer{"EUR", "alice", "bank", 1})
	require.NoError(t, g.Check(DefaultLimits()))
	require.NoError(t, (*Genesis)(nil).Check(DefaultLimits()))

	for want, edit := range map[string]func(*Genesis){
		"assets[0].balances[0]: amount \"12.505\"":  func(g *Genesis) { g.Assets[0].Balances[0].Amount = "12.505" },
		"supply is exhausted":                       func(g *Genesis) { g.Assets[0].Balances[0].Amount = "100.50" },
		"unknown account: nobody":                   func(g *Genesis) { g.Assets[0].Balances[0].Account = "nobody" },
		`the rule "melts": give some of [freezable`: func(g *Genesis) { g.Assets[0].Rules = []string{"melts"} },
		"unknown account: x":                        func(g *Genesis) { g.Assets[0].Issuer = "x" },
		"threshold of 3 and 2 keys":                 func(g *Genesis) { g.Accounts[1].Threshold = 3 },
		"alice has a key twice":                     func(g *Genesis) { g.Accounts[1].Keys[1] = alice.public() },
		`account name "Alice"`:                      func(g *Genesis) { g.Accounts[1].Name = "Alice" },
		"the name is taken: bank":                   func(g *Genesis) { g.Accounts[1].Name = "bank" },
		"registrars: a key is there twice":          func(g *Genesis) { g.Registrars = []crypto.PublicKey{alice.public(), alice.public()} },
	} {
		bad := Genesis{Accounts: append([]GenesisAccount(nil), g.Accounts...), Assets: append([]GenesisAsset(nil), g.Assets...)}
		bad.Accounts[1].Keys = append([]crypto.PublicKey(nil), g.Accounts[1].Keys...)
		bad.Assets[0].Balances = append([]GenesisBalance(nil), g.Assets[0].Balances...)
		edit(&bad)
		require.ErrorIs(t, bad.Check(DefaultLimits()), ErrGenesis, want)
		require.ErrorContains(t, bad.Check(DefaultLimits()), want)
	}
}

// Sentinels and codes belong together, and detail survives.
func TestResults(t *testing.T) {
	require.Len(t, codeErrors, int(codeEnd-CodeInvalid))
	for c := CodeInvalid; c < codeEnd; c++ {
		in := &Rejection{Code: c, Action: 3, Subject: "s", Asset: "A", Have: 1, Want: 2}
		r, err := DecodeResult(in.result())
		require.NoError(t, err)
		require.Equal(t, in, r.Rejection)
		require.ErrorIs(t, r.Err(), codeErrors[c-CodeInvalid])
	}
	r, err := DecodeResult(statemachine.Reject(statemachine.CodeMalformed, nil))
	require.NoError(t, err)
	require.ErrorIs(t, r.Err(), ErrRejected)
	_, err = DecodeResult(statemachine.Reject(CodeInvalid, []byte("x")))
	require.Error(t, err)
	_, err = DecodeResult(statemachine.OK(nil))
	require.Error(t, err)
}

// A path that is asked for through the log is one at block time: an offer that has expired
// is on it for nobody, whatever time the client says it is.
func TestPathAtBlockTime(t *testing.T) {
	b := town(t)
	b.ok(bank, &DefineAsset{Asset: "USD", Issuer: "bank"})
	b.ok(carol, trust("carol", "alice", 100, true),
		&MakeOffer{"carol", "o", Offer{Sell: "USD", Buy: "EUR", Amount: 100, Price: [2]uint64{1, 1}, Credit: true, Expires: b.now + 1000*second}})
	b.ok(bob, &Trust{"bob", "carol", "USD", 100, false})
	pay := &Pay{From: "alice", To: "bob", Source: "EUR", Asset: "USD", Amount: 10, Find: true}
	given := &Pay{From: "alice", To: "bob", Source: "EUR", Asset: "USD", Amount: 10, Path: []Hop{{"carol", "EUR"}, {"carol", "USD"}}}
	ask := func(p *Pay, now statemachine.Time) bool {
		r := b.block(alice, PathQuery(p, now))[0]
		require.Equal(t, statemachine.CodeOK, r.Code)
		path, err := DecodePath(r.Data)
		require.NoError(t, err)
		return path.Found
	}
	early := b.now
	for _, p := range []*Pay{pay, given} {
		require.True(t, ask(p, early))
		require.True(t, ask(p, early+100_000*second), "the client's clock is wrong")
	}
	// The offer expires together with three holds, which are cleared away before it: so it
	// is still there in the block that is too late for it.
	for i := range 3 {
		b.ok(alice, &PlaceHold{From: "alice", Reference: fmt.Sprint(i), Asset: "EUR", To: "bob", Amount: 1, Expires: early + 500*second})
	}
	b.now = early + 2000*second
	require.False(t, ask(pay, early))
	_, there := b.view().Get(OfferKey("carol", "o"))
	require.True(t, there)
}

func TestQueries(t *testing.T) {
	b := town(t)
	page := func(p Page) ([]KeyValue, bool) {
		all, more, err := DecodeRange(b.query(RangeQuery(p)))
		require.NoError(t, err)
		return all, more
	}
	p := AccountsPage()
	p.Limit = 3
	all, more := page(p)
	require.True(t, more)
	require.Len(t, all, 3)
	require.Equal(t, []string{"bob"}, NamesOf(all[2].Key))
	p.After = all[2].Key
	all, more = page(p)
	require.False(t, more)
	require.Len(t, all, 2)
	require.Equal(t, []string{"dave"}, NamesOf(all[1].Key))
	all, _ = page(HoldingsPage("alice"))
	require.Len(t, all, 1)
	require.Equal(t, []string{"alice", "EUR"}, NamesOf(all[0].Key))
	p = HoldingsPage("alice")
	p.After = AccountKey("zed")
	all, _ = page(p)
	require.Len(t, all, 1) // a key before the prefix is as good as none
	p.After = HoldKey("zed", "a")
	all, _ = page(p)
	require.Empty(t, all)

	_, found, err := DecodeValue(b.query(GetQuery(AccountKey("zed"))))
	require.NoError(t, err)
	require.False(t, found)

	// At a height, and what is malformed.
	h, err := DecodeHeight(b.query(HeightQuery()))
	require.NoError(t, err)
	require.Equal(t, b.height, h)
	b.ok(alice, &Transfer{"EUR", "alice", "bob", 1})
	old, _, err := DecodeRange(b.query(RangeAtQuery(h, HoldingsPage("alice"))))
	require.NoError(t, err)
	was, err := DecodeHolding(old[0].Value)
	require.NoError(t, err)
	require.EqualValues(t, 1000, was.Balance)
	for _, q := range [][]byte{nil, {queryGet}, {99}, {opSubmit}, append(GetQuery([]byte("x")), 1), RangeAtQuery(h+99, AccountsPage()), GetQuery(nil)} {
		_, err := b.m.Query(t.Context(), q)
		require.Error(t, err, "%q", q)
	}
	for _, q := range [][]byte{HeightQuery(), RangeAtQuery(h, AccountsPage()), {99}} {
		require.Equal(t, statemachine.CodeUnsupported, b.block(alice, q)[0].Code)
	}
	require.Equal(t, statemachine.CodeMalformed, b.block(alice, GetQuery(nil))[0].Code)
	require.Equal(t, statemachine.CodeOK, b.block(alice, GetQuery(AccountKey("alice")))[0].Code)
}

// The audit finds each kind of wrong book.
func TestAuditFinds(t *testing.T) {
	make := func() *books {
		b := town(t)
		b.ok(alice, trust("alice", "bob", 100, false), &PlaceHold{From: "alice", Reference: "h", Asset: "EUR", To: "bob", Amount: 5, Expires: b.now + 10000*second})
		b.ok(bob, eur("bob", "alice", 60), &MakeOffer{"bob", "o", Offer{Sell: "BOND", Buy: "EUR", Amount: 8, Price: [2]uint64{101, 1}}})
		return b
	}
	holding := func(edit func(*Holding)) func(x *exec) {
		return func(x *exec) {
			h := x.holding("alice", "EUR")
			edit(&h)
			x.setHolding("alice", "EUR", &h)
		}
	}
	for want, spoil := range map[string]func(x *exec){
		"accounts have 1000 units of EUR": func(x *exec) {
			a, _ := x.asset("EUR")
			a.Issued = a.Issued.plus(1)
			x.setAsset("EUR", &a)
		},
		"ends at line 3 with 995, 5 held, 60 owed; it has 996, 5, 60": holding(func(h *Holding) { h.Balance++ }),
		"6 units of EUR held, and holds of 5":                         holding(func(h *Holding) { h.Held++; h.Balance-- }),
		"is owed 61 units of EUR, and its lines come":                 holding(func(h *Holding) { h.Credit++ }),
		"counts [0 0 1] holds": func(x *exec) {
			a, _ := x.account("alice")
			a.Holds--
			x.setAccount("alice", &a)
		},
		"counts [0 2 0] holds": func(x *exec) {
			a, _ := x.account("bob")
			a.Offers++
			x.setAccount("bob", &a)
		},
		"bob is owed -60 units of EUR, and its lines": func(x *exec) {
			x.t.Delete(LineKey("alice", "bob", "EUR"))
			holding(func(h *Holding) { h.Credit = 0 })(x)
			e := x.holding("alice", "EUR").Entries
			var last Entry
			x.load(EntryKey("alice", "EUR", e-1), &last)
			last.Credit, last.CreditThen = 0, 0
			x.t.Set(EntryKey("alice", "EUR", e-1), encode(&last))
		},
		"does not decode":                         func(x *exec) { x.t.Set(AssetKey("EUR"), []byte("x")) },
		"a key that is none":                      func(x *exec) { x.t.Set([]byte("cx"), nil) },
		"the statement of alice in EUR goes from": func(x *exec) { x.t.Delete(EntryKey("alice", "EUR", 0)) },
		"line 1 of the statement of alice in EUR does": func(x *exec) {
			var e Entry
			x.load(EntryKey("alice", "EUR", 0), &e)
			e.Balance, e.BalanceThen = 999, 999
			x.t.Set(EntryKey("alice", "EUR", 0), encode(&e))
		},
		"who can be paid over a line is not what is noted: line true": func(x *exec) { x.t.Delete(key(spaceTrusts, "alice", "EUR", "bob")) },
		"what is noted: line false, note true":                        func(x *exec) { x.t.Set(key(spaceOwes, "bob", "EUR", "carol"), nil) },
		"alice has EUR, and one of them is unknown":                   func(x *exec) { x.t.Delete(AccountKey("alice")) },
	} {
		b := make()
		block := b.m.Store().Block()
		x := &exec{l: new(Handler), t: block}
		spoil(x)
		err := Audit(block)
		require.ErrorIs(t, err, ErrAudit, want)
		require.ErrorContains(t, err, want)
		block.Discard()
	}
	// A replica whose books are wrong stops.
	b := make()
	h := &Handler{cfg: Config{Limits: smallLimits(), CheckBlocks: true}}
	block := b.m.Store().Block()
	h.EndBlock(block, &statemachine.Block{})
	holding(func(h *Holding) { h.Balance++ })(&exec{t: block})
	require.Panics(t, func() { h.EndBlock(block, &statemachine.Block{}) })
	block.Discard()
}
