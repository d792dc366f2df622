package ledgertest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/ledger"
	"github.com/parley-bft/parley/statemachine/statetest"
)

var cluster = crypto.Hash("test", nil)

// clients are keys that nobody signs with: requests are taken for signed.
func clients(n int) []crypto.PublicKey {
	keys := make([]crypto.PublicKey, n)
	for i := range keys {
		keys[i][0] = byte(i)
	}
	return keys
}

// The ledger against the model, over random histories.
func TestModel(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	codes := map[statemachine.ResultCode]int{}
	succeeded := map[string]int{} // by the kind of action
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		keys := clients(4)
		w := New(crypto.Digest{byte(seed)}, keys)
		m, model := w.Machine(), NewModel(w)
		now := statemachine.Time(1000 * time.Second)
		for height := uint64(1); height <= 60; height++ {
			now += statemachine.Time(time.Second) * statemachine.Time(rng.IntN(4)) // what expires does so on the second, too
			b := statemachine.Block{Height: height, Time: now}
			for i := range rng.IntN(12) {
				client := rng.IntN(len(keys))
				b.Ops = append(b.Ops, statemachine.Op{Client: keys[client], Seq: height, Index: i, Data: w.Operation(rng, client, now)})
			}
			results := m.Apply(b)
			model.Begin(now)
			for i, op := range b.Ops {
				codes[results[i].Code]++
				if results[i].Code == statemachine.CodeOK {
					count(succeeded, op.Data)
				}
				require.NoError(t, model.Judge(op.Client, op.Data, results[i]), "seed %d, height %d, operation %d: %q", seed, height, i, op.Data)
			}
			v, err := m.Store().Last()
			require.NoError(t, err)
			require.NoError(t, model.Compare(v), "seed %d, height %d", seed, height)
		}
		v, err := m.Store().Last()
		require.NoError(t, err)
		require.NoError(t, ledger.Audit(v))
	}
	t.Log(succeeded)
	for _, kind := range []string{"Issue", "Retire", "Freeze", "Admit", "Clawback", "Transfer", "PlaceHold", "Capture", "Release", "Trust", "Pay", "Pay through", "Pay converted", "MakeOffer", "TakeOffer", "CancelOffer", "Advance",
		"OpenAccount", "SetKeys", "DefineAsset", "SetRules", "CloseAsset"} {
		require.GreaterOrEqual(t, succeeded[kind], 5, kind)
	}
	// The workload is of use only if much of it succeeds, and everything goes wrong too.
	require.Greater(t, codes[statemachine.CodeOK], 2000)
	for c := ledger.CodeInvalid; c <= ledger.CodeTooMany; c++ {
		if c != ledger.CodeNoPath {
			require.Positive(t, codes[c], "never: %v", (&ledger.Rejection{Code: c, Action: ledger.NoAction}).Error())
		}
	}
}

// count counts the actions of a transaction that ran.
func count(all map[string]int, op []byte) {
	if op[0] != 1 {
		return
	}
	r := canon.NewReader(op[1:])
	tx, err := ledger.DecodeTransaction(r.Bytes(len(op)))
	if err != nil {
		return
	}
	for _, a := range tx.Actions {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", a), "*ledger.")
		if p, ok := a.(*ledger.Pay); ok && p.Source != p.Asset {
			kind = "Pay converted"
		} else if ok && len(p.Path) > 0 {
			kind = "Pay through"
		}
		all[kind]++
	}
}

func TestConformance(t *testing.T) {
	w := New(cluster, clients(4))
	statetest.Run(t, statetest.Factory{
		Seeds: 3, MaxOps: 25,
		New: func() statemachine.StateMachine { return w.Machine() },
		Gen: func(r *rand.Rand) []byte {
			// What it remembers of one history must not leak into another.
			fresh := New(cluster, clients(4))
			if r.IntN(20) == 0 {
				return []byte{byte(r.IntN(256)), byte(r.IntN(256))}
			}
			return fresh.Operation(r, r.IntN(4), statemachine.Time(1_700_000_000_000_000_000))
		},
	})
}
