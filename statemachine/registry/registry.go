package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// ErrQuery is wrapped by the error for a query that is malformed or no query.
var ErrQuery = errors.New("registry query")

// Handler is the registry as an application on a store.
type Handler struct {
	chain    crypto.Digest
	genesis  Genesis
	verifier crypto.RequestVerifier
	schemas  schemaCache
	known    atomic.Pointer[knownConfig]
}

// knownConfig is the state's configuration, decoded.
type knownConfig struct {
	raw []byte
	config
}

var (
	_ store.Handler = (*Handler)(nil)
	_ store.Founder = (*Handler)(nil)
)

// keyCache is how many signers' keys are kept in expanded form.
const keyCache = 1024

// New returns a registry whose state begins with a genesis. chain is what detached
// signatures are bound to: a cluster's id, or any digest that no other registry has. It
// becomes part of the state; a state that is restored keeps its own.
func New(chain crypto.Digest, g Genesis) (*Handler, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	return &Handler{chain: chain, genesis: g, verifier: ed25519.NewVerifier(keyCache)}, nil
}

// NewMachine returns a registry on a store of its own.
func NewMachine(s *store.Store, chain crypto.Digest, g Genesis) (*store.Machine, error) {
	h, err := New(chain, g)
	if err != nil {
		return nil, err
	}
	return store.NewMachine(s, h)
}

// Found writes the genesis.
func (h *Handler) Found(t store.Txn) { h.genesis.found(&counting{Txn: t}, h.chain) }

// config reads the state's configuration.
func (h *Handler) config(r store.Reader) *config {
	raw, ok := r.Get([]byte(keyConfig))
	if !ok {
		panic("registry: the state is none of a registry: it has no configuration")
	}
	if k := h.known.Load(); k != nil && bytes.Equal(k.raw, raw) {
		return &k.config
	}
	k := &knownConfig{raw: raw}
	decodeEntry([]byte(keyConfig), raw, k.config.code)
	h.known.Store(k)
	return &k.config
}

// Apply runs one operation.
func (h *Handler) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	data, err := h.apply(t, b, op)
	var r *refusal
	switch {
	case err == nil:
		return statemachine.OK(data)
	case errors.As(err, &r):
		return r.encode()
	}
	panic(err) // there are no others
}

func (h *Handler) apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) ([]byte, error) {
	if len(op.Data) == 0 {
		return nil, refuse(CodeMalformed, "it is empty")
	}
	if Kind(op.Data[0]).Read() {
		return h.read(t, op.Data)
	}
	in := &counting{Txn: t}
	r := &run{reading: reading{r: in, cfg: h.config(t)}, h: h, t: in, at: Stamp{b.Height, b.Time}, client: op.Client}
	r.counts = r.reading.counts()
	c, err := r.perform(op.Data)
	if err != nil {
		return nil, err
	}
	return (&Result{Change: c}).encode(formChange), nil
}

func (h *Handler) read(s store.Reader, data []byte) ([]byte, error) {
	o, err := decode(data)
	if err != nil {
		return nil, err
	}
	q, ok := o.(read)
	if !ok {
		return nil, refuse(CodeUnsupported, "%s goes through the log", o.Kind())
	}
	cfg := h.config(s)
	if err := q.check(&cfg.Limits); err != nil {
		return nil, err
	}
	out, form, err := q.read(&reading{r: s, cfg: cfg})
	if err != nil {
		return nil, err
	}
	return out.encode(form), nil
}

// Query answers the reads; [DecodeAnswer] reads the answer. What is not there is an
// answer, too. The error wraps [ErrQuery].
func (h *Handler) Query(_ context.Context, s store.Reader, q []byte) ([]byte, error) {
	data, err := h.read(s, q)
	var r *refusal
	switch {
	case err == nil:
		return append(canon.AppendUint32(nil, uint32(statemachine.CodeOK)), data...), nil
	case errors.As(err, &r) && r.code >= statemachine.CodeApplication:
		res := r.encode()
		return append(canon.AppendUint32(nil, uint32(res.Code)), res.Data...), nil
	}
	return nil, fmt.Errorf("%w: %w", ErrQuery, err)
}
