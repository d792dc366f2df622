package ledger

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

func TestAccounts(t *testing.T) {
	b := newBooks(t, func(c *Config) { c.Limits.MaxAccounts, c.Limits.MaxKeys = 2, 3 })
	b.ok(mallory, NewAccount("alice", 1, alice.public()))
	b.no(ErrExists, mallory, NewAccount("alice", 1, mallory.public()))
	b.no(ErrInvalid, mallory, NewAccount("x", 0, bob.public()))
	b.no(ErrInvalid, mallory, NewAccount("x", 2, bob.public()))
	b.no(ErrTooMany, mallory, NewAccount("x", 1, alice.public(), bob.public(), carol.public(), dave.public()))
	b.ok(mallory, NewAccount("x", 1, bob.public()))
	b.no(ErrTooMany, mallory, NewAccount("y", 1, bob.public()))

	set := func(threshold uint8, keys ...crypto.PublicKey) Action {
		n := NewAccount("alice", threshold, keys...)
		return &SetKeys{n.Account, n.Keys, n.Threshold}
	}
	r := b.no(ErrUnauthorized, mallory, set(1, mallory.public()))
	require.Equal(t, &Rejection{Code: CodeUnauthorized, Subject: "alice", Want: 1}, r)
	b.ok(alice, set(2, bob.public(), carol.public()))
	b.no(ErrUnauthorized, alice, set(1, alice.public()))
	r = b.no(ErrUnauthorized, bob, set(1, bob.public()))
	require.EqualValues(t, 1, r.Have)
	b.no(ErrUnknownAccount, bob, &Advance{"nobody"})
}

func TestAssets(t *testing.T) {
	b := town(t)
	issue := func(asset string, n uint64) Action { return &Issue{Asset: asset, To: "bank", Amount: n} }
	b.no(ErrExists, bank, &DefineAsset{Asset: "EUR", Issuer: "bank"})
	b.no(ErrUnauthorized, alice, &DefineAsset{Asset: "USD", Issuer: "bank"})
	b.no(ErrUnknownAccount, bank, &DefineAsset{Asset: "USD", Issuer: "nobody"})
	b.no(ErrInvalid, bank, &DefineAsset{Asset: "USD", Issuer: "bank", Decimals: 19})
	b.no(ErrInvalid, bank, &DefineAsset{Asset: "USD", Issuer: "bank", Rules: 1 << 7})
	b.no(ErrUnknownAsset, bank, issue("USD", 1))
	b.no(ErrUnauthorized, alice, issue("EUR", 1))
	b.no(ErrUnknownAccount, bank, &Issue{Asset: "EUR", To: "nobody", Amount: 1})
	b.no(ErrInvalid, bank, issue("EUR", 0))

	// The largest supply, and arithmetic.
	b.ok(bank, issue("BOND", 90))
	r := b.no(ErrSupply, bank, issue("BOND", 1))
	require.Equal(t, []uint64{0, 1}, []uint64{r.Have, r.Want})
	b.no(ErrSupply, bank, issue("BOND", math.MaxInt64-100))
	b.no(ErrOverflow, bank, issue("BOND", math.MaxInt64-99))
	b.ok(bank, issue("EUR", math.MaxInt64-1000))
	b.no(ErrOverflow, bank, issue("EUR", 1))
	b.has("bank", "EUR", math.MaxInt64-1000, 0)

	// Retiring makes room.
	b.no(ErrRules, alice, &Retire{Asset: "EUR", From: "alice", Amount: 1})
	b.no(ErrInsufficient, bank, &Retire{Asset: "EUR", From: "bank", Amount: math.MaxInt64})
	b.no(ErrInvalid, bank, &Retire{Asset: "EUR", From: "bank"})
	b.ok(bank, &Retire{Asset: "BOND", From: "bank", Amount: 90})
	b.ok(bank, issue("BOND", 5))
	b.has("bank", "BOND", 5, 0)
	b.ok(bank, &Retire{Asset: "EUR", From: "bank", Amount: 7})
	b.ok(bank, issue("EUR", 7))
	r = b.no(ErrOverflow, bank, issue("EUR", 1))
	require.Equal(t, []uint64{0, 1}, []uint64{r.Have, r.Want})

	// Rules.
	b.no(ErrRules, bank, &SetRules{Asset: "BOND", Rules: RuleClawback})
	b.no(ErrUnauthorized, alice, &SetRules{Asset: "EUR"})
	b.no(ErrSupply, bank, &SetRules{Asset: "EUR", MaxSupply: 5})
	b.ok(bank, &SetRules{Asset: "EUR", Rules: RuleHolderRetires})
	b.ok(alice, &Retire{Asset: "EUR", From: "alice", Amount: 1})
	b.has("alice", "EUR", 999, 0)
	b.ok(bank, &CloseAsset{"BOND"})
	b.no(ErrSupply, bank, issue("BOND", 1))

	v, _ := b.view().Get(AssetKey("BOND"))
	a, err := DecodeAsset(v)
	require.NoError(t, err)
	require.Equal(t, Asset{Issuer: "bank", Rules: RuleFixed, Closed: true, MaxSupply: 100, Issued: Total{Low: 105}, Retired: Total{Low: 90}}, a)
	require.EqualValues(t, 15, a.Supply())
}

