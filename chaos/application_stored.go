package chaos

import (
	"context"
	"fmt"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/store"
)

// ballast is the key-value store on statemachine/store, with keys that nobody uses: they
// are there from the beginning, so that the tree has a few levels, most of which is the
// same at everybody.
type ballast struct{ *kv.Handler }

// ballastKeys is how many there are.
const ballastKeys = 150

// Found implements store.Founder.
func (b ballast) Found(t store.Txn) {
	b.Handler.Found(t)
	for i := range ballastKeys {
		put := statemachine.Op{Data: kv.Put(fmt.Appendf(nil, "ballast/%d", i), []byte("lies in the hold"))}
		b.Handler.Apply(t, new(statemachine.Block), &put)
	}
}

// newStored makes the application of [Options.Stored].
func newStored(cfg store.Config) (statemachine.StateMachine, error) {
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	h, err := kv.NewHandler(kv.DefaultLimits())
	must(err)
	return store.NewMachine(s, ballast{h})
}
