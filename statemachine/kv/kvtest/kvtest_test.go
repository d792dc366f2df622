package kvtest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// Both forms of the store against the model, over random histories, with room for few
// keys in every other one. The workload is of use only if everything happens.
func TestModel(t *testing.T) {
	codes, kinds := map[statemachine.ResultCode]int{}, map[string]int{}
	for name, open := range map[string]func(w *Workload) statemachine.StateMachine{
		"in memory":  func(w *Workload) statemachine.StateMachine { return kv.New(w.limits) },
		"on a store": func(w *Workload) statemachine.StateMachine { return w.Machine() },
	} {
		for seed := range uint64(8) {
			l := Limits()
			if seed%2 == 0 {
				l.MaxStateBytes = 1 << 10
			}
			rng, w := rand.New(rand.NewPCG(seed, 5)), New(l)
			m, model := open(w), NewModel(w)
			for height := range uint64(200) {
				b := statemachine.Block{Height: height + 1}
				for range rng.IntN(6) {
					client := rng.IntN(3)
					b.Ops = append(b.Ops, statemachine.Op{Client: crypto.PublicKey{byte(client)}, Data: w.Operation(rng, client, b.Time)})
				}
				model.Begin(b.Time)
				for i, res := range m.Apply(b) {
					op := b.Ops[i].Data
					require.NoError(t, model.Judge(b.Ops[i].Client, op, res), "%s, seed %d, height %d, operation %d: %q", name, seed, height, i, op)
					codes[res.Code]++
					r, err := kv.DecodeResult(res)
					require.NoError(t, err)
					kinds[r.Kind.String()+" "+r.Code.String()]++
					for _, inner := range r.Responses {
						kinds["in a txn: "+inner.Kind.String()]++
					}
					if r.More {
						kinds["more"]++
					}
				}
			}
		}
	}
	t.Log(codes, kinds)
	for _, c := range []statemachine.ResultCode{
		statemachine.CodeOK, statemachine.CodeMalformed, statemachine.CodeUnsupported, statemachine.CodeTooLarge, kv.CodeCompareFailed, kv.CodeNoSpace,
	} {
		require.Positive(t, codes[c], "never: %v", c)
	}
	for _, k := range []kv.Kind{kv.KindGet, kv.KindPut, kv.KindDelete, kv.KindRange} {
		require.Positive(t, kinds[k.String()+" "+statemachine.CodeOK.String()], "never: %v", k)
		require.Positive(t, kinds["in a txn: "+k.String()], "never in a transaction: %v", k)
	}
	require.Greater(t, kinds["swap "+statemachine.CodeOK.String()], 100)
	require.Positive(t, kinds["swap "+kv.CodeCompareFailed.String()])
	require.Positive(t, kinds["more"])
}

// A result that differs in anything is found.
func TestModelFindsWrongResults(t *testing.T) {
	w := New(Limits())
	run := func(edit func(*statemachine.Result)) error {
		m, model := w.Machine(), NewModel(w)
		b := statemachine.Block{Height: 1, Ops: []statemachine.Op{{Data: kv.Put([]byte("t1"), []byte("v"))}, {Data: kv.Get([]byte("t1"))}}}
		results := m.Apply(b)
		require.NoError(t, model.Judge(crypto.PublicKey{}, b.Ops[0].Data, results[0]))
		edit(&results[1])
		return model.Judge(crypto.PublicKey{}, b.Ops[1].Data, results[1])
	}
	require.NoError(t, run(func(*statemachine.Result) {}))
	require.Error(t, run(func(r *statemachine.Result) { r.Code = kv.CodeCompareFailed }))
	size := 0
	require.NoError(t, run(func(r *statemachine.Result) { size = len(r.Data) }))
	for i := range size {
		require.Error(t, run(func(r *statemachine.Result) { r.Data[i] ^= 1 }), "byte %d", i)
	}
}
