// Package kvtest makes random operations for a key-value store, and says how they must
// end: for simulated clusters with traitors in them, and for both forms of the store.
package kvtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// Workload is clients that share few keys. They do what takes more than one key, or
// more than its value: transactions, ranges, swaps at a revision, and nonsense. It belongs
// to one goroutine.
type Workload struct {
	limits kv.Limits
	// seen is what a [Model] knows of the keys, so that conditions hold now and then.
	seen map[string]entry
	made int
}

// Prefix is how the keys begin that the workload writes. It reads others too.
const Prefix = "t"

// keys is how many it writes.
const keys = 6

// Limits are small, so that they are met; but for the content's and the results', which
// would let operations of others fail that must not.
func Limits() kv.Limits {
	l := kv.DefaultLimits()
	l.MaxKeyBytes, l.MaxValueBytes, l.MaxTxnOps, l.MaxRangeKeys = 12, 80, 4, 5
	return l
}

// New makes the world of stores with these limits.
func New(limits kv.Limits) *Workload { return &Workload{limits: limits, seen: map[string]entry{}} }

// Machine makes the store of one replica, on a statemachine/store in memory.
func (w *Workload) Machine() *store.Machine {
	m, err := w.MachineOn(store.DefaultConfig())
	if err != nil {
		panic(err) // in memory nothing can fail
	}
	return m
}

// MachineOn is Machine with the state in a store of that configuration.
func (w *Workload) MachineOn(cfg store.Config) (*store.Machine, error) {
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	return kv.NewStored(s, w.limits)
}

// Operation makes the next operation of a client.
func (w *Workload) Operation(rng *rand.Rand, client int, _ statemachine.Time) []byte {
	w.made++
	switch rng.IntN(16) {
	case 0, 1, 2, 3, 4, 5, 6:
		return w.txn(rng, client)
	case 7:
		key := w.key(rng)
		return kv.SwapAtRevision(key, max(1, w.seen[string(key)].mod)+rng.Uint64N(2), w.value(client))
	case 8:
		return kv.Create(w.key(rng), w.value(client))
	case 9:
		key := w.key(rng)
		return kv.CompareAndSwap(key, []byte(w.seen[string(key)].value), w.value(client))
	case 10:
		return w.excess(rng, client)
	case 11:
		op := w.txn(rng, client)
		if rng.IntN(2) == 0 {
			return op[:rng.IntN(len(op)+1)]
		}
		op[rng.IntN(len(op))] ^= 1 << rng.IntN(8)
		return op
	}
	return w.simple(rng, client)
}

func (w *Workload) key(rng *rand.Rand) []byte {
	return fmt.Appendf(nil, "%s%d", Prefix, rng.IntN(keys))
}

// value is one that nobody else writes.
func (w *Workload) value(client int) []byte { return fmt.Appendf(nil, "%d/%d", client, w.made) }

// simple is what may stand in a transaction.
func (w *Workload) simple(rng *rand.Rand, client int) []byte {
	switch rng.IntN(8) {
	case 0, 1, 2:
		return kv.Put(w.key(rng), w.value(client))
	case 3, 4:
		return kv.Delete(w.key(rng))
	case 5:
		return kv.Get(w.key(rng))
	}
	// Also over the keys of others, and up to the end.
	ends := [][]byte{nil, []byte("a"), []byte("k"), w.key(rng), kv.Next(w.key(rng))}
	return kv.Range(ends[rng.IntN(len(ends))], ends[rng.IntN(len(ends))], kv.RangeOptions{Limit: rng.Uint32N(7), KeysOnly: rng.IntN(4) == 0})
}

func (w *Workload) txn(rng *rand.Rand, client int) []byte {
	var conditions []kv.Compare
	for range rng.IntN(3) {
		key := w.key(rng)
		conditions = append(conditions, []kv.Compare{
			kv.Exists(key), kv.Missing(key),
			{Key: key, Target: kv.TargetMod, Relation: w.relation(rng), Number: w.seen[string(key)].mod},
			{Key: key, Target: kv.TargetCreate, Relation: w.relation(rng), Number: w.seen[string(key)].create},
			{Key: key, Target: kv.TargetVersion, Relation: w.relation(rng), Number: rng.Uint64N(4)},
			{Key: key, Target: kv.TargetValue, Relation: w.relation(rng), Value: []byte(w.seen[string(key)].value)},
		}[rng.IntN(6)])
	}
	branch := func() (ops [][]byte) {
		for range rng.IntN(w.limits.MaxTxnOps) {
			ops = append(ops, w.simple(rng, client))
		}
		return ops
	}
	return kv.Txn(conditions, branch(), branch())
}

func (w *Workload) relation(rng *rand.Rand) kv.Relation { return kv.Equal + kv.Relation(rng.IntN(4)) }

// excess is what the store refuses whatever is in it.
func (w *Workload) excess(rng *rand.Rand, client int) []byte {
	long := strings.Repeat("x", max(w.limits.MaxKeyBytes, w.limits.MaxValueBytes)+1)
	many := make([][]byte, w.limits.MaxTxnOps+1)
	for i := range many {
		many[i] = kv.Get(w.key(rng))
	}
	put := kv.Put(w.key(rng), w.value(client)) // which must not run
	return [][]byte{
		kv.Put([]byte(long), nil), kv.Put(w.key(rng), []byte(long)), kv.Get(nil), kv.Delete([]byte(long)),
		kv.Txn(nil, append(many, put), nil), kv.Txn(nil, [][]byte{put, kv.Txn(nil, nil, nil)}, nil),
		kv.Txn(nil, [][]byte{put, kv.Create(w.key(rng), nil)}, nil), kv.Txn([]kv.Compare{kv.Exists([]byte(long))}, [][]byte{put}, nil),
		kv.Txn(nil, [][]byte{put}, [][]byte{kv.DigestQuery()}), kv.DigestQuery(), kv.RevisionQuery(), {}, {99},
	}[rng.IntN(13)]
}
