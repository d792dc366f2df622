// Package ledgertest makes random operations for a ledger, and says how they must end:
// for the conformance kit, for fuzzing, and for simulated clusters with traitors in them.
package ledgertest

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/store"
)

// Workload is a small world: people with keys of their own whose detached signatures
// anybody can bring, and an account for each client of the cluster, with one that all
// clients control together. It belongs to one goroutine.
type Workload struct {
	cluster  crypto.Digest
	clients  []crypto.PublicKey
	people   []*ed25519.Signer
	genesis  *ledger.Genesis
	proposed []*ledger.Transaction
	signed   [][]byte // operations with detached signatures, to be brought again
	// What there is, as the world began or as a model of it has learnt since.
	accounts []string
	owners   map[string]account
	assets   []string
	issuers  map[string]string
	// The last that were made, or tried to.
	holds  []*ledger.PlaceHold
	lines  []*ledger.Trust
	offers []*ledger.MakeOffer
}

const people = 3

// New makes the world of a cluster with these clients. In every other one accounts are
// opened by registrars: the last person and the first client.
func New(cluster crypto.Digest, clients []crypto.PublicKey) *Workload {
	w := &Workload{cluster: cluster, clients: clients, owners: map[string]account{}, issuers: map[string]string{}}
	for i := range people {
		var seed [ed25519.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i)+1)
		w.people = append(w.people, ed25519.NewSigner(ed25519.NewKeyFromSeed(seed)))
	}
	w.genesis = w.beginning()
	for _, a := range w.genesis.Accounts {
		w.accounts = append(w.accounts, a.Name)
		w.owners[a.Name] = account{a.Keys, int(a.Threshold)}
	}
	for _, a := range w.genesis.Assets {
		w.assets = append(w.assets, a.Name)
		w.issuers[a.Name] = a.Issuer
	}
	return w
}

// learn takes up what there is now.
func (w *Workload) learn(s *state) {
	w.accounts, w.owners = slices.Sorted(maps.Keys(s.accounts)), s.accounts
	w.assets = slices.Sorted(maps.Keys(s.assets))
	for name, a := range s.assets {
		w.issuers[name] = a.issuer
	}
}

// Genesis is what the world begins with.
func (w *Workload) Genesis() *ledger.Genesis { return w.genesis }

func (w *Workload) key(person int) crypto.PublicKey { return w.people[person].Public() }

// beginning has an account for each person, one of which two of three decide, one for
// each client, and one of which two clients decide; plain money, money with rules, and
// shares that are few.
func (w *Workload) beginning() *ledger.Genesis {
	g := &ledger.Genesis{StatementEntries: 32}
	var rich []ledger.GenesisBalance
	add := func(name string, threshold uint8, keys ...crypto.PublicKey) {
		g.Accounts = append(g.Accounts, ledger.GenesisAccount{Name: name, Threshold: threshold, Keys: keys})
		rich = append(rich, ledger.GenesisBalance{Account: name, Amount: "100"})
	}
	for i := range people {
		add(fmt.Sprintf("p%d", i), 1, w.key(i))
	}
	add("board", 2, w.key(0), w.key(1), w.key(2))
	for i, k := range w.clients {
		add(fmt.Sprintf("c%d", i), 1, k)
	}
	if len(w.clients) > 1 {
		add(joint, 2, w.clients[:min(len(w.clients), 16)]...)
	}
	if w.cluster[0]%2 == 1 {
		g.Registrars = append([]crypto.PublicKey{w.key(people - 1)}, w.clients[:min(len(w.clients), 1)]...)
	}
	g.Assets = []ledger.GenesisAsset{
		{Name: "EUR", Issuer: "p0", Balances: rich},
		{Name: "USD", Issuer: "p1", Rules: []string{"freezable", "clawback", "admission", "holder-retires"}, Balances: rich},
		{Name: "SHARE", Issuer: "board", MaxSupply: "40", Rules: []string{"fixed"}, Balances: []ledger.GenesisBalance{{Account: "board", Amount: "30"}}},
	}
	return g
}

