package ledger

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Config is what a ledger is made of. All of it must be equal on all replicas but
// CheckBlocks.
type Config struct {
	Limits Limits
	// Cluster is the id that detached signatures are bound to: crypto.Cluster.ID.
	Cluster crypto.Digest
	// Genesis is what a new ledger begins with; nil is nothing.
	Genesis *Genesis
	// Verifier checks detached signatures; nil is Ed25519. It is here for simulations.
	Verifier crypto.RequestVerifier
	// CheckBlocks runs [Check] after every block and stops the replica if it finds
	// something. It costs a pass over the state each time: for tests. Programs built with
	// the tag ledgercheck always do it.
	CheckBlocks bool
}

// DefaultConfig is a ledger that begins with nothing, with the default limits.
func DefaultConfig(cluster crypto.Digest) Config {
	return Config{Limits: DefaultLimits(), Cluster: cluster}
}

// verifierKeys is for how many keys an Ed25519 verifier remembers what helps it.
const verifierKeys = 4096

// New returns a ledger whose state is s, as an application for a replica. Errors:
// ErrLimits, ErrGenesis, and what is wrong with the state that s has.
func New(s *store.Store, cfg Config) (*store.Machine, error) {
	h, err := NewHandler(cfg)
	if err != nil {
		return nil, err
	}
	return store.NewMachine(s, h)
}

// NewHandler returns a ledger as an application on a store, for package access to put a
// policy around. Errors: ErrLimits, ErrGenesis.
func NewHandler(cfg Config) (*Handler, error) {
	if err := cfg.Limits.Validate(); err != nil {
		return nil, err
	}
	if cfg.Verifier == nil {
		cfg.Verifier = ed25519.NewVerifier(verifierKeys)
	}
	cfg.CheckBlocks = cfg.CheckBlocks || checkBlocks
	if err := cfg.Genesis.check(&cfg.Limits); err != nil {
		return nil, err
	}
	return &Handler{cfg: cfg}, nil
}

// CheckState tells whether a state is that of a ledger with these limits, of this
// cluster.
func (h *Handler) CheckState(r store.Reader) error {
	have, _ := r.Get(limitsKey)
	if want := h.cfg.identity(); string(have) != string(want[:]) {
		return fmt.Errorf("%w: the state is that of a ledger with other limits, of another cluster, or of another version of this program: use those that it was made with", ErrLimits)
	}
	return nil
}

const domainIdentity = crypto.Domain("parley/ledger")

// stateFormat is that of keys and values in the state. Whoever changes what an earlier
// program has written makes it one more.
const stateFormat = 2

// identity is that of the format, the limits and the cluster.
func (c *Config) identity() crypto.Digest {
	l := c.Limits.Digest()
	return crypto.Hash(domainIdentity, canon.AppendUint32(nil, stateFormat), l[:], c.Cluster[:])
}

// Handler is the ledger as the store's machine sees it. It keeps no state but answers
// that it would find again.
type Handler struct {
	cfg      Config
	verified verified
	searched searched
}

var (
	_ store.Handler = (*Handler)(nil)
	_ store.Blocks  = (*Handler)(nil)
	_ store.Founder = (*Handler)(nil)
	_ store.Checker = (*Handler)(nil)
)

// BeginBlock clears away what has expired.
func (h *Handler) BeginBlock(t store.Txn, b *statemachine.Block) {
	h.checkSignatures(t, b)
	clear(h.searched)
	x := exec{l: h, t: t, now: b.Time, height: b.Height}
	x.sweep()
}

// EndBlock checks the books, in tests.
func (h *Handler) EndBlock(t store.Txn, b *statemachine.Block) {
	if !h.cfg.CheckBlocks {
		return
	}
	if err := Check(t); err != nil {
		panic(fmt.Sprintf("ledger: after block %d: %v", b.Height, err))
	}
}

// Apply runs one operation. What it rejects has changed nothing: the store's machine
// discards it.
func (h *Handler) Apply(t store.Txn, b *statemachine.Block, in *statemachine.Op) statemachine.Result {
	if len(in.Data) > 0 && in.Data[0] >= firstQuery {
		return h.read(t, in, b.Time)
	}
	var op operation
	if code := h.cfg.Limits.decodeOperation(in.Data, &op); code != statemachine.CodeOK {
		return statemachine.Reject(code, nil)
	}
	x := exec{
		l: h, t: t, now: b.Time, height: b.Height, client: in.Client, id: IDOf(in.Client, in.Seq, in.Index),
		authority: []crypto.PublicKey{in.Client}, nodes: h.cfg.Limits.MaxPathNodes, edges: h.cfg.Limits.MaxPathEdges,
		spent: h.spent(in.Client),
	}
	defer func() { h.charge(in.Client, h.cfg.Limits.MaxPathEdges-x.edges) }()
	out := Result{Tx: x.id}
	var err error
	switch op.kind {
	case opSubmit:
		err = x.submit(&op)
	case opPropose:
		op.digest = digestOf(op.body)
		out.Pending, err = x.propose(&op)
	case opApprove:
		out.Pending, err = x.approve(op.digest)
	case opWithdraw:
		out.Pending, err = x.withdraw(op.digest)
	}
	if err != nil {
		return rejectionOf(err).result()
	}
	if out.Cost = x.cost; out.Pending {
		out.Digest = op.digest
	}
	return statemachine.OK(encode(&out))
}

