package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// ErrQuery is wrapped by the error for a query about access that is malformed.
var ErrQuery = errors.New("access query")

// Classifier names the kind of an operation, or of a query, and tells whether it changes
// nothing. Names are the application's own; of bytes that are none it says "" and false,
// which only the pattern "*" permits. It must be a function of the bytes alone.
type Classifier func(data []byte) (kind string, read bool)

// Principal is implemented by applications whose operations say themselves whose they
// are, as signed transactions do that anybody may hand in: the policy then decides about
// that key, in place of the one that signed the request. The quotas of both count: of who
// handed it in always, for he alone decides how often; of whose it is only if it ran, for
// bytes that were public once can be handed in again by anybody.
type Principal interface {
	// Principal returns whose operation it is; false leaves it the client's. It is called
	// before Apply, with the same operation.
	Principal(op *statemachine.Op) (crypto.PublicKey, bool)
}

// Cosigned is implemented by applications whose operations may carry signatures of others
// than the client: nothing that a suspended member signed is run, whoever hands it in.
type Cosigned interface {
	// Cosigners returns the keys that an operation says have signed it; whether they did
	// need not be checked. It is called before Apply, with the same operation.
	Cosigners(op *statemachine.Op) []crypto.PublicKey
}

// The names of the store's own queries. Whoever may read one of them may read everything:
// by the names of keys, with KindProof; and with KindWatch all that changes, of the
// application and of the policy.
const (
	KindProof = "store/proof"
	KindWatch = "store/watch"
)

// Handler is an application with a policy around it.
type Handler struct {
	app      store.Handler
	blocks   store.Blocks // nil if the application has none
	founder  store.Founder
	checker  store.Checker
	owner    Principal // nil: operations are their clients'
	cosigned Cosigned  // nil: nobody but the client signs
	classify Classifier
	chain    crypto.Digest
	policy   Policy
	verifier crypto.RequestVerifier
}

var (
	_ store.Handler = (*Handler)(nil)
	_ store.Blocks  = (*Handler)(nil)
	_ store.Founder = (*Handler)(nil)
	_ store.Checker = (*Handler)(nil)
)

// maxLife is how far off the deadline of administrators' signatures may be, and how long
// a proposal waits.
const maxLife = 7 * 24 * time.Hour

// Wrap puts a policy around an application. p is the first policy; chain is what the
// administrators' detached signatures are bound to, such as the cluster's id.
func Wrap(app store.Handler, classify Classifier, chain crypto.Digest, p Policy) (*Handler, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	h := &Handler{app: app, classify: classify, chain: chain, policy: p, verifier: ed25519.NewVerifier(signed.MaxKeys)}
	h.blocks, _ = app.(store.Blocks)
	h.founder, _ = app.(store.Founder)
	h.checker, _ = app.(store.Checker)
	h.owner, _ = app.(Principal)
	h.cosigned, _ = app.(Cosigned)
	return h, nil
}

// Machine is a store's machine of a [Handler]. It puts the policy in front of the queries
// that the store answers itself, too.
type Machine struct {
	*store.Machine
	handler *Handler
}

var (
	_ statemachine.StateMachine   = (*Machine)(nil)
	_ statemachine.HistoryQuerier = (*Machine)(nil)
	_ statemachine.HeightAware    = (*Machine)(nil)
)

// NewMachine returns the machine of a wrapped application on a store of its own.
func NewMachine(s *store.Store, h *Handler) (*Machine, error) {
	m, err := store.NewMachine(s, h)
	if err != nil {
		return nil, err
	}
	return &Machine{m, h}, nil
}

// Query answers a query if the caller may read it. Who that is says
// statemachine.CallerFrom; nobody is a stranger.
func (m *Machine) Query(ctx context.Context, q []byte) ([]byte, error) {
	if !store.IsStoreQuery(q) {
		return m.Machine.Query(ctx, q) // the handler decides
	}
	if err := m.decide(ctx, q); err != nil {
		return nil, err
	}
	return m.Machine.Query(ctx, q)
}

// QueryAt is Query from an earlier state. Whether the caller may read it says the policy
// as it is now: not that of then, which let others read.
func (m *Machine) QueryAt(ctx context.Context, height uint64, q []byte) ([]byte, error) {
	if err := m.decide(ctx, q); err != nil {
		return nil, err
	}
	return m.Machine.QueryAt(context.WithValue(ctx, decidedKey{}, true), height, q)
}

// decidedKey marks the context of a query that was decided about already.
type decidedKey struct{}