// joint is the account that clients control together.
const joint = "joint"

// Limits are small, so that they are met.
func (w *Workload) Limits() ledger.Limits {
	l := ledger.DefaultLimits()
	l.MaxHolds, l.MaxOffers, l.MaxLines, l.MaxProposals, l.MaxActions, l.MaxLife = 3, 2, 4, 2, 4, time.Minute
	l.MaxAccounts, l.MaxAssets = uint64(len(w.genesis.Accounts)+3), uint64(len(w.genesis.Assets)+2)
	return l
}

// Machine makes a ledger of this world that audits itself after each block.
func (w *Workload) Machine() *store.Machine {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	if err != nil {
		panic(err)
	}
	m, err := ledger.New(s, ledger.Config{Limits: w.Limits(), Cluster: w.cluster, Genesis: w.Genesis(), CheckBlocks: true})
	if err != nil {
		panic(err)
	}
	return m
}

// Operation makes the next operation of a client; now is about block time.
func (w *Workload) Operation(rng *rand.Rand, client int, now statemachine.Time) []byte {
	switch rng.IntN(12) {
	case 0:
		if len(w.proposed) > 0 {
			tx := w.proposed[rng.IntN(len(w.proposed))]
			switch rng.IntN(8) {
			case 0, 1:
				return ledger.Withdraw(tx.Digest())
			case 2:
				return ledger.Propose(tx) // which is to approve it, or, once it has run, a replay
			}
			return ledger.Approve(tx.Digest())
		}
	case 1:
		if len(w.signed) > 0 {
			return w.signed[rng.IntN(len(w.signed))]
		}
	case 2:
		tx := &ledger.Transaction{Expires: later(rng, now), Actions: []ledger.Action{w.action(rng, joint, now)}}
		w.proposed = keep(w.proposed, tx)
		return ledger.Propose(tx)
	case 3:
		return w.read(rng)
	}
	return w.transaction(rng, client, now)
}

// keep keeps the last few.
func keep[T any](all []T, one T) []T {
	if len(all) == 24 {
		all = slices.Delete(all, 0, 1)
	}
	return append(all, one)
}

func later(rng *rand.Rand, now statemachine.Time) statemachine.Time {
	if rng.IntN(12) == 0 {
		return 0
	}
	return now + statemachine.Time(time.Second)*statemachine.Time(rng.IntN(50))
}

// transaction has some actions, most of the time with the authority that they take.
func (w *Workload) transaction(rng *rand.Rand, client int, now statemachine.Time) []byte {
	tx := &ledger.Transaction{Memo: fmt.Sprint(rng.IntN(1000))}
	if len(w.clients) == 0 || rng.IntN(2) == 0 { // who acts signs, whoever brings it
		tx.Expires = later(rng, now)
	}
	var signers []int
	for range 1 + rng.IntN(3)*rng.IntN(2) {
		who := w.anyone(rng)
		if tx.Expires == 0 && len(w.clients) > 0 && rng.IntN(8) > 0 {
			who = fmt.Sprintf("c%d", client)
		}
		a := w.action(rng, who, now)
		for try := 0; try < 8 && w.helpless(w.decider(a, who), client); try++ {
			a = w.action(rng, who, now)
		}
		tx.Actions = append(tx.Actions, a)
		w.remember(a)
		signers = append(signers, w.signers(w.decider(a, who), client)...)
	}
	if rng.IntN(10) == 0 {
		tx.Sequences = []ledger.Sequence{{Account: w.anyone(rng), Number: uint64(rng.IntN(3))}}
	}
	if rng.IntN(20) == 0 {
		tx.NotBefore = now + statemachine.Time(time.Second)
	}
	if len(signers) > 0 && tx.Expires == 0 && rng.IntN(8) > 0 {
		tx.Expires = now + statemachine.Time(time.Second)*20
	}
	slices.Sort(signers)
	signers = slices.Compact(signers)
	if rng.IntN(12) == 0 && len(signers) > 0 {
		signers = signers[1:]
	}
	cluster := w.cluster
	if rng.IntN(25) == 0 {
		cluster[0] ^= 1 // of another one
	}
	var signatures []ledger.Signature
	for _, i := range signers {
		signatures = append(signatures, tx.Sign(cluster, w.people[i]))
	}
	op := ledger.Submit(tx, signatures...)
	if len(signatures) > 0 {
		w.signed = keep(w.signed, op)
	}
	if rng.IntN(40) == 0 {
		op[rng.IntN(len(op))] ^= 1 << rng.IntN(8)
	}
	return op
}