func TestTransfer(t *testing.T) {
	b := town(t)
	pay := func(from, to string, n uint64) Action { return &Transfer{"EUR", from, to, n} }
	b.ok(alice, pay("alice", "bob", 300))
	b.has("alice", "EUR", 700, 0)
	b.has("bob", "EUR", 300, 0)
	r := b.no(ErrInsufficient, alice, pay("alice", "bob", 701))
	require.Equal(t, &Rejection{Code: CodeInsufficient, Subject: "alice", Asset: "EUR", Have: 700, Want: 701}, r)
	require.EqualError(t, r, "insufficient balance: alice: 700 units of EUR, 701 are needed (action 1)")
	b.no(ErrUnauthorized, bob, pay("alice", "bob", 1))
	b.no(ErrUnknownAccount, alice, pay("alice", "nobody", 1))
	b.no(ErrUnknownAccount, alice, pay("nobody", "alice", 1))
	b.no(ErrUnknownAsset, alice, &Transfer{"USD", "alice", "bob", 1})
	b.no(ErrInvalid, alice, pay("alice", "bob", 0))
	b.no(ErrInvalid, alice, pay("alice", "alice", 1))

	// All or nothing, and the rejection says which leg.
	r = b.no(ErrInsufficient, alice, pay("alice", "bob", 500), pay("alice", "carol", 200), pay("alice", "dave", 1))
	require.EqualValues(t, 2, r.Action)
	b.ok(alice, pay("alice", "bob", 500), pay("alice", "carol", 200))
	b.has("alice", "EUR", 0, 0)
	b.has("carol", "EUR", 200, 0)
}

func TestStatement(t *testing.T) {
	b := town(t)
	first := b.height
	var times []statemachine.Time
	for i := range 7 {
		op := Submit(&Transaction{Memo: "rent", Actions: []Action{&Transfer{"EUR", "alice", "bob", uint64(i + 1)}}})
		require.NoError(t, b.do(alice, op).Err())
		times = append(times, b.now)
	}
	get := func(p StatementPage) Statement {
		p.Account, p.Asset = "alice", "EUR"
		s, err := DecodeStatement(b.query(StatementQuery(p)))
		require.NoError(t, err)
		return s
	}
	s := get(StatementPage{})
	require.Len(t, s.Entries, 5) // MaxRange
	require.True(t, s.More)
	require.Equal(t, EntryIssue, s.Entries[0].Kind)
	require.Equal(t, "bank", s.Entries[0].With)
	require.Equal(t, Entry{
		Kind: EntryTransfer, Height: first + 4, Time: times[1], Tx: IDOf(alice.public(), b.seq-5, 0), With: "bob", Memo: "rent",
		Balance: -2, BalanceThen: 997,
	}, s.Entries[2])
	rest := get(StatementPage{Number: 5})
	require.Len(t, rest.Entries, 3)
	require.False(t, rest.More)
	require.EqualValues(t, 1000-28, rest.Entries[2].BalanceThen)

	require.Equal(t, uint64(3), get(StatementPage{Time: times[2]}).First)
	require.Equal(t, uint64(4), get(StatementPage{Time: times[2] + 1}).First)
	require.Equal(t, uint64(3), get(StatementPage{Height: first + 6}).First)
	require.Equal(t, uint64(3), get(StatementPage{Height: first + 5}).First)
	require.Len(t, get(StatementPage{Number: 2, Limit: 2}).Entries, 2)
	require.Empty(t, get(StatementPage{Time: b.now + 1}).Entries)
	require.Empty(t, get(StatementPage{Number: math.MaxUint64}).Entries)

	// The same through the log.
	r := b.block(bob, StatementQuery(StatementPage{Account: "alice", Asset: "EUR"}))[0]
	require.Equal(t, statemachine.CodeOK, r.Code)
	logged, err := DecodeStatement(r.Data)
	require.NoError(t, err)
	require.Equal(t, s, logged)
}

