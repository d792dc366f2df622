package access

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/statetest"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

var chain = crypto.Digest{4, 2}

func person(n byte) *ed25519.Signer {
	return ed25519.NewSigner(ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{n}))
}

var (
	ann, bob, cem = person(1), person(2), person(3) // administrators, two of them
	dora, emil    = person(4), person(5)
	strangers     = []*ed25519.Signer{person(6), person(7)}
)

// pad is an application: "set-KEY=VALUE" and "get-KEY"; '!' panics, '?' rejects after a
// write, '$' rejects and keeps what it wrote.
type pad struct{ begun, ended int }

const codeNo = statemachine.CodeApplication

func (p *pad) Found(t store.Txn)                             { t.Set([]byte("founded"), nil) }
func (p *pad) BeginBlock(t store.Txn, _ *statemachine.Block) { p.begun++ }
func (p *pad) EndBlock(t store.Txn, _ *statemachine.Block)   { p.ended++ }

func (p *pad) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	s := string(op.Data)
	if key, ok := strings.CutPrefix(s, "get-"); ok {
		v, _ := t.Get([]byte("k" + key))
		return statemachine.OK(v)
	}
	key, value, ok := strings.Cut(strings.TrimPrefix(s, "set-"), "=")
	if !ok {
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	}
	t.Set([]byte("k"+key), []byte(value))
	switch value {
	case "!":
		panic("half way")
	case "?":
		return statemachine.Reject(codeNo, nil)
	case "$":
		t.Commit()
		return statemachine.Reject(codeNo, nil)
	}
	return statemachine.OK(nil)
}

func (p *pad) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	v, _ := r.Get([]byte("k" + strings.TrimPrefix(string(q), "get-")))
	return append([]byte("value "), v...), nil
}

func classify(data []byte) (string, bool) {
	for _, kind := range []string{"get-", "set-"} {
		if strings.HasPrefix(string(data), kind) {
			name, _, _ := strings.Cut(string(data), "=")
			return name, kind == "get-"
		}
	}
	return "", false
}

type world struct {
	t      require.TestingT
	m      *Machine
	pad    *pad
	height uint64
	now    statemachine.Time
}

func newWorld(t require.TestingT, p Policy) *world {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(t, err)
	app := new(pad)
	h, err := Wrap(app, classify, chain, p)
	require.NoError(t, err)
	m, err := NewMachine(s, h)
	require.NoError(t, err)
	return &world{t: t, m: m, pad: app, now: 1_700_000_000_000_000_000}
}

func policy(mode Mode) Policy {
	return Policy{
		Mode: mode, Administrators: signed.Of(2, ann.Public(), bob.Public(), cem.Public()),
		Roles: []Role{
			{Name: "clerk", Submit: []string{"set-*", "get-*"}, Read: []string{"get-*"}, Quota: Quota{Operations: 3, Seconds: 60}},
			{Name: "reader", Read: []string{"get-a", "access/*", KindProof}},
		},
		Members: []Member{{Key: dora.Public(), Name: "Dora", Roles: []string{"clerk"}}, {Key: emil.Public(), Roles: []string{"reader"}}},
	}
}

func (w *world) submit(by *ed25519.Signer, data []byte) statemachine.Result {
	w.height++
	res := w.m.Apply(statemachine.Block{Height: w.height, Time: w.now, Ops: []statemachine.Op{{Client: by.Public(), Data: data}}})
	return res[0]
}

// app submits an operation of the application and returns the rule that refused it.
func (w *world) app(by *ed25519.Signer, op string) Rule {
	res := w.submit(by, []byte(op))
	if r := RefusalOf(res); r != nil {
		require.NotEmpty(w.t, r.Detail)
		return r.Rule
	}
	require.NotEqual(w.t, CodeRefused, res.Code)
	return 0
}

func (w *world) query(by *ed25519.Signer, q []byte) (string, error) {
	b, err := w.m.Query(statemachine.WithCaller(context.Background(), by.Public()), q)
	return string(b), err
}

func (w *world) own(by *ed25519.Signer, data []byte) *Result {
	r, err := DecodeResult(w.submit(by, data))
	require.NoError(w.t, err)
	return r
}

func (w *world) do(by *ed25519.Signer, o Operation) *Result {
	r := w.own(by, Encode(o))
	require.NoError(w.t, r.Err())
	return r
}

// change makes a change with two administrators' signatures.
func (w *world) change(g Change) *Result {
	return w.own(ann, w.sign(&Propose{g}, ann, bob))
}

func (w *world) sign(o Operation, by ...*ed25519.Signer) []byte {
	e := signed.Envelope{Deadline: w.now + statemachine.Time(time.Minute), Op: Encode(o)}
	for _, s := range by {
		require.NoError(w.t, e.Sign(Space(chain), s))
	}
	return EncodeSigned(&e)
}

func refusedBy(t require.TestingT, rule Rule, err error) {
	var r *Refusal
	require.ErrorAs(t, err, &r)
	require.ErrorIs(t, err, ErrRefused)
	require.Equal(t, rule, r.Rule, r.Detail)
}