// signers are the people that have a say, if the client alone does not suffice.
func (w *Workload) signers(o account, client int) (who []int) {
	if o.threshold <= 1 && (o.keys == nil || w.has(o, client)) {
		return nil
	}
	for i := range w.people {
		if slices.Contains(o.keys, w.key(i)) {
			who = append(who, i)
		}
	}
	return who
}

func (w *Workload) has(o account, client int) bool {
	return client < len(w.clients) && slices.Contains(o.keys, w.clients[client])
}

// helpless tells whether an account's authority cannot be had in an operation of the
// client.
func (w *Workload) helpless(o account, client int) bool {
	missing := o.threshold
	if w.has(o, client) {
		missing--
	}
	for i := range w.people {
		if slices.Contains(o.keys, w.key(i)) {
			missing--
		}
	}
	return missing > 0
}

// decider is whose authority an action takes.
func (w *Workload) decider(a ledger.Action, who string) account {
	if _, open := a.(*ledger.OpenAccount); open {
		r := w.genesis.Registrars
		return account{r, min(len(r), 1)}
	}
	return w.owners[w.named(a, who)]
}

// named is the account that an action names as the one whose authority it takes, or who.
func (w *Workload) named(a ledger.Action, who string) string {
	issuer := func(asset string) string {
		if i, ok := w.issuers[asset]; ok {
			return i
		}
		return who
	}
	switch a := a.(type) {
	case *ledger.Capture:
		return payeeOf(w, a.From, a.Reference)
	case *ledger.Release:
		return payeeOf(w, a.From, a.Reference)
	case *ledger.Trust:
		return a.Account
	case *ledger.Pay:
		return a.From
	case *ledger.TakeOffer:
		return a.Taker
	case *ledger.MakeOffer:
		return a.Account
	case *ledger.CancelOffer:
		return a.Account
	case *ledger.SetKeys:
		return a.Account
	case *ledger.DefineAsset:
		return a.Issuer
	case *ledger.SetRules:
		return issuer(a.Asset)
	case *ledger.CloseAsset:
		return issuer(a.Asset)
	case *ledger.Issue:
		return issuer(a.Asset)
	case *ledger.Freeze:
		return issuer(a.Asset)
	case *ledger.Admit:
		return issuer(a.Asset)
	case *ledger.Clawback:
		return issuer(a.Asset)
	}
	return who
}

func (w *Workload) read(rng *rand.Rand) []byte {
	account, asset := w.anyone(rng), w.asset(rng)
	switch rng.IntN(4) {
	case 0:
		return ledger.GetQuery(ledger.HoldingKey(account, asset))
	case 1:
		return ledger.RangeQuery(ledger.HoldingsPage(account))
	case 2:
		return ledger.PathQuery(&ledger.Pay{From: account, To: w.anyone(rng), Source: asset, Asset: money[rng.IntN(2)], Amount: 1 + rng.Uint64N(10), Find: true}, 0)
	}
	return ledger.StatementQuery(ledger.StatementPage{Account: account, Asset: asset, Limit: 10})
}

// money is what most is done with: all begin with some of it.
var money = []string{"EUR", "USD"}

