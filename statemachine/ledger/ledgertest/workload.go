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
	m, err := w.MachineOn(store.DefaultConfig())
	if err != nil {
		panic(err) // in memory nothing can fail
	}
	return m
}

// MachineOn is Machine with the state in a store of that configuration.
func (w *Workload) MachineOn(cfg store.Config) (*store.Machine, error) {
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	return ledger.New(s, ledger.Config{Limits: w.Limits(), Cluster: w.cluster, Genesis: w.Genesis(), CheckBlocks: true})
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
		if rng.IntN(4) == 0 {
			tx.Actions[0] = w.definition(rng, joint)
		}
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