func TestFreeze(t *testing.T) {
	b := town(t)
	pay := func(from, to string) Action { return &Transfer{"EUR", from, to, 1} }
	b.no(ErrRules, bank, &Freeze{Asset: "BOND", Account: "bob", On: true})
	b.no(ErrUnauthorized, alice, &Freeze{Asset: "EUR", Account: "bob", On: true})
	b.no(ErrUnknownAccount, bank, &Freeze{Asset: "EUR", Account: "nobody", On: true})
	b.ok(alice, pay("alice", "bob"), &PlaceHold{From: "alice", Reference: "h", Asset: "EUR", To: "bob", Amount: 5, Expires: b.now + 1000*second})
	b.ok(bank, &Freeze{Asset: "EUR", Account: "alice", On: true})
	b.no(ErrFrozen, alice, pay("alice", "bob"))
	b.no(ErrFrozen, bob, pay("bob", "alice"))
	b.no(ErrFrozen, bank, &Issue{"EUR", "alice", 1})
	b.no(ErrFrozen, bob, &Capture{From: "alice", Reference: "h"})
	b.no(ErrFrozen, alice, &PlaceHold{From: "alice", Reference: "i", Asset: "EUR", To: "bob", Amount: 5, Expires: b.now + 1000*second})
	b.ok(bob, pay("bob", "carol"))
	b.ok(bob, &Release{"alice", "h"})
	b.has("alice", "EUR", 999, 0)

	// The issuer takes back what is frozen.
	b.no(ErrRules, bank, &Clawback{"BOND", "bob", 1})
	b.no(ErrUnauthorized, bob, &Clawback{"EUR", "alice", 1})
	b.no(ErrInsufficient, bank, &Clawback{"EUR", "alice", 1000})
	b.ok(bank, &Clawback{"EUR", "alice", 99})
	b.has("alice", "EUR", 900, 0)
	b.has("bank", "EUR", 99, 0)
	b.ok(bank, &Freeze{Asset: "EUR", Account: "alice"})
	b.ok(alice, pay("alice", "bob"))

	// All of it.
	b.ok(bank, &Freeze{Asset: "EUR", On: true})
	b.no(ErrFrozen, alice, pay("alice", "bob"))
	b.no(ErrFrozen, bank, &Retire{"EUR", "bank", 1})
	b.no(ErrFrozen, bank, &SetRules{Asset: "EUR"})
	b.ok(bank, &Freeze{Asset: "EUR"})
	b.ok(alice, pay("alice", "bob"))
}

func TestAdmission(t *testing.T) {
	b := town(t)
	b.ok(bank, &DefineAsset{Asset: "FUND", Issuer: "bank", Rules: RuleAdmission}, &Issue{"FUND", "bank", 10})
	b.no(ErrNotAdmitted, bank, &Transfer{"FUND", "bank", "alice", 1})
	b.no(ErrUnauthorized, alice, &Admit{"FUND", "alice", true})
	b.ok(bank, &Admit{"FUND", "alice", true}, &Transfer{"FUND", "bank", "alice", 4})
	b.no(ErrNotAdmitted, alice, &Transfer{"FUND", "alice", "bob", 1})
	b.ok(alice, &Transfer{"FUND", "alice", "bank", 1})
	b.ok(bank, &Admit{"FUND", "alice", false})
	b.no(ErrNotAdmitted, bank, &Transfer{"FUND", "bank", "alice", 1})
	b.ok(alice, &Transfer{"FUND", "alice", "bank", 3})
}

// An account, its asset and the first units are one transaction.
func TestOneTransactionOpensAndIssues(t *testing.T) {
	b := town(t)
	open := []Action{
		NewAccount("mint", 1, carol.public()), &DefineAsset{Asset: "GOLD", Issuer: "mint"}, &Issue{"GOLD", "mint", 5}, &Transfer{"GOLD", "mint", "alice", 2},
	}
	b.no(ErrUnauthorized, bob, open...)
	b.ok(carol, open...)
	b.has("mint", "GOLD", 3, 0)
	// Nobody opens an account that there is in order to have its authority.
	b.no(ErrUnauthorized, mallory, NewAccount("alice", 1, mallory.public()), &Transfer{"EUR", "alice", "bob", 1})
	b.no(ErrUnauthorized, mallory, &Transfer{"EUR", "alice", "bob", 1}, NewAccount("alice", 1, mallory.public()))
	b.no(ErrUnauthorized, mallory, &DefineAsset{Asset: "EUR", Issuer: "bob"}, &Issue{"EUR", "bob", 1})
}

// swap is alice's cash for bob's bonds.
func swap(b *books) *Transaction {
	return &Transaction{
		Expires: b.now + 100*second, Memo: "trade 1",
		Actions: []Action{&Transfer{"EUR", "alice", "bob", 200}, &Transfer{"BOND", "bob", "alice", 2}},
	}
}