func TestModes(t *testing.T) {
	for mode, want := range map[Mode]struct{ submit, read Rule }{
		Open: {}, Consortium: {submit: RuleConsortium}, Private: {RulePrivate, RulePrivate},
	} {
		w := newWorld(t, policy(mode))
		require.Equal(t, want.submit, w.app(strangers[0], "set-a=1"), mode)
		require.Equal(t, want.read, w.app(strangers[0], "get-a"), mode)
		_, err := w.query(strangers[0], []byte("get-a"))
		_, errOwn := w.query(strangers[0], Encode(&GetPolicy{}))
		_, errNobody := w.m.Query(t.Context(), []byte("get-a"))
		proof := store.ProofQuery(w.height, []byte("x"))
		_, errProof := w.query(strangers[0], proof)
		_, errProofAt := w.m.QueryAt(statemachine.WithCaller(t.Context(), strangers[0].Public()), w.height, proof)
		_, errProofNobody := w.m.QueryAt(t.Context(), w.height, proof)
		if want.read == 0 {
			require.NoError(t, err)
			require.NoError(t, errOwn)
			require.NoError(t, errNobody)
			for _, err := range []error{errProof, errProofAt, errProofNobody} {
				require.ErrorIs(t, err, store.ErrNoProof)
			}
		} else {
			for _, err := range []error{err, errOwn, errNobody, errProof, errProofAt, errProofNobody} {
				refusedBy(t, RulePrivate, err)
			}
		}
		// Members may what their roles say.
		require.Zero(t, w.app(dora, "set-a=2"))
		_, err = w.query(dora, []byte("get-b"))
		require.NoError(t, err)
		rule := w.app(emil, "set-a=3")
		_, err = w.query(emil, []byte("get-b"))
		switch mode {
		case Open:
			require.Zero(t, rule)
			require.NoError(t, err)
		case Consortium:
			require.Equal(t, RuleRoles, rule)
			require.NoError(t, err)
		case Private:
			require.Equal(t, RuleRoles, rule)
			refusedBy(t, RuleRoles, err)
			answer, err := w.query(emil, []byte("get-a"))
			require.NoError(t, err)
			require.Equal(t, "value 2", answer)
			proof := store.ProofQuery(w.height, []byte("x"))
			_, err = w.query(emil, proof)
			require.ErrorIs(t, err, store.ErrNoProof)
			_, err = w.m.QueryAt(statemachine.WithCaller(t.Context(), emil.Public()), w.height, proof)
			require.ErrorIs(t, err, store.ErrNoProof)
			_, err = w.m.QueryAt(statemachine.WithCaller(t.Context(), dora.Public()), w.height, proof)
			refusedBy(t, RuleRoles, err)
			_, err = w.query(emil, Encode(&ListAudit{}))
			require.NoError(t, err)
			_, err = w.query(dora, Encode(&ListAudit{}))
			refusedBy(t, RuleRoles, err)
		}
		// What is no operation needs the right to anything.
		require.Equal(t, mode == Open, w.app(dora, "nonsense") == 0)
		// Administrators see the policy, and nothing else.
		_, err = w.query(ann, Encode(&ListRefusals{}))
		require.NoError(t, err)
		_, err = w.query(ann, []byte("get-a"))
		require.Equal(t, mode != Private, err == nil)
		_, err = w.query(ann, Encode(&Propose{}))
		require.ErrorIs(t, err, ErrQuery)
		require.Equal(t, int(w.height), w.pad.begun)
		require.Equal(t, w.pad.begun, w.pad.ended)
	}
}

// Earlier states are read by the policy as it is now.
func TestEarlierStates(t *testing.T) {
	w := newWorld(t, policy(Private))
	w.app(dora, "set-a=1")
	before := w.height
	at := func(by *ed25519.Signer, q []byte) (string, error) {
		b, err := w.m.QueryAt(statemachine.WithCaller(t.Context(), by.Public()), before, q)
		return string(b), err
	}
	answer, err := at(dora, []byte("get-a"))
	require.NoError(t, err)
	require.Equal(t, "value 1", answer)
	for _, q := range [][]byte{[]byte("get-a"), Encode(&ListAudit{}), store.ProofQuery(before, []byte("x"))} {
		_, err = at(strangers[0], q)
		refusedBy(t, RulePrivate, err)
	}
	w.app(dora, "set-a=2")
	require.NoError(t, w.change(Change{
		SetMembers: []Member{{Key: dora.Public(), Suspended: true}, {Key: strangers[0].Public(), Roles: []string{"clerk"}}},
	}).Err())
	_, err = at(dora, []byte("get-a"))
	refusedBy(t, RuleSuspended, err)
	answer, err = at(strangers[0], []byte("get-a"))
	require.NoError(t, err)
	require.Equal(t, "value 1", answer)
	_, err = at(strangers[0], store.ProofQuery(before, []byte("x")))
	refusedBy(t, RuleRoles, err)
}

// A watch shows everything that changes: it takes the right to that, whatever else a role
// may read, and as the policy is with each answer.
func TestWatching(t *testing.T) {
	p := policy(Private)
	p.Roles = append(p.Roles, Role{Name: "auditor", Read: []string{KindWatch}})
	p.Members = append(p.Members, Member{Key: strangers[1].Public(), Roles: []string{"auditor"}})
	w := newWorld(t, p)
	w.app(dora, "set-a=1")
	queries := [][]byte{
		(&store.LinksQuery{After: feed.Beginning(), Until: w.height}).Encode(), (&store.LinksQuery{Until: w.height}).Encode(),
		(&store.PiecesQuery{Height: w.height, Until: w.height}).Encode(),
	}
	for _, q := range queries {
		for by, why := range map[*ed25519.Signer]Rule{dora: RuleRoles, emil: RuleRoles, strangers[0]: RulePrivate, strangers[1]: 0} {
			_, err := w.query(by, q)
			_, errAt := w.m.QueryAt(statemachine.WithCaller(t.Context(), by.Public()), w.height, q)
			for _, err := range []error{err, errAt} {
				if why == 0 {
					require.NoError(t, err)
				} else {
					refusedBy(t, why, err)
				}
			}
		}
		_, err := w.m.Query(t.Context(), q)
		refusedBy(t, RulePrivate, err)
	}
	_, err := w.query(strangers[1], store.ProofQuery(w.height, []byte("x")))
	refusedBy(t, RuleRoles, err)
	require.NoError(t, w.change(Change{SetMembers: []Member{{Key: strangers[1].Public(), Roles: []string{"auditor"}, Suspended: true}}}).Err())
	_, err = w.query(strangers[1], queries[0])
	refusedBy(t, RuleSuspended, err)

	// Where everybody may read, everybody may watch.
	w = newWorld(t, policy(Consortium))
	_, err = w.query(strangers[0], queries[1])
	require.NoError(t, err)
}