// anyone is an account, now and then one that there is not.
func (w *Workload) anyone(rng *rand.Rand) string {
	if rng.IntN(60) == 0 {
		return newAccount(rng)
	}
	return w.accounts[rng.IntN(len(w.accounts))]
}

// asset is one, now and then one that there is not.
func (w *Workload) asset(rng *rand.Rand) string {
	if rng.IntN(60) == 0 {
		return newAsset(rng)
	}
	return w.assets[rng.IntN(len(w.assets))]
}

// payeeOf is whom a hold under a reference is for: always the same, so that who decides
// on it is known.
func payeeOf(w *Workload, payer, ref string) string {
	all := w.genesis.Accounts
	i := slices.IndexFunc(all, func(a ledger.GenesisAccount) bool { return a.Name == payer })
	return all[(i+1+int(ref[1]-'0'))%len(all)].Name
}

func (w *Workload) action(rng *rand.Rand, who string, now statemachine.Time) ledger.Action {
	if who == joint && len(w.clients) < 2 {
		who = w.accounts[0] // there is no joint account
	}
	asset := w.asset(rng)
	other := w.anyone(rng)
	amount := rng.Uint64N(40)
	if rng.IntN(10) == 0 {
		amount = ledger.MaxAmount - amount
	}
	ref := fmt.Sprintf("r%d", rng.IntN(4))
	switch rng.IntN(38) {
	case 32, 33:
		return w.definition(rng, who)
	case 0:
		return &ledger.Issue{Asset: asset, To: who, Amount: amount}
	case 1:
		return &ledger.Retire{Asset: asset, From: who, Amount: amount}
	case 2:
		account := other
		if rng.IntN(6) == 0 {
			account = ""
		}
		return &ledger.Freeze{Asset: asset, Account: account, On: rng.IntN(4) == 0}
	case 3:
		return &ledger.Admit{Asset: asset, Account: other, On: rng.IntN(4) > 0}
	case 4:
		return &ledger.Clawback{Asset: asset, From: other, Amount: amount}
	case 5, 6:
		return &ledger.PlaceHold{From: who, Reference: ref, Asset: asset, To: payeeOf(w, who, ref), Amount: amount, Expires: later(rng, now)}
	case 7, 8, 9:
		if len(w.holds) > 0 {
			h := w.holds[rng.IntN(len(w.holds))]
			if rng.IntN(3) == 0 {
				return &ledger.Release{From: h.From, Reference: h.Reference}
			}
			return &ledger.Capture{From: h.From, Reference: h.Reference, Amount: rng.Uint64N(2) * amount}
		}
		return &ledger.Capture{From: other, Reference: ref, Amount: amount}
	case 10, 11, 12:
		if len(w.lines) > 0 && rng.IntN(2) == 0 { // the other way round
			l := w.lines[len(w.lines)-1-rng.IntN(min(len(w.lines), 8))]
			return &ledger.Trust{Account: l.Peer, Peer: l.Account, Asset: l.Asset, Limit: 1 + amount, Ripple: true}
		}
		// Among few, so that lines meet.
		return &ledger.Trust{Account: w.genesis.Accounts[rng.IntN(4)].Name, Peer: w.genesis.Accounts[rng.IntN(5)].Name, Asset: money[rng.IntN(2)], Limit: rng.Uint64N(4) * amount, Ripple: rng.IntN(8) > 0}
	case 13, 14, 15, 16, 26, 27, 28, 29, 34, 35:
		p := w.payment(rng, who, other, asset, amount)
		if rng.IntN(12) == 0 {
			p.MaxCost /= 2
		}
		return p
	case 17:
		if len(w.offers) > 0 && rng.IntN(2) == 0 {
			o := w.offers[rng.IntN(len(w.offers))]
			return &ledger.CancelOffer{Account: o.Account, Reference: o.Reference}
		}
		return w.offer(rng, who, ref, asset, amount, now)
	case 18:
		return w.offer(rng, who, ref, asset, amount, now)
	case 19, 30, 31:
		if open := slices.DeleteFunc(slices.Clone(w.offers), func(o *ledger.MakeOffer) bool { return o.Offer.Credit }); len(open) > 0 {
			o := open[rng.IntN(len(open))]
			return &ledger.TakeOffer{Account: o.Account, Reference: o.Reference, Taker: other, Amount: rng.Uint64N(4), MaxCost: 40}
		}
		return &ledger.TakeOffer{Account: other, Reference: ref, Taker: who, Amount: amount / 4, MaxCost: 40}
	case 20:
		return &ledger.Advance{Account: who}
	default:
		return &ledger.Transfer{Asset: asset, From: who, To: other, Amount: amount}
	}
}