func TestDeliveryAgainstPayment(t *testing.T) {
	b := town(t)
	tx := swap(b)
	a, o := tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer)
	b.refused(ErrUnauthorized, mallory, Submit(tx, a))
	b.refused(ErrUnauthorized, mallory, Submit(tx, o))
	b.refused(ErrUnauthorized, alice, Submit(tx, a))
	b.refused(ErrForeignSignature, mallory, Submit(tx, a, o, tx.Sign(thisCluster, carol.signer)))

	// Signatures of another cluster, of another transaction, and as requests are signed.
	elsewhere := tx.Sign(crypto.Hash("test", []byte("elsewhere")), bob.signer)
	b.refused(ErrBadSignature, mallory, Submit(tx, a, elsewhere))
	other := *tx
	other.Memo = "trade 2"
	b.refused(ErrBadSignature, mallory, Submit(&other, a, o))
	d := tx.Digest()
	sig, _ := crypto.SignatureOf(bob.signer.Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: thisCluster}, d[:]))
	b.refused(ErrBadSignature, mallory, Submit(tx, a, Signature{bob.public(), sig}))
	b.refused(ErrBadSignature, mallory, Submit(tx, a, Signature{bob.public(), a.Sig}))

	// Anybody may bring it; the client's own key needs no signature.
	r := b.do(bob, Submit(tx, a))
	require.NoError(t, r.Err())
	b.has("alice", "BOND", 2, 0)
	b.has("bob", "EUR", 200, 0)
	for _, again := range [][]byte{Submit(tx, a), Submit(tx, a, o), Submit(tx, o)} {
		b.refused(ErrReplayed, bob, again)
	}
	b.ok(alice, &Transfer{"EUR", "alice", "bob", 1}) // time passes
	b.now = tx.Expires
	b.refused(ErrExpired, bob, Submit(tx, a, o))
	// What was remembered of it is gone.
	_, kept := b.view().Get(spentKey(d))
	require.False(t, kept)
	b.refused(ErrExpired, bob, Submit(tx, a, o))
}

func TestSignedTransactionsHaveAnEnd(t *testing.T) {
	b := town(t)
	tx := swap(b)
	signed := func() []byte { return Submit(tx, tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer)) }
	tx.Expires = 0
	b.refused(ErrTooFar, bob, signed())
	tx.Expires = b.now + statemachine.Time(DefaultLimits().MaxLife) + 100*second
	b.refused(ErrTooFar, bob, signed())
	tx.Expires = math.MaxUint64
	b.refused(ErrTooFar, bob, signed())
	tx.Expires = b.now
	b.refused(ErrExpired, bob, signed())
	tx.Expires, tx.NotBefore = b.now+100*second, b.now+50*second
	b.refused(ErrTooEarly, bob, signed())
	b.now = tx.NotBefore
	require.NoError(t, b.do(bob, signed()).Err())
	b.refused(ErrInvalid, bob, Submit(new(Transaction)))
}

// What is rejected for its content may be brought again while it lasts.
func TestRejectedSignedTransactionIsNotSpent(t *testing.T) {
	b := town(t)
	tx := swap(b)
	op := Submit(tx, tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer))
	b.ok(alice, &Transfer{"EUR", "alice", "carol", 1000})
	b.refused(ErrInsufficient, mallory, op)
	b.ok(carol, &Transfer{"EUR", "carol", "alice", 1000})
	require.NoError(t, b.do(mallory, op).Err())
}

func TestSequences(t *testing.T) {
	b := town(t)
	signed := func(tx *Transaction) []byte {
		return Submit(tx, tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer))
	}
	first, second := swap(b), swap(b)
	first.Sequences = []Sequence{{"alice", 0}}
	second.Sequences, second.Memo = []Sequence{{"alice", 0}, {"bob", 0}}, "instead"
	require.NoError(t, b.do(mallory, signed(first)).Err())
	require.EqualValues(t, 1, b.account("alice").Sequence)
	r := b.refused(ErrSequence, mallory, signed(second))
	require.Equal(t, &Rejection{Code: CodeSequence, Action: NoAction, Subject: "alice", Have: 1}, r)
	second.Sequences[0].Number = 1
	require.NoError(t, b.do(mallory, signed(second)).Err())
	third := swap(b)
	third.Sequences, third.Memo = []Sequence{{"alice", 2}}, "3"
	b.ok(alice, &Advance{"alice"}) // alice thinks better of it
	b.refused(ErrSequence, mallory, signed(third))
	third.Sequences = []Sequence{{"carol", 0}}
	b.refused(ErrInvalid, mallory, signed(third))
	third.Sequences = []Sequence{{"nobody", 0}}
	b.refused(ErrUnknownAccount, mallory, signed(third))
}