// What a store's machine can do beside the policy must be known here: a new way to read
// needs a decision in Machine.
func TestEveryWayToReadIsKnown(t *testing.T) {
	var names []string
	for typ, i := reflect.TypeFor[*store.Machine](), 0; i < typ.NumMethod(); i++ {
		names = append(names, typ.Method(i).Name)
	}
	// The parts of the state, as other replicas see them, are no client's to ask for.
	forReplicas := []string{"CompareState", "Rerun", "ServeState", "SyncState"}
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(forReplicas, name) })
	require.Equal(t, []string{"Apply", "Close", "Digest", "KeepsSnapshots", "MendState", "OnDamage", "Query", "QueryAt", "ReleaseSnapshots", "Restore", "Restored", "Retain", "ScrubState", "Snapshot", "Store"}, names)
}

// A refusal is counted, and changes nothing else.
func TestRefusalsAreCounted(t *testing.T) {
	w := newWorld(t, policy(Consortium))
	w.app(strangers[0], "set-a=1")
	w.app(strangers[1], "set-b=1")
	w.app(emil, "set-c=1")
	w.now += 5
	w.app(emil, "set-d=1")
	require.Empty(t, w.submit(dora, []byte("get-a")).Data)
	all := w.do(ann, &ListRefusals{}).Refusals
	require.Equal(t, []RefusalCount{
		{Rule: RuleConsortium, Count: 2, Last: w.now - 5, What: "set-b"},
		{Client: emil.Public(), Rule: RuleRoles, Count: 2, Last: w.now, What: "set-d"},
	}, all)
	one := w.do(ann, &ListRefusals{Limit: 1})
	require.True(t, one.More)
	require.Equal(t, all[1:], w.do(ann, &ListRefusals{AfterClient: one.Refusals[0].Client, AfterRule: one.Refusals[0].Rule}).Refusals)
	// What is left of a member whose key was stolen: suspended it keeps its refusals, removed
	// it does not; the trail has both, with their times.
	suspended := Member{Key: emil.Public(), Roles: []string{"reader"}, Suspended: true}
	require.NoError(t, w.change(Change{SetMembers: []Member{suspended}, Reason: "key stolen"}).Err())
	require.Equal(t, all, w.do(ann, &ListRefusals{}).Refusals)
	w.now += 5
	require.Equal(t, RuleSuspended, w.app(emil, "get-a"))
	require.NoError(t, w.change(Change{RemoveMembers: []crypto.PublicKey{emil.Public()}}).Err())
	require.Len(t, w.do(ann, &ListRefusals{}).Refusals, 1)
	trail := w.do(ann, &ListAudit{}).Audit
	require.Len(t, trail, 2)
	require.Equal(t, "key stolen", trail[0].Change.Reason)
	require.Equal(t, w.now, trail[1].Time)
	require.Equal(t, w.now-5, trail[0].Time)
}

func TestQuotas(t *testing.T) {
	p := policy(Open)
	p.Strangers = Quota{Bytes: 20, Seconds: 10}
	w := newWorld(t, p)
	for range 3 {
		require.Zero(t, w.app(dora, "set-a=?"), "what the application rejects counts")
	}
	v := w.do(ann, &GetMember{dora.Public()}).Member
	require.Equal(t, Quota{3, 21, 60}, v.Used)
	require.Equal(t, RuleOperations, w.app(dora, "set-a=1"))
	require.Equal(t, RuleOperations, w.app(dora, "get-a"))
	require.Zero(t, w.app(emil, "set-a=1"), "a role without a quota")
	w.now += statemachine.Time(60 * time.Second)
	require.Zero(t, w.app(dora, "set-a=1"))

	require.Zero(t, w.app(strangers[0], "set-a=1234567"))
	require.Equal(t, RuleBytes, w.app(strangers[0], "set-a=12"))
	require.Zero(t, w.app(strangers[0], "set-a=1"))
	require.Zero(t, w.app(strangers[1], "set-a=12"), "each by itself")
	w.now += statemachine.Time(10 * time.Second)
	require.Zero(t, w.app(strangers[0], "set-a=12"))

	// What is about access counts too, and if it is rejected.
	w.now += statemachine.Time(time.Hour)
	for _, op := range [][]byte{magic, w.sign(&GetPolicy{}), append(EncodeSigned(&signed.Envelope{}), 0)} {
		require.ErrorIs(t, w.own(dora, op).Err(), ErrMalformed)
	}
	require.ErrorIs(t, w.own(dora, magic).Err(), ErrRefused)
	require.Equal(t, RuleOperations, w.app(dora, "set-a=1"))

	// The most generous role counts; windows that are over are forgotten.
	require.NoError(t, w.change(Change{SetRoles: []Role{{Name: "vip", Quota: Quota{Operations: 5, Seconds: 60}}}, SetMembers: []Member{{Key: dora.Public(), Roles: []string{"clerk", "vip"}}}}).Err())
	w.now += statemachine.Time(time.Hour)
	for range 5 {
		require.Zero(t, w.app(dora, "get-a"))
	}
	require.Equal(t, RuleOperations, w.app(dora, "get-a"))
	v2, err := w.m.Store().Last()
	require.NoError(t, err)
	n := 0
	for range v2.Range([]byte("access/q/"), []byte("access/q0")) {
		n++
	}
	require.Equal(t, 1, n)
	for _, c := range []struct {
		q, p  Quota
		above bool
	}{
		{Quota{}, Quota{1, 0, 1}, true}, {Quota{1, 0, 1}, Quota{}, false}, {Quota{2, 0, 2}, Quota{1, 0, 1}, false}, {Quota{3, 0, 2}, Quota{1, 0, 1}, true},
		{Quota{1, 2, 1}, Quota{1, 1, 1}, true}, {Quota{}, Quota{}, false}, {Quota{1 << 63, 0, 1}, Quota{1 << 63, 0, 2}, true},
	} {
		require.Equal(t, c.above, c.q.above(c.p), "%v %v", c.q, c.p)
	}
}

