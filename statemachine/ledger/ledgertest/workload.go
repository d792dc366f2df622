// Package ledgertest makes random operations for a ledger, and says how they must end:
// for the conformance kit, for fuzzing, and for simulated clusters with traitors in them.
package ledgertest

import (
	"context"
	"encoding/binary"
	"fmt"
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
	accounts []string
	owners   map[string]owner
	genesis  *ledger.Genesis
	proposed []crypto.Digest
	signed   [][]byte // operations with detached signatures, to be brought again
	// The last that were made, or tried to.
	holds  []*ledger.PlaceHold
	lines  []*ledger.Trust
	offers []*ledger.MakeOffer
}

// owner is who controls an account: a person, two of three, or a client, or two of all.
type owner struct {
	people []int
	client int // -1: none
	joint  bool
}

const people = 3

// Assets of the world: plain money, money with rules, and shares that are few.
var assets = []string{"EUR", "USD", "SHARE"}

// New makes the world of a cluster with these clients.
func New(cluster crypto.Digest, clients []crypto.PublicKey) *Workload {
	w := &Workload{cluster: cluster, clients: clients, owners: map[string]owner{}}
	for i := range people {
		var seed [ed25519.SeedSize]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i)+1)
		w.people = append(w.people, ed25519.NewSigner(ed25519.NewKeyFromSeed(seed)))
		w.add(fmt.Sprintf("p%d", i), owner{people: []int{i}, client: -1})
	}
	w.add("board", owner{people: []int{0, 1, 2}, client: -1})
	for i := range clients {
		w.add(fmt.Sprintf("c%d", i), owner{client: i})
	}
	if len(clients) > 1 {
		w.add("joint", owner{client: -1, joint: true})
	}
	w.genesis = w.beginning()
	return w
}

func (w *Workload) add(name string, o owner) {
	w.accounts = append(w.accounts, name)
	w.owners[name] = o
}

// Genesis is what the world begins with.
func (w *Workload) Genesis() *ledger.Genesis { return w.genesis }

func (w *Workload) beginning() *ledger.Genesis {
	g := &ledger.Genesis{StatementEntries: 32}
	var rich []ledger.GenesisBalance
	for _, name := range w.accounts {
		o := w.owners[name]
		a := ledger.GenesisAccount{Name: name, Threshold: 1}
		for _, i := range o.people {
			a.Keys = append(a.Keys, w.people[i].Public())
		}
		switch {
		case o.joint:
			a.Keys, a.Threshold = w.clients[:min(len(w.clients), 16)], 2
		case o.client >= 0:
			a.Keys = w.clients[o.client : o.client+1]
		case len(o.people) > 1:
			a.Threshold = 2
		}
		g.Accounts = append(g.Accounts, a)
		rich = append(rich, ledger.GenesisBalance{Account: name, Amount: "100"})
	}
	g.Assets = []ledger.GenesisAsset{
		{Name: "EUR", Issuer: "p0", Balances: rich},
		{Name: "USD", Issuer: "p1", Rules: []string{"freezable", "clawback", "admission", "holder-retires"}, Balances: rich},
		{Name: "SHARE", Issuer: "board", MaxSupply: "40", Rules: []string{"fixed"}, Balances: []ledger.GenesisBalance{{Account: "board", Amount: "30"}}},
	}
	return g
}

// Limits are small, so that they are met.
func (w *Workload) Limits() ledger.Limits {
	l := ledger.DefaultLimits()
	l.MaxHolds, l.MaxOffers, l.MaxLines, l.MaxProposals, l.MaxActions, l.MaxLife = 3, 2, 4, 2, 4, time.Minute
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
			d := w.proposed[rng.IntN(len(w.proposed))]
			if rng.IntN(4) == 0 {
				return ledger.Withdraw(d)
			}
			return ledger.Approve(d)
		}
	case 1:
		if len(w.signed) > 0 {
			return w.signed[rng.IntN(len(w.signed))]
		}
	case 2:
		tx := &ledger.Transaction{Expires: later(rng, now), Actions: []ledger.Action{w.action(rng, "joint", now)}}
		w.proposed = keep(w.proposed, tx.Digest())
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
		signers = append(signers, w.owners[w.decider(a, who)].people...)
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

// helpless tells whether an account's authority cannot be had in an operation of the
// client.
func (w *Workload) helpless(account string, client int) bool {
	o := w.owners[account]
	return o.joint || o.client >= 0 && o.client != client
}

// decider is whose authority an action takes if it is not that of who acts.
func (w *Workload) decider(a ledger.Action, who string) string {
	issuer := func(asset string) string {
		for _, a := range w.Genesis().Assets {
			if a.Name == asset {
				return a.Issuer
			}
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
	account, asset := w.anyone(rng), assets[rng.IntN(len(assets))]
	switch rng.IntN(4) {
	case 0:
		return ledger.GetQuery(ledger.HoldingKey(account, asset))
	case 1:
		return ledger.RangeQuery(ledger.HoldingsPage(account))
	case 2:
		return ledger.PathQuery(&ledger.Pay{From: account, To: w.anyone(rng), Source: asset, Asset: assets[rng.IntN(2)], Amount: 1 + rng.Uint64N(10), Find: true}, 0)
	}
	return ledger.StatementQuery(ledger.StatementPage{Account: account, Asset: asset, Limit: 10})
}

func (w *Workload) anyone(rng *rand.Rand) string { return w.accounts[rng.IntN(len(w.accounts))] }

// payeeOf is whom a hold under a reference is for: always the same, so that who decides
// on it is known.
func payeeOf(w *Workload, payer, ref string) string {
	i := slices.Index(w.accounts, payer)
	return w.accounts[(i+1+int(ref[1]-'0'))%len(w.accounts)]
}

func (w *Workload) action(rng *rand.Rand, who string, now statemachine.Time) ledger.Action {
	if w.owners[who].people == nil && w.owners[who].client < 0 && !w.owners[who].joint {
		who = w.accounts[0] // there is no joint account
	}
	asset := assets[rng.IntN(len(assets))]
	other := w.anyone(rng)
	amount := rng.Uint64N(40)
	if rng.IntN(10) == 0 {
		amount = ledger.MaxAmount - amount
	}
	ref := fmt.Sprintf("r%d", rng.IntN(4))
	switch rng.IntN(34) {
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
		return &ledger.Trust{Account: w.accounts[rng.IntN(4)], Peer: w.accounts[rng.IntN(5)], Asset: assets[rng.IntN(2)], Limit: rng.Uint64N(4) * amount, Ripple: rng.IntN(8) > 0}
	case 13, 14, 15, 16, 26, 27, 28, 29:
		return w.payment(rng, who, other, asset, amount)
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
		Sell: asset, Buy: assets[rng.IntN(2)], Amount: amount, Price: [2]uint64{rng.Uint64N(12), 1 + rng.Uint64N(6)}, Expires: later(rng, now),
	}
	if rng.IntN(2) == 0 { // for payments, where there are lines
		i := rng.IntN(2)
		who, o.Credit, o.Sell, o.Buy, o.Expires = w.accounts[rng.IntN(4)], true, assets[i], assets[1-i], 0
	}
	return &ledger.MakeOffer{Account: who, Reference: ref, Offer: o}
}

// payment is one over a line that there may be, over two, or with an exchange between
// them; or over none.
func (w *Workload) payment(rng *rand.Rand, who, other, asset string, amount uint64) ledger.Action {
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