// Two of three keys, in one operation and one after another.
func TestThreshold(t *testing.T) {
	b := town(t)
	b.ok(mallory, NewAccount("board", 2, alice.public(), bob.public(), carol.public()))
	b.ok(alice, &Transfer{"EUR", "alice", "board", 500})
	tx := func(n uint64) *Transaction {
		return &Transaction{Expires: b.now + 100*second, Actions: []Action{&Transfer{"EUR", "board", "dave", n}}}
	}
	one := tx(1)
	b.refused(ErrUnauthorized, alice, Submit(one))
	b.refused(ErrUnauthorized, alice, Submit(one, one.Sign(thisCluster, alice.signer))) // twice the same
	require.NoError(t, b.do(alice, Submit(one, one.Sign(thisCluster, carol.signer))).Err())

	// Proposals.
	two := tx(2)
	b.refused(ErrUnauthorized, mallory, Propose(two))
	r := b.do(alice, Propose(two))
	require.NoError(t, r.Err())
	require.True(t, r.Pending)
	require.Equal(t, two.Digest(), r.Digest)
	require.True(t, b.do(alice, Approve(r.Digest)).Pending)
	b.refused(ErrUnauthorized, dave, Approve(r.Digest))
	require.False(t, b.do(carol, Propose(two)).Pending) // as good as an approval
	b.has("dave", "EUR", 3, 0)
	b.refused(ErrUnknownProposal, carol, Approve(r.Digest))

	// The last approval is rejected with what it would have run.
	much := tx(1000)
	require.True(t, b.do(alice, Propose(much)).Pending)
	b.refused(ErrInsufficient, bob, Approve(much.Digest()))
	v, _ := b.view().Get(ProposalKey(much.Digest()))
	p, err := DecodeProposal(v)
	require.NoError(t, err)
	require.Equal(t, []crypto.PublicKey{alice.public()}, p.Approvals)
	b.ok(dave, &Transfer{"EUR", "dave", "board", 3})
	b.refused(ErrUnauthorized, bob, Withdraw(much.Digest()))
	require.False(t, b.do(alice, Withdraw(much.Digest())).Pending)
	b.refused(ErrUnknownProposal, bob, Approve(much.Digest()))

	// Keys that were taken away have no say.
	three := tx(3)
	require.True(t, b.do(alice, Propose(three)).Pending)
	keys := NewAccount("board", 2, bob.public(), carol.public())
	set := &Transaction{Expires: b.now + 100*second, Actions: []Action{&SetKeys{"board", keys.Keys, 2}}}
	require.NoError(t, b.do(bob, Submit(set, set.Sign(thisCluster, carol.signer))).Err())
	require.True(t, b.do(bob, Approve(three.Digest())).Pending)
	require.False(t, b.do(carol, Approve(three.Digest())).Pending)

	// They expire, and there are not too many.
	four := tx(4)
	b.refused(ErrTooFar, bob, Propose(&Transaction{Actions: four.Actions}))
	require.True(t, b.do(bob, Propose(four)).Pending)
	require.True(t, b.do(bob, Propose(tx(5))).Pending)
	require.True(t, b.do(bob, Propose(tx(6))).Pending)
	b.refused(ErrTooMany, bob, Propose(tx(7)))
	b.now = four.Expires + 10*second
	b.refused(ErrUnknownProposal, carol, Approve(four.Digest()))
	require.True(t, b.do(bob, Propose(tx(8))).Pending)

	// It waits for its time.
	late := tx(1)
	late.NotBefore = b.now + 50*second
	b.do(bob, Propose(late))
	require.True(t, b.do(carol, Approve(late.Digest())).Pending)
	b.now = late.NotBefore
	require.False(t, b.do(carol, Approve(late.Digest())).Pending)
}