func TestChanges(t *testing.T) {
	w := newWorld(t, policy(Private))
	g := Change{Mode: Open, Reason: "for the fair"}
	require.ErrorIs(t, w.own(strangers[0], Encode(&Propose{g})).Err(), ErrRefused)
	require.ErrorIs(t, w.own(dora, Encode(&Propose{g})).Err(), ErrRefused)

	// Proposed by one, approved by another.
	p := w.do(ann, &Propose{g})
	require.EqualValues(t, 1, p.Number)
	require.False(t, p.Effective)
	require.ErrorIs(t, w.own(dora, Encode(&Approve{1, g.Digest()})).Err(), ErrRefused)
	require.ErrorIs(t, w.own(bob, Encode(&Approve{2, g.Digest()})).Err(), ErrNotFound)
	require.ErrorIs(t, w.own(bob, Encode(&Approve{1, crypto.Digest{1}})).Err(), ErrConflict)
	require.False(t, w.do(ann, &Approve{1, g.Digest()}).Effective, "once more by the same")
	list := w.do(ann, &ListProposals{}).Proposals
	require.Len(t, list, 1)
	require.Equal(t, g, list[0].Change)
	require.Equal(t, RulePrivate, w.app(strangers[0], "set-a=1"))
	done := w.do(bob, &Approve{1, list[0].Digest})
	require.True(t, done.Effective)
	require.Zero(t, w.app(strangers[0], "set-a=1"))
	require.ErrorIs(t, w.own(cem, Encode(&Approve{1, g.Digest()})).Err(), ErrNotFound)

	// Signed by two, delivered by anybody; once.
	op := w.sign(&Propose{Change{Mode: Consortium}}, bob, cem)
	r := w.own(strangers[0], op)
	require.True(t, r.Effective)
	require.ErrorIs(t, w.own(strangers[0], op).Err(), ErrReplayed)
	foreign := signed.Envelope{Deadline: w.now + 1, Op: Encode(&Propose{g})}
	require.NoError(t, foreign.Sign(Space(crypto.Digest{9}), ann))
	require.ErrorIs(t, w.own(ann, EncodeSigned(&foreign)).Err(), ErrBadSignature)
	late := w.sign(&Propose{g}, bob, cem)
	w.now += statemachine.Time(2 * time.Minute)
	require.ErrorIs(t, w.own(ann, late).Err(), ErrExpired)
	require.ErrorIs(t, w.own(ann, append(EncodeSigned(&signed.Envelope{}), 0)).Err(), ErrMalformed)
	require.ErrorIs(t, w.own(ann, w.sign(&GetPolicy{})[:30]).Err(), ErrMalformed)

	// The trail.
	trail := w.do(ann, &ListAudit{}).Audit
	require.Len(t, trail, 2)
	require.Equal(t, "for the fair", trail[0].Change.Reason)
	require.Equal(t, signed.Of(0, ann.Public(), bob.Public()).Keys, trail[0].By)
	require.Equal(t, signed.Of(0, cem.Public(), bob.Public()).Keys, trail[1].By)
	require.Equal(t, trail[1:], w.do(ann, &ListAudit{After: 1}).Audit)

	// Roles and members.
	require.ErrorIs(t, w.change(Change{SetMembers: []Member{{Key: person(9).Public(), Roles: []string{"chief"}}}}).Err(), ErrNotFound)
	require.ErrorIs(t, w.change(Change{RemoveMembers: []crypto.PublicKey{person(9).Public()}}).Err(), ErrNotFound)
	require.NoError(t, w.change(Change{
		SetRoles:   []Role{{Name: "chief", Submit: []string{"*"}}},
		SetMembers: []Member{{Key: person(9).Public(), Roles: []string{"chief"}}, {Key: dora.Public(), Suspended: true}},
	}).Err())
	require.Zero(t, w.app(person(9), "nonsense"))
	require.Equal(t, RuleSuspended, w.app(dora, "set-a=1"))
	_, err := w.query(dora, []byte("get-a"))
	refusedBy(t, RuleSuspended, err)
	require.NoError(t, w.change(Change{RemoveRoles: []string{"chief"}}).Err())
	require.Equal(t, RuleRoles, w.app(person(9), "set-a=1"))
	require.Empty(t, w.do(ann, &GetMember{person(9).Public()}).Member.Roles)
	require.Equal(t, []string{"reader"}, w.do(ann, &GetMember{emil.Public()}).Member.Roles)
	// A new role of the same name is nobody's yet.
	require.NoError(t, w.change(Change{SetRoles: []Role{{Name: "chief", Submit: []string{"*"}}}}).Err())
	require.Equal(t, RuleRoles, w.app(person(9), "set-a=1"))
	require.NoError(t, w.change(Change{RemoveRoles: []string{"chief"}, Reason: "again"}).Err())
	require.EqualValues(t, 3, w.do(ann, &GetPolicy{}).Info.Members)
	require.NoError(t, w.change(Change{SetStrangers: true, Strangers: Quota{Operations: 1, Seconds: 1}}).Err())
	roles := w.do(ann, &ListRoles{}).Roles
	require.Equal(t, "clerk", roles[0].Name)
	require.Equal(t, roles[1:], w.do(ann, &ListRoles{After: "clerk"}).Roles)
	members := w.do(ann, &ListMembers{Limit: 1})
	require.True(t, members.More)
	require.Len(t, w.do(ann, &ListMembers{After: members.Members[0].Key}).Members, 2)

	// Who may what, asked beforehand.
	require.Nil(t, w.do(ann, &Check{emil.Public(), "get-a", true}).Refusal)
	require.Equal(t, RuleRoles, w.do(ann, &Check{emil.Public(), "set-a", false}).Refusal.Rule)

	// Nonsense.
	for _, bad := range []Change{
		{Mode: 9}, {Administrators: signed.Threshold{M: 3, Keys: trail[0].By}}, {Strangers: Quota{Operations: 1}}, {SetStrangers: true, Strangers: Quota{Operations: 1}},
		{SetRoles: []Role{{Name: "A"}}}, {SetRoles: []Role{{Name: "a", Submit: []string{"a*b"}}}}, {SetRoles: []Role{{Name: "a", Quota: Quota{Bytes: 1}}}},
		{SetMembers: []Member{{}}}, {SetMembers: []Member{{Key: ann.Public(), Roles: []string{""}}}},
	} {
		require.ErrorIs(t, w.own(ann, Encode(&Propose{bad})).Err(), ErrInvalid, "%+v", bad)
	}
	many := Change{}
	for i := range 250 {
		many.SetRoles = append(many.SetRoles, Role{Name: fmt.Sprint("r", i), Submit: []string{strings.Repeat("a", 60), strings.Repeat("b", 60), strings.Repeat("c", 60), strings.Repeat("d", 60), strings.Repeat("e", 60)}})
	}
	require.ErrorIs(t, w.own(ann, Encode(&Propose{many})).Err(), ErrInvalid)

	// New administrators: what waits for the old ones is void.
	open := w.do(ann, &Propose{Change{Mode: Private}})
	require.NoError(t, w.change(Change{Administrators: signed.Of(1, cem.Public(), dora.Public())}).Err())
	require.ErrorIs(t, w.own(cem, Encode(&Approve{open.Number, (&Change{Mode: Private}).Digest()})).Err(), ErrExpired)
	require.ErrorIs(t, w.own(ann, Encode(&Propose{g})).Err(), ErrRefused)
	require.True(t, w.do(cem, &Propose{g}).Effective)
}