// rejectionOf is the rejection that err is; there are no other errors.
func rejectionOf(err error) *Rejection {
	r, ok := err.(*Rejection)
	if !ok {
		panic(fmt.Sprintf("ledger: an error that is no rejection: %v", err))
	}
	return r
}

// exec is one operation under way. It reads and writes the state; whatever it has done
// is discarded if it ends with an error, and every error is a *Rejection.
type exec struct {
	l         *Handler
	t         store.Txn
	now       statemachine.Time
	height    uint64
	client    crypto.PublicKey
	id        TxID
	memo      string
	authority []crypto.PublicKey

	// What actions of the transaction that have not run yet will have made, for the
	// authority that later ones take.
	opened  map[string]*Account
	defined map[string]string // the issuer, by asset
	placed  map[string]*Hold

	nodes, edges int     // that searches for paths may still go on from, and look at
	spent        bool    // the client has had its searches in this block
	keep         *uint64 // lines of a statement, once it was asked for
	cost         uint64
}

// submit runs a transaction by the authority of the client and the signatures.
func (x *exec) submit(op *operation) error {
	needs, err := x.entitled(op)
	if err != nil {
		return err
	}
	for _, s := range op.signatures {
		if !x.l.signed(claim{op.digest, s}) {
			return reject(CodeBadSignature, s.Key.Hex())
		}
	}
	if err := x.execute(&op.tx, needs); err != nil {
		return err
	}
	if len(op.signatures) > 0 {
		x.spend(op.digest, op.tx.Expires)
	}
	return nil
}

// entitled tells whether a transaction may run now, by the authority of the client and of
// those who are said to have signed it. It changes nothing. Whether they have signed it is
// asked only then: signatures are what costs, and whoever sends some that are good for nothing
// is refused for less.
func (x *exec) entitled(op *operation) ([]need, error) {
	tx := &op.tx
	if err := x.timely(tx); err != nil {
		return nil, err
	}
	if len(op.signatures) > 0 {
		if err := x.lasts("the transaction", tx.Expires); err != nil {
			return nil, err
		}
		op.digest = digestOf(op.body)
		if err := x.unspent(op.digest); err != nil {
			return nil, err
		}
	}
	needs, err := x.gather(tx)
	if err != nil {
		return nil, err
	}
	if len(op.signatures) > 0 {
		say := x.parties(needs) // once for all: to look for each signature alone costs more than to check it
		for i := range op.signatures {
			k := op.signatures[i].Key
			if !say[k] {
				return nil, reject(CodeForeignSignature, k.Hex())
			}
			x.authority = append(x.authority, k)
		}
	}
	return needs, x.authorised(needs)
}

// unspent tells whether a transaction that others authorised, by signatures or by
// approvals, has not run yet.
func (x *exec) unspent(d crypto.Digest) error {
	if _, ran := x.t.Get(spentKey(d)); ran {
		return reject(CodeReplayed, d.Hex())
	}
	return nil
}

// spend remembers that such a transaction ran, for as long as it could run again.
func (x *exec) spend(d crypto.Digest, expires statemachine.Time) {
	k := spentKey(d)
	x.t.Set(k, nil)
	x.t.Set(dueKey(expires, k), nil)
}

// timely tells whether a transaction may run now.
func (x *exec) timely(tx *Transaction) error {
	switch {
	case len(tx.Actions) == 0:
		return reject(CodeInvalid, "a transaction without actions")
	case tx.Expires != 0 && x.now >= tx.Expires:
		return reject(CodeExpired, "the transaction")
	case x.now < tx.NotBefore:
		return reject(CodeTooEarly, "the transaction")
	}
	return nil
}

// lasts tells whether what expires then does so in time.
func (x *exec) lasts(what string, expires statemachine.Time) error {
	switch {
	case expires == 0 || expires > x.now && uint64(expires-x.now) > uint64(x.l.cfg.Limits.MaxLife):
		return reject(CodeTooFar, what)
	case expires <= x.now:
		return reject(CodeExpired, what)
	}
	return nil
}

// execute runs the actions of a transaction whose authority was found.
func (x *exec) execute(tx *Transaction, needs []need) error {
	x.memo = tx.Memo
	for _, s := range tx.Sequences {
		a, err := x.account(s.Account)
		switch {
		case err != nil:
			return err
		case !slices.ContainsFunc(needs, func(n need) bool { return slices.Contains(n.anyOf, s.Account) }):
			return reject(CodeInvalid, "the sequence number of "+s.Account+", which is no party")
		case a.Sequence != s.Number:
			return &Rejection{Code: CodeSequence, Action: NoAction, Subject: s.Account, Have: a.Sequence, Want: s.Number}
		}
		a.Sequence++
		x.setAccount(s.Account, &a)
	}
	for i, a := range tx.Actions {
		if err := a.run(x); err != nil {
			return at(i, err)
		}
	}
	return nil
}

// at says which action an error is of.
func at(i int, err error) error {
	r := *rejectionOf(err)
	r.Action = uint32(i)
	return &r
}