func TestHolds(t *testing.T) {
	b := town(t)
	hold := func(ref string, n uint64) *PlaceHold {
		return &PlaceHold{From: "alice", Reference: ref, Asset: "EUR", To: "bob", Amount: n, Expires: b.now + 100*second}
	}
	b.no(ErrUnauthorized, bob, hold("a", 1))
	b.no(ErrInvalid, alice, hold("a", 0))
	b.no(ErrInsufficient, alice, hold("a", 1001))
	far := hold("a", 1)
	far.Expires = 0
	b.no(ErrTooFar, alice, far)
	far.Expires = b.now
	b.no(ErrExpired, alice, far)
	far = hold("a", 1)
	far.To = "nobody"
	b.no(ErrUnknownAccount, alice, far)
	b.ok(alice, hold("a", 600))
	b.has("alice", "EUR", 400, 600)
	b.no(ErrExists, alice, hold("a", 1))
	b.no(ErrInsufficient, alice, &Transfer{"EUR", "alice", "carol", 401})

	// Captured in part, the rest is given back.
	b.no(ErrUnauthorized, alice, &Capture{From: "alice", Reference: "a"})
	b.no(ErrUnknownHold, bob, &Capture{From: "alice", Reference: "b"})
	b.no(ErrInsufficient, bob, &Capture{From: "alice", Reference: "a", Amount: 601})
	b.no(ErrSecret, bob, &Capture{From: "alice", Reference: "a", Secret: []byte("x")})
	b.ok(bob, &Capture{From: "alice", Reference: "a", Amount: 250})
	b.has("alice", "EUR", 750, 0)
	b.has("bob", "EUR", 250, 0)
	b.no(ErrUnknownHold, bob, &Capture{From: "alice", Reference: "a"})

	// Released by the payee, not by the payer before it expires.
	b.ok(alice, hold("b", 50))
	b.no(ErrUnauthorized, alice, &Release{"alice", "b"})
	b.ok(bob, &Release{"alice", "b"})
	b.has("alice", "EUR", 750, 0)

	// An agent decides, and a lock takes its secret.
	secret := []byte("open sesame")
	agent := hold("c", 10)
	agent.Agent, agent.Lock = "carol", LockOf(secret)
	b.ok(alice, agent)
	b.no(ErrUnauthorized, bob, &Capture{From: "alice", Reference: "c", Secret: secret})
	b.no(ErrSecret, carol, &Capture{From: "alice", Reference: "c"})
	b.no(ErrSecret, carol, &Capture{From: "alice", Reference: "c", Secret: []byte("open")})
	b.ok(carol, &Capture{From: "alice", Reference: "c", Secret: secret})
	b.has("bob", "EUR", 260, 0)

	// Placed and captured in one transaction.
	both := &Transaction{Expires: b.now + 100*second, Actions: []Action{hold("d", 1), &Capture{From: "alice", Reference: "d"}}}
	b.refused(ErrUnauthorized, alice, Submit(both))
	require.NoError(t, b.do(alice, Submit(both, both.Sign(thisCluster, bob.signer))).Err())
}

// What has expired is given back, so many a block, and is not to be had before that.
func TestHoldsExpire(t *testing.T) {
	b := town(t) // three a block
	end := b.now + 100*second
	for _, ref := range []string{"a", "b", "c", "d"} {
		b.ok(alice, &PlaceHold{From: "alice", Reference: ref, Asset: "EUR", To: "bob", Amount: 100, Expires: end})
	}
	b.no(ErrTooMany, alice, &PlaceHold{From: "alice", Reference: "e", Asset: "EUR", To: "bob", Amount: 100, Expires: end})
	b.has("alice", "EUR", 600, 400)
	b.now = end - 2*second
	b.block(alice)
	b.has("alice", "EUR", 600, 400)
	r, err := DecodeResult(b.block(bob, Do(&Capture{From: "alice", Reference: "d"}))[0])
	require.NoError(t, err)
	require.ErrorIs(t, r.Err(), ErrExpired)
	b.has("alice", "EUR", 900, 100)
	b.block(alice)
	b.has("alice", "EUR", 1000, 0)
	s, err := DecodeStatement(b.query(StatementQuery(StatementPage{Account: "alice", Asset: "EUR", Number: 5})))
	require.NoError(t, err)
	require.Equal(t, Entry{Kind: EntryExpiry, Height: b.height - 1, Time: end, With: "bob", Ref: "a", Balance: 100, Held: -100, BalanceThen: 700, HeldThen: 300}, s.Entries[0])
}

// The payer may end an expired hold that was not cleared away yet.
func TestPayerReleasesExpiredHold(t *testing.T) {
	b := town(t)
	end := b.now + 100*second
	for _, ref := range []string{"a", "b", "c", "d"} {
		b.ok(alice, &PlaceHold{From: "alice", Reference: ref, Asset: "EUR", To: "bob", Amount: 100, Expires: end})
	}
	b.now = end - second
	r, err := DecodeResult(b.block(alice, Do(&Release{"alice", "d"}))[0])
	require.NoError(t, err)
	require.NoError(t, r.Err())
	b.has("alice", "EUR", 1000, 0)
}