// A read in an envelope would go past the policy, and every envelope that succeeds is
// remembered.
func TestEnvelopesDoNotRead(t *testing.T) {
	reads := []Operation{
		&GetPolicy{}, &GetMember{dora.Public()}, &ListMembers{}, &ListRoles{}, &ListProposals{}, &ListAudit{}, &ListRefusals{}, &Check{dora.Public(), "set-a", false},
	}
	for _, mode := range []Mode{Open, Consortium, Private} {
		w := newWorld(t, policy(mode))
		for _, by := range []*ed25519.Signer{strangers[0], dora, emil, ann} {
			for _, o := range reads {
				w.now += statemachine.Time(time.Minute) // new quotas
				require.ErrorIs(t, w.own(by, w.sign(o)).Err(), ErrMalformed, "%v: %v", mode, o.Kind())
				require.ErrorIs(t, w.own(by, w.sign(o, ann, bob)).Err(), ErrMalformed, "%v: %v", mode, o.Kind())
			}
		}
		v, err := w.m.Store().Last()
		require.NoError(t, err)
		for key := range v.Range([]byte("access/signed/"), []byte("access/signed0")) {
			t.Errorf("%v: %q is remembered", mode, key)
		}
	}
}

// Whoever only says that administrators have signed is told nothing that they alone may read,
// and has nothing done that takes a walk over members and proposals.
func TestForgedEnvelopesTellNothing(t *testing.T) {
	w := newWorld(t, policy(Private))
	g := Change{Mode: Open}
	p := w.do(ann, &Propose{g})
	for _, by := range [][]*ed25519.Signer{{ann}, {ann, bob}} {
		said := make(map[string]bool)
		for _, o := range []Operation{
			&Propose{g}, &Propose{Change{Mode: 9}}, &Propose{Change{RemoveRoles: []string{"clerk"}}},
			&Propose{Change{RemoveMembers: []crypto.PublicKey{dora.Public()}}}, &Propose{Change{RemoveMembers: []crypto.PublicKey{person(9).Public()}}},
			&Propose{Change{SetMembers: []Member{{Key: person(9).Public(), Roles: []string{"chief"}}}}},
			&Approve{p.Number, g.Digest()}, &Approve{p.Number, crypto.Digest{1}}, &Approve{p.Number + 1, g.Digest()}, &Withdraw{p.Number}, &Withdraw{p.Number + 1},
		} {
			e := signed.Envelope{Deadline: w.now + statemachine.Time(time.Minute), Op: Encode(o)}
			for _, s := range by {
				e.Add(signed.Signature{Key: s.Public()})
			}
			r := w.own(strangers[0], EncodeSigned(&e))
			require.ErrorIs(t, r.Err(), ErrBadSignature, "%+v", o)
			said[r.Err().Error()] = true
		}
		require.Len(t, said, 1, "%v", said)
	}
	require.Len(t, w.do(ann, &ListProposals{}).Proposals, 1)
}

func TestProposalsAreBounded(t *testing.T) {
	w := newWorld(t, policy(Open))
	for i := range maxProposals {
		w.do(ann, &Propose{Change{Reason: fmt.Sprint(i)}})
	}
	require.ErrorIs(t, w.own(bob, Encode(&Propose{Change{Mode: Private}})).Err(), ErrLimit)
	require.ErrorIs(t, w.own(bob, Encode(&Withdraw{1})).Err(), ErrRefused)
	w.do(ann, &Withdraw{1})
	require.ErrorIs(t, w.own(ann, Encode(&Withdraw{1})).Err(), ErrNotFound)
	w.do(bob, &Propose{Change{Mode: Private}})
	w.now += statemachine.Time(maxLife)
	require.ErrorIs(t, w.own(bob, Encode(&Approve{2, (&Change{Reason: "1"}).Digest()})).Err(), ErrExpired)
	w.do(bob, &Propose{Change{Mode: Private}})
	require.Len(t, w.do(ann, &ListProposals{}).Proposals, 1)
}

