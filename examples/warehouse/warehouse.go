package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// warehouse is the application: how many there are of each item. It keeps nothing itself;
// all that it knows is in the store, under the item's name.
type warehouse struct{}

// open makes the application of one replica, with its state on the disk. What the store
// gives it: a digest, snapshots, proofs, reads of earlier heights, a feed of changes,
// repair after damage.
func open(ctx context.Context, dir string) (statemachine.StateMachine, error) {
	cfg := store.DefaultConfig()
	cfg.Dir = dir // empty: in memory
	s, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return store.NewMachine(s, warehouse{})
}

// What the application refuses. The rest is refused by the store's machine.
const (
	codeTooFew  = statemachine.CodeApplication + iota // there are not so many to take
	codeTooMany                                       // there is no room for so many
)

// operation is "put ITEM N" or "take ITEM N".
type operation struct {
	take bool
	item []byte
	n    uint64
}

const maxItem = 64 // bytes of a name

// decode reads an operation. It came from a client, who may be anybody.
func decode(data []byte) (o operation, ok bool) {
	words := bytes.Split(data, []byte(" "))
	if len(words) != 3 || len(words[1]) == 0 || len(words[1]) > maxItem {
		return o, false
	}
	n, err := strconv.ParseUint(string(words[2]), 10, 32)
	o = operation{take: string(words[0]) == "take", item: words[1], n: n}
	return o, err == nil && bytes.Equal(o.encode(), data) // there is one way to write each
}

func (o operation) encode() []byte {
	verb := "put"
	if o.take {
		verb = "take"
	}
	return fmt.Appendf(nil, "%s %s %d", verb, o.item, o.n)
}

// Apply runs one operation, in a transaction of its own: what it has changed is kept if
// the result is a success, and else forgotten.
func (warehouse) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	o, ok := decode(op.Data)
	if !ok {
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	}
	n := stock(t, o.item)
	switch {
	case o.take && o.n > n:
		return statemachine.Reject(codeTooFew, number(n))
	case o.take:
		n -= o.n
	case n > math.MaxUint64-o.n:
		return statemachine.Reject(codeTooMany, number(n))
	default:
		n += o.n
	}
	if n == 0 {
		t.Delete(o.item)
	} else {
		t.Set(o.item, number(n))
	}
	return statemachine.OK(number(n))
}

// Query answers how many there are of an item, from the state after a block: without the
// log, see Client.Read and Client.ReadAt.
func (warehouse) Query(_ context.Context, r store.Reader, item []byte) ([]byte, error) {
	if len(item) == 0 || len(item) > maxItem {
		return nil, fmt.Errorf("an item's name of %d bytes: write 1 to %d", len(item), maxItem)
	}
	return number(stock(r, item)), nil
}

func stock(r store.Reader, item []byte) uint64 {
	v, there := r.Get(item)
	if !there {
		return 0
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("warehouse: the state has %q of %s", v, item)) // Apply writes numbers only
	}
	return n
}

func number(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }
