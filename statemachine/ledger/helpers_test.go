package ledger

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// person holds a key.
type person struct {
	key    *ed25519.PrivateKey
	signer *ed25519.Signer
}

func (p *person) public() crypto.PublicKey { return p.key.Public() }

func newPerson(n uint64) *person {
	var seed [ed25519.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], n)
	k := ed25519.NewKeyFromSeed(seed)
	return &person{k, ed25519.NewSigner(k)}
}

var (
	alice, bob, carol, dave, bank, mallory = newPerson(1), newPerson(2), newPerson(3), newPerson(4), newPerson(5), newPerson(6)
	thisCluster                            = crypto.Hash("test", []byte("this"))
)

const second = statemachine.Time(time.Second)

// books are a ledger in a test. After each block they are audited; what is rejected
// must have changed nothing.
type books struct {
	t      testing.TB
	m      *store.Machine
	height uint64
	now    statemachine.Time
	seq    uint64
}

func smallLimits() Limits {
	l := DefaultLimits()
	l.MaxExpiries, l.MaxHolds, l.MaxOffers, l.MaxLines, l.MaxProposals, l.MaxRange = 3, 4, 4, 4, 3, 5
	return l
}

func newBooks(t testing.TB, edit ...func(*Config)) *books {
	cfg := Config{Limits: smallLimits(), Cluster: thisCluster, CheckBlocks: true}
	for _, f := range edit {
		f(&cfg)
	}
	b := &books{t: t, m: open(t, cfg), now: 1000 * second}
	t.Cleanup(func() { b.audit() })
	return b
}

func open(t testing.TB, cfg Config) *store.Machine {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	m, err := New(s, cfg)
	require.NoError(t, err)
	return m
}

func (b *books) view() *store.View {
	v, err := b.m.Store().Last()
	require.NoError(b.t, err)
	return v
}

func (b *books) audit() { require.NoError(b.t, Audit(b.view())) }

// block runs operations of a client in a block.
func (b *books) block(client *person, ops ...[]byte) []statemachine.Result {
	b.t.Helper()
	b.height++
	b.now += second
	in := statemachine.Block{Height: b.height, Time: b.now}
	for _, op := range ops {
		b.seq++
		in.Ops = append(in.Ops, statemachine.Op{Client: client.public(), Seq: b.seq, Data: op})
	}
	return b.m.Apply(in)
}

// do runs one operation in a block of its own.
func (b *books) do(client *person, op []byte) Result {
	b.t.Helper()
	before := b.m.Digest()
	for { // what expires, expires here
		b.block(client)
		now := b.m.Digest()
		if now == before {
			break
		}
		before = now
	}
	r, err := DecodeResult(b.block(client, op)[0])
	require.NoError(b.t, err)
	if r.Code != statemachine.CodeOK {
		require.Equal(b.t, before, b.m.Digest(), "a rejected operation changed something: %v", r.Err())
	}
	return r
}

func (b *books) ok(client *person, actions ...Action) Result {
	b.t.Helper()
	r := b.do(client, Do(actions...))
	require.NoError(b.t, r.Err())
	return r
}

func (b *books) no(want error, client *person, actions ...Action) *Rejection {
	b.t.Helper()
	return b.refused(want, client, Do(actions...))
}

func (b *books) refused(want error, client *person, op []byte) *Rejection {
	b.t.Helper()
	r := b.do(client, op)
	require.ErrorIs(b.t, r.Err(), want)
	return r.Rejection
}

func (b *books) has(account, asset string, balance, held uint64) {
	b.t.Helper()
	h := b.holding(account, asset)
	require.Equal(b.t, []uint64{balance, held}, []uint64{h.Balance, h.Held}, "%s %s", account, asset)
}

func (b *books) holding(account, asset string) (h Holding) {
	if v, ok := b.view().Get(HoldingKey(account, asset)); ok {
		mustDecode(v, &h)
	}
	return h
}

func (b *books) account(name string) Account {
	v, ok := b.view().Get(AccountKey(name))
	require.True(b.t, ok, name)
	a, err := DecodeAccount(v)
	require.NoError(b.t, err)
	return a
}

func (b *books) query(q []byte) []byte {
	b.t.Helper()
	a, err := b.m.Query(context.Background(), q)
	require.NoError(b.t, err)
	return a
}

// town has accounts for everybody, and EUR and BOND of the bank.
func town(t testing.TB, edit ...func(*Config)) *books {
	b := newBooks(t, edit...)
	for name, p := range map[string]*person{"alice": alice, "bob": bob, "carol": carol, "dave": dave, "bank": bank} {
		b.ok(mallory, NewAccount(name, 1, p.public()))
	}
	b.ok(bank,
		&DefineAsset{Asset: "EUR", Issuer: "bank", Decimals: 2, Rules: RuleFreezable | RuleClawback},
		&DefineAsset{Asset: "BOND", Issuer: "bank", MaxSupply: 100, Rules: RuleFixed},
		&Issue{Asset: "EUR", To: "alice", Amount: 1000}, &Issue{Asset: "BOND", To: "bob", Amount: 10})
	return b
}