// The application's transactions end as they do without a policy.
func TestApplicationUnderPolicy(t *testing.T) {
	w := newWorld(t, policy(Open))
	get := func() string { return string(w.submit(emil, []byte("get-a")).Data) }
	w.submit(emil, []byte("set-a=1"))
	require.Equal(t, "1", get())
	require.Equal(t, codeNo, w.submit(emil, []byte("set-a=?")).Code)
	require.Equal(t, "1", get())
	require.Equal(t, statemachine.CodePanicked, w.submit(emil, []byte("set-a=!")).Code)
	require.Equal(t, "1", get())
	require.Equal(t, codeNo, w.submit(emil, []byte("set-a=$")).Code)
	require.Equal(t, "$", get())
	v, err := w.m.Store().Last()
	require.NoError(t, err)
	_, ok := v.Get([]byte(AppPrefix + "founded"))
	require.True(t, ok)
}

func TestPolicies(t *testing.T) {
	key := ann.Public().Hex()
	good := `{"mode": "private", "administrators": {"m": 1, "keys": ["` + key + `"]}, "roles": [{"name": "r", "submit": ["*"]}], "members": [{"key": "` + key + `", "roles": ["r"]}]}`
	p, err := ParsePolicy([]byte(good))
	require.NoError(t, err)
	require.Equal(t, Private, p.Mode)
	for from, c := range map[string]struct{ to, says string }{
		`"private"`:          {`"secret"`, `mode is "secret": no mode: give open, consortium or private`},
		`"mode": "private",`: {``, "mode is missing"},
		`"m": 1`:             {`"m": 2`, "administrators: threshold is 2 of 1"},
		`["r"]`:              {`["s"]`, `members[0].roles: member ` + key + ` has role "s", which is none of the roles: give some of r`},
		`"submit"`:           {`"write"`, `unknown field "roles[0].write": correct its name or remove it; known here are: name, submit, read, quota`},
		`["*"]`:              {`["*a"]`, `roles[0]: role r: pattern "*a"`},
		`{"name": "r"`:       {`{"name": "r", "quota": {"seconds": "1m"}`, `roles[0].quota.seconds is "1m": write a whole number`},
		`"roles": [{`:        {`"Roles": [], "roles": [{`, `field "roles" is there twice`},
		`"members": [{`:      {`"members": [{"suspend": true, `, `unknown field "members[0].suspend"`},
		`]}]}`:               {`]}]} {}`, "more than one value"},
		`["r"]}`:             {`["r"]`, "line 1, column "},
	} {
		require.Contains(t, good, from)
		_, err := ParsePolicy([]byte(strings.Replace(good, from, c.to, 1)))
		require.ErrorIs(t, err, ErrPolicy)
		require.ErrorContains(t, err, c.says)
	}
	require.Equal(t, "suspended", RuleSuspended.String())
	require.True(t, permits([]string{"a", "b-*"}, "b-c"))
	require.False(t, permits([]string{"a", "b-*"}, "ab"))
}

// TestAgainstModel: members, roles and modes come and go, and who may what follows from
// the policy as a plain value.
func TestAgainstModel(t *testing.T) {
	people := []*ed25519.Signer{dora, emil, strangers[0], strangers[1]}
	patterns := []string{"set-a", "set-*", "get-*", "*", "get-b"}
	rapid.Check(t, func(rt *rapid.T) {
		p := Policy{Mode: Open, Administrators: signed.Of(1, ann.Public())}
		w := newWorld(rt, p)
		roles, members := map[string]Role{}, map[crypto.PublicKey]Member{}
		mode := Open
		may := func(k crypto.PublicKey, kind string, read bool) Rule {
			m, ok := members[k]
			switch {
			case ok && m.Suspended:
				return RuleSuspended
			case mode == Open || mode == Consortium && read:
				return 0
			case !ok && mode == Consortium:
				return RuleConsortium
			case !ok:
				return RulePrivate
			}
			for _, name := range m.Roles {
				list := roles[name].Submit
				if read {
					list = roles[name].Read
				}
				for _, p := range list {
					if p == kind || p == "*" || p == kind[:4]+"*" {
						return 0
					}
				}
			}
			return RuleRoles
		}
		apply := func(g Change) {
			r := w.own(ann, Encode(&Propose{g}))
			require.NoError(rt, r.Err())
			require.True(rt, r.Effective)
		}
		somebody := func(t *rapid.T) *ed25519.Signer { return rapid.SampledFrom(people).Draw(t, "who") }
		rt.Repeat(map[string]func(*rapid.T){
			"mode": func(t *rapid.T) {
				mode = rapid.SampledFrom([]Mode{Open, Consortium, Private}).Draw(t, "mode")
				apply(Change{Mode: mode})
			},
			"role": func(t *rapid.T) {
				r := Role{Name: rapid.SampledFrom([]string{"r", "s"}).Draw(t, "role")}
				r.Submit = rapid.SliceOfN(rapid.SampledFrom(patterns), 0, 2).Draw(t, "submit")
				r.Read = rapid.SliceOfN(rapid.SampledFrom(patterns), 0, 2).Draw(t, "read")
				roles[r.Name] = r
				apply(Change{SetRoles: []Role{r}})
			},
			"remove role": func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"r", "s"}).Draw(t, "role")
				delete(roles, name)
				for k, m := range members {
					m.Roles = slices.DeleteFunc(m.Roles, func(r string) bool { return r == name })
					members[k] = m
				}
				apply(Change{RemoveRoles: []string{name}})
			},
			"member": func(t *rapid.T) {
				m := Member{Key: somebody(t).Public(), Suspended: rapid.IntRange(0, 3).Draw(t, "suspended") == 0}
				for name := range roles {
					if rapid.Bool().Draw(t, name) {
						m.Roles = append(m.Roles, name)
					}
				}
				members[m.Key] = m
				apply(Change{SetMembers: []Member{m}})
			},
			"remove member": func(t *rapid.T) {
				k := somebody(t).Public()
				if _, ok := members[k]; ok {
					delete(members, k)
					apply(Change{RemoveMembers: []crypto.PublicKey{k}})
				}
			},
			"submit": func(t *rapid.T) {
				who, key := somebody(t), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
				require.Equal(rt, may(who.Public(), "set-"+key, false), w.app(who, "set-"+key+"=1"))
			},
			"": func(t *rapid.T) {
				v, err := w.m.Store().Last()
				require.NoError(rt, err)
				require.NoError(rt, Audit(v))
			},
			"read": func(t *rapid.T) {
				who, key := somebody(t), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
				want := may(who.Public(), "get-"+key, true)
				require.Equal(rt, want, w.app(who, "get-"+key))
				_, err := w.query(who, []byte("get-"+key))
				if want == 0 {
					require.NoError(rt, err)
				} else {
					refusedBy(rt, want, err)
				}
			},
		})
	})
}

// randomOp is an operation of the pad, or about access, by few.
func randomOp(r *rand.Rand) []byte {
	keys := []crypto.PublicKey{{0}, {1}, {2}, {3}}
	key := func() crypto.PublicKey { return keys[r.IntN(4)] }
	change := func() Change {
		g := Change{Reason: fmt.Sprint(r.IntN(3))}
		switch r.IntN(6) {
		case 0:
			g.Mode = Mode(r.IntN(5))
		case 1:
			g.SetRoles = []Role{{Name: []string{"r", "s"}[r.IntN(2)], Submit: []string{[]string{"set-*", "*", "set-a"}[r.IntN(3)]}, Read: []string{"*"}, Quota: Quota{uint64(r.IntN(4)), 0, uint64(r.IntN(3))}}}
		case 2, 3:
			g.SetMembers = []Member{{Key: key(), Roles: [][]string{nil, {"r"}, {"s"}, {"r", "s"}}[r.IntN(4)], Suspended: r.IntN(5) == 0}}
		case 4:
			g.RemoveMembers, g.RemoveRoles = keys[r.IntN(4):][:1], []string{"r"}[:r.IntN(2)]
		case 5:
			g.Administrators = signed.Of(1+r.IntN(2), keys[:2+r.IntN(2)]...)
		}
		return g
	}
	var o Operation
	switch r.IntN(16) {
	case 0, 1, 2:
		return fmt.Appendf(nil, "set-%c=%s", 'a'+r.IntN(3), []string{"1", "2", "!", "?", "$"}[r.IntN(5)])
	case 3:
		return []byte("get-a")
	case 4:
		return []byte{byte(r.IntN(256))}
	case 5, 6, 7:
		o = &Propose{change()}
	case 8:
		g := change()
		o = &Approve{uint64(r.IntN(8)), g.Digest()}
	case 9:
		o = &Withdraw{uint64(r.IntN(8))}
	case 10:
		o = &ListAudit{After: uint64(r.IntN(3)), Limit: uint64ToLimit(r)}
	case 11:
		o = &ListRefusals{Limit: uint64ToLimit(r)}
	case 12:
		o = &Check{key(), "set-a", r.IntN(2) == 0}
	case 13:
		e := signed.Envelope{Deadline: 1_700_000_000_000_000_000 + statemachine.Time(r.IntN(4))*statemachine.Time(3*time.Second), Op: Encode(&Propose{change()})}
		_ = e.Sign(Space(chain), ann)
		return EncodeSigned(&e)
	case 14:
		o = []Operation{&GetPolicy{}, &GetMember{key()}, &ListMembers{After: key()}, &ListRoles{}, &ListProposals{}}[r.IntN(5)]
	case 15:
		b := Encode(&Propose{change()})
		return b[:r.IntN(len(b))]
	}
	return Encode(o)
}

func uint64ToLimit(r *rand.Rand) uint32 { return uint32(r.IntN(3)) }

// testPolicy has the conformance kit's clients for administrators and members.
func testPolicy() Policy {
	return Policy{
		Mode: Consortium, Administrators: signed.Of(1, crypto.PublicKey{0}, crypto.PublicKey{1}, ann.Public()), Strangers: Quota{Operations: 5, Seconds: 1},
		Roles:   []Role{{Name: "r", Submit: []string{"*"}, Read: []string{"*"}, Quota: Quota{Operations: 4, Seconds: 1}}},
		Members: []Member{{Key: crypto.PublicKey{2}, Roles: []string{"r"}}},
	}
}

// The state never contradicts itself, whatever is done.
func TestAudit(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := newWorld(t, testPolicy())
		for range 60 {
			b := statemachine.Block{Height: w.height + 1, Time: w.now}
			for range r.IntN(10) {
				b.Ops = append(b.Ops, statemachine.Op{Client: crypto.PublicKey{byte(r.IntN(5))}, Data: randomOp(r)})
			}
			w.m.Apply(b)
			w.height++
			w.now += statemachine.Time(r.IntN(1e9))
			v, err := w.m.Store().Last()
			require.NoError(t, err)
			require.NoError(t, Audit(v), "seed %d", seed)
		}
	}
}

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{New: func() statemachine.StateMachine { return newWorld(t, testPolicy()).m }, Gen: randomOp})
}

// FuzzApply: any bytes end with one result that decodes, and beside the log with the
// same answer if they are a read.
func FuzzApply(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		f.Add(randomOp(r), byte(r.IntN(4)))
	}
	f.Fuzz(func(t *testing.T, op []byte, client byte) {
		w := newWorld(t, testPolicy())
		res := w.m.Apply(statemachine.Block{Height: 1, Time: w.now, Ops: []statemachine.Op{{Client: crypto.PublicKey{client}, Data: op}}})
		require.Len(t, res, 1)
		if !IsOperation(op) {
			return
		}
		require.NotEqual(t, statemachine.CodePanicked, res[0].Code)
		out, err := DecodeResult(res[0])
		require.NoError(t, err)
		if o, err := Decode(op); err == nil {
			require.Equal(t, op, Encode(o))
			b, err := w.m.Query(statemachine.WithCaller(t.Context(), crypto.PublicKey{client}), op)
			if err == nil && o.Kind() != KindGetMember && o.Kind() != KindListRefusals {
				q, err := DecodeAnswer(b)
				require.NoError(t, err)
				require.Equal(t, out, q)
			}
		}
	})
}