// decide returns why the caller may not read something in the last state, as a
// *[Refusal], or the store's error.
func (m *Machine) decide(ctx context.Context, q []byte) error {
	kind := KindProof
	switch {
	case store.IsFeedQuery(q):
		kind = KindWatch
	case !store.IsStoreQuery(q):
		kind, _ = m.handler.kind(q)
	}
	caller, _ := statemachine.CallerFrom(ctx)
	return m.Permit(caller, kind)
}

// Permit returns why a caller may not read what is of a kind, by the policy as it is now,
// as a *[Refusal], or the store's error: for what reads the state beside
// [Machine.Query].
func (m *Machine) Permit(caller crypto.PublicKey, kind string) error {
	v, err := m.Store().Last()
	if err != nil {
		return err
	}
	var why *Refusal
	if err := store.Catch(func() { why = reading{store.PrefixReader(v, prefix)}.decide(caller, kind, true) }); err != nil {
		return err
	}
	if why != nil {
		return why
	}
	return nil
}

// Found writes the first policy, and the application's beginning.
func (h *Handler) Found(t store.Txn) {
	own := store.Prefix(t, prefix)
	p := &h.policy
	s := settings{Info: Info{Mode: p.Mode, Administrators: p.Administrators, Strangers: p.Strangers, Members: uint64(len(p.Members)), Chain: h.chain}}
	save(own, []byte(keySettings), s.code)
	for i := range p.Roles {
		save(own, roleKey(p.Roles[i].Name), p.Roles[i].code)
	}
	for i := range p.Members {
		save(own, memberKey(p.Members[i].Key), p.Members[i].code)
	}
	if h.founder != nil {
		h.founder.Found(store.Prefix(t, AppPrefix))
	}
}

// CheckState tells whether a state has a policy, and asks the application about its part.
func (h *Handler) CheckState(r store.Reader) error {
	if _, ok := r.Get([]byte(prefix + keySettings)); !ok {
		return errors.New("it has no access policy")
	}
	if h.checker == nil {
		return nil
	}
	return h.checker.CheckState(store.PrefixReader(r, AppPrefix))
}

// BeginBlock is the application's.
func (h *Handler) BeginBlock(t store.Txn, b *statemachine.Block) {
	if h.blocks != nil {
		h.blocks.BeginBlock(store.Prefix(t, AppPrefix), b)
	}
}

// EndBlock is the application's.
func (h *Handler) EndBlock(t store.Txn, b *statemachine.Block) {
	if h.blocks != nil {
		h.blocks.EndBlock(store.Prefix(t, AppPrefix), b)
	}
}

// Apply runs one operation, if the policy permits it. A refusal is counted, and changes
// nothing else; what an operation took of its client's quota is counted also if it is
// rejected.
func (h *Handler) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) (res statemachine.Result) {
	own := store.Prefix(t, prefix)
	kind, read := h.kind(op.Data)
	who := h.principal(op)
	why := h.admit(own, b, op, who, kind, read)
	// From here on what it took of the quota is kept, also if it reads more than it may: else who
	// only makes such operations, which cost the most, could make them for ever.
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		var ok bool
		if res, ok = store.Unwound(v); !ok {
			panic(v)
		}
		t.Commit()
	}()
	if why == nil && IsOperation(op.Data) {
		return h.applyOwn(t, own, b, op)
	}
	if why != nil {
		note(own, who, kind, why, b.Time)
		t.Commit()
		return why.encode()
	}
	if who == op.Client {
		res, _ := h.applyApp(t, b, op)
		t.Commit()
		return res
	}
	paid := t.Begin()
	defer paid.Discard()
	if why := charge(store.Prefix(paid, prefix), who, b.Time, len(op.Data)); why != nil {
		paid.Discard()
		note(own, who, kind, why, b.Time)
		t.Commit()
		return why.encode()
	}
	res, ran := h.applyApp(paid, b, op)
	if ran {
		paid.Commit()
	} else {
		paid.Discard()
	}
	t.Commit()
	return res
}

// applyApp runs an operation of the application in a transaction of its own, and tells
// whether that was kept.
func (h *Handler) applyApp(t store.Txn, b *statemachine.Block, op *statemachine.Op) (res statemachine.Result, kept bool) {
	in := &inner{Txn: t.Begin()}
	defer in.Discard()
	res = h.app.Apply(store.Prefix(in, AppPrefix), b, op)
	switch {
	case in.ended:
	case res.Code == statemachine.CodeOK:
		in.Commit()
	default:
		in.Discard()
	}
	return res, in.kept
}

