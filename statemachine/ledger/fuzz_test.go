package ledger_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/ledger/ledgertest"
	"github.com/parley-bft/parley/statemachine/store"
)

const start = statemachine.Time(1000 * time.Second)

// lived is a world with a ledger that has lived for a while.
func lived(seed uint64, blocks int) (*ledgertest.Workload, *store.Machine, [][]byte, []statemachine.Result) {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := ledgertest.New(crypto.Hash("fuzz", nil), make([]crypto.PublicKey, 1))
	m := w.Machine()
	var ops [][]byte
	var results []statemachine.Result
	for h := range uint64(blocks) {
		b := statemachine.Block{Height: h + 1, Time: start + statemachine.Time(h)}
		for i := range 8 {
			b.Ops = append(b.Ops, statemachine.Op{Seq: h, Index: i, Data: w.Operation(rng, 0, start)})
			ops = append(ops, b.Ops[i].Data)
		}
		results = append(results, m.Apply(b)...)
	}
	return w, m, ops, results
}

// FuzzApply: any bytes are an operation that ends with a result within the limits, whose
// data decodes, and after which the books are right.
func FuzzApply(f *testing.F) {
	_, _, ops, _ := lived(1, 20)
	for _, op := range ops {
		f.Add(op)
	}
	w, m, _, _ := lived(2, 12)
	cfg := ledger.Config{Limits: w.Limits(), Cluster: crypto.Hash("fuzz", nil)}
	f.Fuzz(func(t *testing.T, op []byte) {
		res, err := ledger.Try(m.Store(), cfg, &statemachine.Block{Height: 13, Time: start + 20}, &statemachine.Op{Seq: 13, Data: op})
		require.NoError(t, err)
		require.LessOrEqual(t, len(res.Data), w.Limits().MaxResultBytes+64)
		if len(op) > 0 && op[0] >= 64 {
			return
		}
		_, err = ledger.DecodeResult(res)
		require.NoError(t, err)
	})
}

// FuzzTransaction: any bytes are refused, or are the one encoding of the transaction
// that they decode to.
func FuzzTransaction(f *testing.F) {
	_, _, ops, _ := lived(1, 20)
	for _, op := range ops {
		if op[0] == 1 || op[0] == 2 {
			f.Add(canon.NewReader(op[1:]).Bytes(len(op)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := ledger.DecodeTransaction(b)
		if err != nil {
			require.ErrorIs(t, err, canon.ErrMalformed)
			return
		}
		require.Equal(t, b, tx.Encode())
	})
}

// FuzzDecode: results, answers and records are read, or refused, and never more is made
// of them than there is.
func FuzzDecode(f *testing.F) {
	_, m, ops, results := lived(1, 20)
	for i, r := range results {
		f.Add(uint32(r.Code), r.Data)
		if ops[i][0] == 2 {
			f.Add(uint32(0), ops[i])
		}
	}
	v, err := m.Store().Last()
	require.NoError(f, err)
	for _, value := range v.Range(nil, nil) {
		f.Add(uint32(0), value)
	}
	f.Fuzz(func(t *testing.T, code uint32, b []byte) {
		out, err := ledger.DecodeResult(statemachine.Result{Code: statemachine.ResultCode(code), Data: b})
		if err != nil {
			require.ErrorIs(t, err, canon.ErrMalformed)
			require.Empty(t, out)
		}
		for _, decode := range []func([]byte) (any, error){
			func(b []byte) (any, error) { return wrap(ledger.DecodeAccount(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeAsset(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeHolding(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeEntry(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeHold(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeLine(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeOffer(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeProposal(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodePath(b)) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeStatement(b)) },
			func(b []byte) (any, error) { v, _, err := ledger.DecodeValue(b); return wrap(v, err) },
			func(b []byte) (any, error) { v, _, err := ledger.DecodeRange(b); return wrap(v, err) },
			func(b []byte) (any, error) { return wrap(ledger.DecodeHeight(b)) },
		} {
			if v, err := decode(b); err != nil {
				require.ErrorIs(t, err, canon.ErrMalformed)
				require.Empty(t, v)
			}
		}
		ledger.NamesOf(b)
		a := ledger.NewAuditor(true)
		a.Add(b, b)
	})
}

func wrap[T any](v T, err error) (any, error) { return v, err }

// FuzzQuery: any bytes are answered or refused.
func FuzzQuery(f *testing.F) {
	_, m, ops, _ := lived(1, 20)
	for _, op := range ops {
		if op[0] >= 64 {
			f.Add(op)
		}
	}
	f.Add(ledger.HeightQuery())
	f.Add(ledger.RangeAtQuery(3, ledger.AccountsPage()))
	f.Fuzz(func(t *testing.T, q []byte) {
		_, _ = m.Query(t.Context(), q)
	})
}

// FuzzAmount: what is read as an amount is written as the same amount.
func FuzzAmount(f *testing.F) {
	f.Add("12.50", uint8(2))
	f.Fuzz(func(t *testing.T, s string, decimals uint8) {
		decimals %= ledger.MaxDecimals + 1
		n, err := ledger.ParseAmount(s, decimals)
		if err != nil {
			require.ErrorIs(t, err, ledger.ErrAmount)
			return
		}
		again, err := ledger.ParseAmount(ledger.FormatAmount(n, decimals), decimals)
		require.NoError(t, err)
		require.Equal(t, n, again)
	})
}
