package registrytest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/statetest"
)

// counted counts how operations end.
type counted struct {
	*access.Machine
	codes map[statemachine.ResultCode]int
	rules map[access.Rule]int
}

func (c *counted) Apply(b statemachine.Block) []statemachine.Result {
	results := c.Machine.Apply(b)
	for _, r := range results {
		c.codes[r.Code]++
		if why := access.RefusalOf(r); why != nil {
			c.rules[why.Rule]++
		}
	}
	return results
}

// The registry against the model, over random histories. The workload is of use only if
// everything happens.
func TestModel(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	codes, rules := map[statemachine.ResultCode]int{}, map[access.Rule]int{}
	done := map[registry.Kind]int{}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		clients := []crypto.PublicKey{{1}, {2}, {3}, {4}}
		now := statemachine.Time(1_700_000_000_000_000_000)
		w := New(crypto.Digest{byte(seed)}, clients)
		m, err := w.Machine()
		require.NoError(t, err)
		c, model := &counted{m, codes, rules}, NewModel(w)
		for height := range uint64(300) {
			b := statemachine.Block{Height: height + 1, Time: now}
			for range r.IntN(5) {
				client := r.IntN(4)
				b.Ops = append(b.Ops, statemachine.Op{Client: clients[client], Data: w.Operation(r, client, now)})
			}
			model.Begin(now)
			for i, res := range c.Apply(b) {
				op := b.Ops[i]
				require.NoError(t, model.Judge(op.Client, op.Data, res), "seed %d, height %d, operation %d: %q", seed, height, i, op.Data)
				if res.Code == statemachine.CodeOK && !access.IsOperation(op.Data) {
					done[registry.KindOf(op.Data)]++
				}
			}
			now += statemachine.Time(r.IntN(1e9))
		}
		require.NoError(t, Audit(m))
	}
	t.Log(codes, rules, done)
	for k := registry.Kind(1); k <= registry.KindListDelegations; k++ {
		if k.String() != "unknown" && k != registry.KindSigned {
			require.Positive(t, done[k], "never done: %v", k)
		}
	}
	require.Zero(t, codes[statemachine.CodePanicked])
	for _, c := range []statemachine.ResultCode{
		statemachine.CodeOK, registry.CodeMalformed, registry.CodeNotFound, registry.CodeExists, registry.CodeUnauthorized, registry.CodeBadSignature, registry.CodeReplayed,
		registry.CodeExpired, registry.CodeSchemaViolation, registry.CodeConflict, registry.CodeRevoked, registry.CodeRule, registry.CodeScope,
		registry.CodeBadSchema, registry.CodeSchemaRetired,
		access.CodeRefused, access.CodeBadSignature, access.CodeReplayed, access.CodeNotFound,
	} {
		require.Positive(t, codes[c], "never: %d", c)
	}
	for _, rule := range []access.Rule{access.RuleConsortium, access.RulePrivate, access.RuleSuspended, access.RuleRoles, access.RuleOperations, access.RuleAdministrators} {
		require.Positive(t, rules[rule], "never: %v", rule)
	}
}

// Noise of a byte or two, and reads in envelopes, as clients send who are not of the
// workload: some of it is an operation.
func TestModelOfNoise(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	clients := []crypto.PublicKey{{1}, {2}}
	now := statemachine.Time(1_700_000_000_000_000_000)
	w := New(crypto.Hash("test/registry", nil), clients)
	m, err := w.Machine()
	require.NoError(t, err)
	model, good := NewModel(w), 0
	for height := range uint64(256) {
		b := statemachine.Block{Height: height + 1, Time: now + statemachine.Time(height)*3600e9}
		e := signed.Envelope{Deadline: b.Time + 1e9, Op: []byte{byte(height)}}
		require.NoError(t, e.Sign(registry.Space(w.chain), w.people[1]))
		for _, op := range [][]byte{{byte(height)}, {byte(height), 0}, registry.EncodeSigned(&e)} {
			b.Ops = append(b.Ops, statemachine.Op{Client: clients[0], Data: op})
		}
		model.Begin(b.Time)
		for i, res := range m.Apply(b) {
			require.NoError(t, model.Judge(clients[0], b.Ops[i].Data, res), "%q", b.Ops[i].Data)
			if res.Code == statemachine.CodeOK {
				good++
			}
		}
	}
	require.Equal(t, 1, good, "GetInfo alone is a byte")
}

// Queries go on beside blocks, and each answers from the state after one of them.
func TestQueriesBesideBlocks(t *testing.T) {
	clients := []crypto.PublicKey{{1}, {2}}
	now := statemachine.Time(1_700_000_000_000_000_000)
	w := New(crypto.Hash("test/registry", nil), clients)
	m, err := w.Machine()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(statemachine.WithCaller(t.Context(), clients[0]))
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				b, err := m.Query(statemachine.WithCaller(t.Context(), clients[0]), registry.Encode(&registry.ListRecords{Collection: "open"}))
				if err == nil {
					_, err = registry.DecodeAnswer(b)
				}
				if refusal := new(access.Refusal); err != nil && !errors.As(err, &refusal) {
					t.Error(err)
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 3))
	for height := range uint64(150) {
		b := statemachine.Block{Height: height + 1, Time: now + statemachine.Time(height)*1e9}
		for range 5 {
			b.Ops = append(b.Ops, statemachine.Op{Client: clients[0], Data: w.Operation(r, 0, now)})
		}
		m.Apply(b)
		m.Digest()
	}
	cancel()
	readers.Wait()
}

func TestConformance(t *testing.T) {
	clients := []crypto.PublicKey{{1}, {2}, {3}, {4}}
	var w *Workload
	statetest.Run(t, statetest.Factory{
		New: func() statemachine.StateMachine {
			w = New(crypto.Hash("test/registry", nil), clients)
			m, err := w.Machine()
			require.NoError(t, err)
			return m
		},
		Gen: func(r *rand.Rand) []byte {
			if w == nil {
				w = New(crypto.Hash("test/registry", nil), clients)
			}
			return w.Operation(r, r.IntN(4), 1_700_000_000_000_000_000)
		},
		Seeds: 4,
	})
}