func (w *Workload) offer(rng *rand.Rand, who, ref, asset string, amount uint64, now statemachine.Time) ledger.Action {
	o := ledger.Offer{
		Sell: asset, Buy: money[rng.IntN(2)], Amount: amount, Price: [2]uint64{rng.Uint64N(12), 1 + rng.Uint64N(6)}, Expires: later(rng, now),
	}
	if rng.IntN(2) == 0 { // for payments, where there are lines
		i := rng.IntN(2)
		who, o.Credit, o.Sell, o.Buy, o.Expires = w.genesis.Accounts[rng.IntN(4)].Name, true, money[i], money[1-i], 0
	}
	return &ledger.MakeOffer{Account: who, Reference: ref, Offer: o}
}

// payment is one over a line that there may be, over two, or with an exchange between
// them; or over none.
func (w *Workload) payment(rng *rand.Rand, who, other, asset string, amount uint64) *ledger.Pay {
	p := &ledger.Pay{From: who, To: other, Source: asset, Asset: asset, Amount: amount, MaxCost: amount}
	if len(w.lines) == 0 || rng.IntN(8) == 0 {
		p.Path = []ledger.Hop{{Account: w.anyone(rng), Asset: asset}}
		return p
	}
	last := w.lines[rng.IntN(len(w.lines))]
	p.From, p.To, p.Source, p.Asset = last.Peer, last.Account, last.Asset, last.Asset
	if rng.IntN(3) == 0 { // what is owed is paid back
		p.From, p.To = p.To, p.From
		return p
	}
	middle := last.Peer
	switch rng.IntN(5) {
	case 0, 1:
		for _, l := range w.lines {
			if l.Account == middle && l.Asset == last.Asset && l.Ripple && l.Peer != last.Account {
				p.Amount, p.MaxCost = 1+rng.Uint64N(4), 4
				p.From, p.Path = l.Peer, []ledger.Hop{{Account: middle, Asset: last.Asset}}
			}
		}
	case 2, 3:
		for _, i := range rng.Perm(len(w.offers)) {
			o := w.offers[i]
			for _, out := range w.lines {
				for _, in := range w.lines {
					if !o.Offer.Credit || in.Account != o.Account || in.Asset != o.Offer.Buy || out.Peer != o.Account || out.Asset != o.Offer.Sell || in.Peer == out.Account {
						continue
					}
					return &ledger.Pay{
						From: in.Peer, To: out.Account, Source: in.Asset, Asset: out.Asset, Amount: 1 + rng.Uint64N(6), MaxCost: 20,
						Path: []ledger.Hop{{Account: o.Account, Asset: in.Asset}, {Account: o.Account, Asset: out.Asset}},
					}
				}
			}
		}
	}
	return p
}

func (w *Workload) remember(a ledger.Action) {
	switch a := a.(type) {
	case *ledger.PlaceHold:
		w.holds = keep(w.holds, a)
	case *ledger.Trust:
		if a.Limit > 0 {
			w.lines = keep(w.lines, a)
		}
	case *ledger.MakeOffer:
		if a.Offer.Amount > 5 && a.Offer.Price[0] > 0 {
			w.offers = keep(w.offers, a)
		}
	}
}