func TestRegistrars(t *testing.T) {
	b := newBooks(t, func(c *Config) {
		c.Genesis = &Genesis{Registrars: []crypto.PublicKey{bank.public(), carol.public()}}
	})
	b.no(ErrUnauthorized, alice, NewAccount("alice", 1, alice.public()))
	b.ok(bank, NewAccount("alice", 1, alice.public()))
	tx := &Transaction{Expires: b.now + 100*second, Actions: []Action{NewAccount("bob", 1, bob.public())}}
	b.refused(ErrForeignSignature, mallory, Submit(tx, tx.Sign(thisCluster, alice.signer)))
	require.NoError(t, b.do(mallory, Submit(tx, tx.Sign(thisCluster, carol.signer))).Err())
}

func TestLimitsAreChecked(t *testing.T) {
	require.NoError(t, DefaultLimits().Validate())
	l := DefaultLimits()
	l.MaxHops = 0
	require.ErrorIs(t, l.Validate(), ErrLimits)
	require.ErrorContains(t, l.Validate(), "MaxHops is 0: set 1 to 64")
	l = DefaultLimits()
	l.MaxLife = time.Second
	require.ErrorContains(t, l.Validate(), "MaxLife is 1s")

	b := town(t, func(c *Config) { c.Limits.MaxActions, c.Limits.MaxSignatures, c.Limits.MaxHops = 4, 1, 2 })
	one := &Advance{"alice"}
	b.ok(alice, one, one, one, one)
	require.Equal(t, statemachine.CodeTooLarge, b.do(alice, Do(one, one, one, one, one)).Code)
	require.Equal(t, statemachine.CodeTooLarge, b.do(alice, Do(&Pay{From: "alice", To: "bob", Source: "EUR", Asset: "EUR", Path: []Hop{{"bank", "EUR"}, {"carol", "EUR"}}})).Code)
	tx := swap(b)
	require.Equal(t, statemachine.CodeTooLarge, b.do(alice, Submit(tx, tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer))).Code)
}

// The signatures of a block are checked together, and each counts for itself.
func TestSignaturesOfABlock(t *testing.T) {
	b := town(t)
	ops := make([][]byte, 6)
	for i := range ops {
		tx := swap(b)
		tx.Memo = string(rune('a' + i))
		a, o := tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer)
		switch i {
		case 2:
			o.Sig[7] ^= 1
		case 3:
			a.Sig = o.Sig
		case 5:
			copy(ops[:], [][]byte{Submit(tx, a, o)}) // twice the same, at the ends
		}
		ops[i] = Submit(tx, a, o)
	}
	var codes []statemachine.ResultCode
	for _, r := range b.block(mallory, ops...) {
		codes = append(codes, r.Code)
	}
	require.Equal(t, []statemachine.ResultCode{0, 0, CodeBadSignature, CodeBadSignature, 0, CodeReplayed}, codes)
	b.has("alice", "BOND", 6, 0)
}

// A transaction runs once, whether it is signed, approved, or both in either order.
func TestSignedAndApprovedRunsOnce(t *testing.T) {
	b := town(t)
	b.ok(mallory, NewAccount("board", 2, alice.public(), bob.public()))
	b.ok(alice, &Transfer{"EUR", "alice", "board", 500})
	tx := func(n uint64) *Transaction {
		return &Transaction{Expires: b.now + 100*second, Actions: []Action{&Transfer{"EUR", "board", "dave", n}}}
	}
	one := tx(1)
	require.True(t, b.do(alice, Propose(one)).Pending)
	require.False(t, b.do(bob, Approve(one.Digest())).Pending)
	b.refused(ErrReplayed, mallory, Submit(one, one.Sign(thisCluster, alice.signer), one.Sign(thisCluster, bob.signer)))
	b.refused(ErrReplayed, alice, Propose(one))
	b.has("dave", "EUR", 1, 0)

	two := tx(2)
	require.True(t, b.do(alice, Propose(two)).Pending)
	require.NoError(t, b.do(mallory, Submit(two, two.Sign(thisCluster, alice.signer), two.Sign(thisCluster, bob.signer))).Err())
	b.refused(ErrReplayed, bob, Approve(two.Digest()))
	b.has("dave", "EUR", 3, 0)

	b.now = two.Expires + 10*second
	b.refused(ErrExpired, mallory, Submit(two, two.Sign(thisCluster, alice.signer), two.Sign(thisCluster, bob.signer)))
}