// inner is the application's transaction, which it may end itself.
type inner struct {
	store.Txn
	ended, kept bool
}

func (i *inner) Commit() {
	i.ended, i.kept = true, true
	i.Txn.Commit()
}

func (i *inner) Discard() {
	i.ended = true
	i.Txn.Discard()
}

// kind names what is submitted, or asked.
func (h *Handler) kind(data []byte) (string, bool) {
	rest, own := bytes.CutPrefix(data, magic)
	if !own {
		return h.classify(data)
	}
	if len(rest) == 0 {
		return Kind(0).String(), false
	}
	return Kind(rest[0]).String(), Kind(rest[0]).Read()
}

// principal is whose operation it is.
func (h *Handler) principal(op *statemachine.Op) crypto.PublicKey {
	if h.owner != nil && !IsOperation(op.Data) {
		if key, ok := h.owner.Principal(op); ok {
			return key
		}
	}
	return op.Client
}

// admit decides about an operation of a key, and charges the quota of the client who
// handed it in.
func (h *Handler) admit(own store.Txn, b *statemachine.Block, op *statemachine.Op, who crypto.PublicKey, kind string, read bool) *Refusal {
	now := reading{own}
	if IsOperation(op.Data) && now.administrates(op.Client) {
		return nil // whoever can mend the policy must not be shut out by it
	}
	// The signatures of administrators count, whoever submits them.
	if !IsOperation(op.Data) || read {
		if why := now.decide(who, kind, read); why != nil {
			return why
		}
	}
	if why := h.suspended(now, op, who); why != nil {
		return why
	}
	return charge(own, op.Client, b.Time, len(op.Data))
}

// suspended returns the refusal of an application's operation that a suspended member has
// handed in or signed; about who was decided.
func (h *Handler) suspended(now reading, op *statemachine.Op, who crypto.PublicKey) *Refusal {
	if IsOperation(op.Data) {
		return nil
	}
	var keys []crypto.PublicKey
	if who != op.Client {
		keys = append(keys, op.Client)
	}
	if h.cosigned != nil {
		keys = append(keys, h.cosigned.Cosigners(op)...)
	}
	for _, k := range keys {
		if m, ok := now.member(k); ok && m.Suspended {
			return refuse(RuleSuspended, "%s is suspended", k.Hex())
		}
	}
	return nil
}

// applyOwn runs an operation about access.
func (h *Handler) applyOwn(t, own store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	in := own.Begin()
	defer in.Discard()
	r := &run{reading: reading{in}, t: in, b: b, signers: []crypto.PublicKey{op.Client}, h: h}
	out, kind, err := r.perform(op.Data)
	var why *Refusal
	var rej *rejection
	switch {
	case err == nil:
		in.Commit()
		t.Commit()
		return statemachine.OK(out.encode(kind))
	case errors.As(err, &why):
		in.Discard()
		note(own, op.Client, kind.String(), why, b.Time)
		t.Commit()
		return why.encode()
	case errors.As(err, &rej):
		in.Discard()
		t.Commit() // what it took of the quota
		return statemachine.Reject(rej.code, []byte(rej.detail))
	}
	panic(err) // there are no others
}

// Query answers the application's queries and those about access, if the caller may read
// them. A refusal is a *[Refusal].
func (h *Handler) Query(ctx context.Context, r store.Reader, q []byte) ([]byte, error) {
	own := reading{store.PrefixReader(r, prefix)}
	kind, read := h.kind(q)
	caller, _ := statemachine.CallerFrom(ctx)
	// What is no read the application refuses; to ask for it is to read all the same.
	if ctx.Value(decidedKey{}) == nil {
		if why := own.decide(caller, kind, true); why != nil {
			return nil, why
		}
	}
	if !IsOperation(q) {
		return h.app.Query(ctx, store.PrefixReader(r, AppPrefix), q)
	}
	if !read {
		return nil, fmt.Errorf("%w: %s goes through the log", ErrQuery, kind)
	}
	o, err := decode(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	out, err := own.answer(o)
	var rej *rejection
	switch {
	case err == nil:
		return append(canon.AppendUint32(nil, uint32(statemachine.CodeOK)), out.encode(o.Kind())...), nil
	case errors.As(err, &rej):
		return append(canon.AppendUint32(nil, uint32(rej.code)), rej.detail...), nil
	}
	panic(err)
}