// FuzzDecodeResult: any bytes are a result or an error.
func FuzzDecodeResult(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	w := newWorld(f, testPolicy())
	for i := range 200 {
		res := w.m.Apply(statemachine.Block{Height: uint64(i) + 1, Time: w.now, Ops: []statemachine.Op{{Client: crypto.PublicKey{byte(r.IntN(3))}, Data: randomOp(r)}}})[0]
		f.Add(uint32(res.Code), res.Data)
	}
	f.Fuzz(func(t *testing.T, code uint32, data []byte) {
		out, err := DecodeResult(statemachine.Result{Code: statemachine.ResultCode(code), Data: data})
		if err == nil && code == 0 {
			require.Equal(t, data, out.encode(Kind(data[0])))
		}
	})
}

// unverified is a verifier that must not be asked.
type unverified struct{ crypto.RequestVerifier }

func (unverified) VerifyBatch(items []crypto.Item) []bool {
	if len(items) > 1 {
		panic("rubbish is checked to its end")
	}
	return make([]bool, len(items))
}

// Who has a say is asked before signatures are checked, and of rubbish in the administrators'
// names one is.
func TestRubbishCostsLittle(t *testing.T) {
	w := newWorld(t, policy(Open))
	w.m.handler.verifier = unverified{}
	rubbish := signed.Envelope{Deadline: w.now + 1, Op: Encode(&Propose{Change{Mode: Private}})}
	for n := range byte(signed.MaxKeys - 3) {
		rubbish.Add(signed.Signature{Key: crypto.PublicKey{200, n}})
	}
	require.Equal(t, RuleAdministrators, RefusalOf(w.submit(dora, EncodeSigned(&rubbish))).Rule)
	for _, k := range []crypto.PublicKey{ann.Public(), bob.Public(), cem.Public()} {
		rubbish.Add(signed.Signature{Key: k})
	}
	require.ErrorIs(t, w.own(dora, EncodeSigned(&rubbish)).Err(), ErrBadSignature)
}

// greedy is a pad of which "get-all" reads everything.
type greedy struct{ pad }

func (g *greedy) Found(t store.Txn) {
	for i := range 2000 {
		t.Set(fmt.Append(nil, "k", i), nil)
	}
}

func (g *greedy) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	if string(op.Data) == "get-all" {
		for range t.Range(nil, nil) {
		}
		return statemachine.OK(nil)
	}
	return g.pad.Apply(t, b, op)
}

// An operation that is ended because it reads too much costs its client's quota what any does.
func TestReadingTooMuchIsCharged(t *testing.T) {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	p := policy(Open)
	p.Strangers = Quota{Operations: 4, Seconds: 60}
	h, err := Wrap(new(greedy), classify, chain, p)
	require.NoError(t, err)
	m, err := NewMachine(s, h)
	require.NoError(t, err)
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<20
	e := statemachine.NewExecutor(m, l)
	const now = statemachine.Time(1_700_000_000_000_000_000)
	run := func(height uint64, ops ...string) (codes []statemachine.ResultCode) {
		r := statemachine.Request{Client: strangers[0].Public(), Seq: height, Low: height, Deadline: now + 20, Digest: crypto.Hash("test", fmt.Append(nil, height))}
		for _, op := range ops {
			r.Ops = append(r.Ops, []byte(op))
		}
		x, err := e.Execute(statemachine.RequestBlock{Height: height, Time: now, Requests: []statemachine.Request{r}})
		require.NoError(t, err)
		for _, r := range x.Replies[0].Results {
			codes = append(codes, r.Code)
		}
		return codes
	}
	much := statemachine.CodeTooMuchWork
	require.Equal(t, []statemachine.ResultCode{much, 0, much}, run(1, "get-all", "set-a=1", "get-all"))
	require.Equal(t, []statemachine.ResultCode{0, CodeRefused, CodeRefused}, run(2, "get-a", "get-all", "get-all"))
	v, err := s.Last()
	require.NoError(t, err)
	require.NoError(t, Audit(v))
}

// Blocks in which others read all that may be read do not keep administrators from theirs.
func TestAdministratorsAreNotShutOutByReads(t *testing.T) {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	h, err := Wrap(new(greedy), classify, chain, policy(Open))
	require.NoError(t, err)
	m, err := NewMachine(s, h)
	require.NoError(t, err)
	l := statemachine.DefaultLimits()
	l.MaxOpWork, l.MaxBlockWork = 1<<10, 1<<10
	e := statemachine.NewExecutor(m, l)
	const now = statemachine.Time(1_700_000_000_000_000_000)
	height := uint64(0)
	// block has strangers read everything, and then an administrator's operation.
	block := func(by *ed25519.Signer, o Operation) *Result {
		height++
		b := statemachine.RequestBlock{Height: height, Time: now}
		for i, op := range []struct {
			by   *ed25519.Signer
			data string
		}{{strangers[0], "get-all"}, {strangers[1], "get-all"}, {by, string(Encode(o))}} {
			b.Requests = append(b.Requests, statemachine.Request{Client: op.by.Public(), Seq: height, Low: height, Deadline: now + 20, Digest: crypto.Hash("test", fmt.Append(nil, height, i)), Ops: [][]byte{[]byte(op.data)}})
		}
		x, err := e.Execute(b)
		require.NoError(t, err)
		require.Equal(t, statemachine.CodeBlockWorked, x.Replies[1].Results[0].Code)
		r, err := DecodeResult(x.Replies[2].Results[0])
		require.NoError(t, err)
		require.NoError(t, r.Err())
		return r
	}
	g := Change{SetMembers: []Member{{Key: strangers[0].Public(), Suspended: true}}}
	for i := range 100 {
		g.SetRoles = append(g.SetRoles, Role{Name: fmt.Sprint("r", i), Submit: []string{strings.Repeat("a", 60), strings.Repeat("b", 60), strings.Repeat("c", 60), strings.Repeat("d", 60)}})
	}
	p := block(ann, &Propose{g})
	require.True(t, block(bob, &Approve{p.Number, g.Digest()}).Effective)
}