// Approvals of keys that an account has no more are dropped: however often its keys
// change, a proposal can be read, and expires like any other.
func TestApprovalsOfFormerKeys(t *testing.T) {
	b := town(t)
	b.ok(mallory, NewAccount("board", 2, alice.public(), bob.public()))
	tx := &Transaction{Expires: b.now + 100*second, Actions: []Action{
		&Transfer{"EUR", "board", "dave", 1}, &Transfer{"EUR", "carol", "dave", 1},
	}}
	require.True(t, b.do(alice, Propose(tx)).Pending)
	keys := NewAccount("board", 1, dave.public())
	set := &Transaction{Expires: b.now + 100*second, Actions: []Action{&SetKeys{"board", keys.Keys, 1}}}
	require.NoError(t, b.do(alice, Submit(set, set.Sign(thisCluster, bob.signer))).Err())
	require.True(t, b.do(dave, Approve(tx.Digest())).Pending)
	v, _ := b.view().Get(ProposalKey(tx.Digest()))
	p, err := DecodeProposal(v)
	require.NoError(t, err)
	require.Equal(t, []crypto.PublicKey{dave.public()}, p.Approvals)
}

// countingVerifier counts the signatures that it checks.
type countingVerifier struct {
	crypto.RequestVerifier
	checked int
}

func (c *countingVerifier) VerifyBatch(items []crypto.Item) []bool {
	c.checked += len(items)
	return c.RequestVerifier.VerifyBatch(items)
}

// Who has a say is asked before any signature is checked, also at the beginning of a block.
func TestSignaturesAreCheckedLast(t *testing.T) {
	v := &countingVerifier{RequestVerifier: ed25519.NewVerifier(16)}
	b := town(t, func(c *Config) { c.Verifier = v })
	rubbish := make([]Signature, 64)
	for i := range rubbish {
		rubbish[i].Key = crypto.PublicKey{1, byte(i)}
	}
	tx := swap(b)
	lonely := Submit(tx, tx.Sign(thisCluster, alice.signer))
	for _, r := range b.block(mallory, Submit(tx, rubbish...), lonely, Submit(tx, rubbish...)) {
		require.Contains(t, []statemachine.ResultCode{CodeForeignSignature, CodeUnauthorized}, r.Code)
	}
	require.Zero(t, v.checked)
	good := Submit(tx, tx.Sign(thisCluster, alice.signer), tx.Sign(thisCluster, bob.signer))
	b.block(mallory, lonely, good, good)
	require.Equal(t, 4, v.checked)
	b.has("alice", "BOND", 2, 0)
}

// Rubbish in the names of parties costs one signature for each operation.
func TestForgedSignaturesCostOne(t *testing.T) {
	v := &countingVerifier{RequestVerifier: ed25519.NewVerifier(16)}
	b := town(t, func(c *Config) { c.Verifier = v })
	var keys []crypto.PublicKey
	var rubbish []Signature
	for n := range uint64(16) {
		keys = append(keys, newPerson(100+n).public())
		rubbish = append(rubbish, Signature{Key: keys[n]})
	}
	b.ok(mallory, NewAccount("board", 16, keys...))
	tx := &Transaction{Expires: b.now + 1000*second, Actions: []Action{&Transfer{From: "board", To: "alice", Asset: "EUR", Amount: 1}}}
	op := Submit(tx, rubbish...)
	for _, r := range b.block(mallory, op, op, op) {
		require.Equal(t, CodeBadSignature, r.Code)
	}
	require.Equal(t, 3, v.checked)
}

// reads counts what is read of a state.
type reads struct {
	store.Txn
	n int
}

func (r *reads) Get(key []byte) ([]byte, bool) { r.n++; return r.Txn.Get(key) }

// Whose signatures count is looked up once for a transaction, and not for each of them.
func TestPartiesAreLookedUpOnce(t *testing.T) {
	b := town(t)
	var keys []crypto.PublicKey
	for n := range uint64(16) {
		keys = append(keys, newPerson(100+n).public())
	}
	b.ok(mallory, NewAccount("board", 16, keys...))
	tx := Transaction{Expires: b.now + 1000*second}
	for range 63 {
		tx.Actions = append(tx.Actions, &Transfer{From: "alice", To: "bob", Asset: "EUR", Amount: 1})
	}
	tx.Actions = append(tx.Actions, &Transfer{From: "board", To: "bob", Asset: "EUR", Amount: 1})
	op := operation{kind: opSubmit, tx: tx}
	for _, k := range keys {
		op.signatures = append(op.signatures, Signature{Key: k})
	}
	h, err := NewHandler(Config{Limits: smallLimits(), Cluster: thisCluster})
	require.NoError(t, err)
	in := &reads{Txn: b.m.Store().Block()}
	x := exec{l: h, t: in, now: b.now, client: alice.public(), authority: []crypto.PublicKey{alice.public()}}
	_, err = x.entitled(&op)
	require.NoError(t, err)
	require.Less(t, in.n, 3*64)
}
