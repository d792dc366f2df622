package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// What a commander may say.
const (
	attack  = "attack"
	retreat = "retreat"
	silence = ""
)

// order is the replicated application: the first valid order that the log holds
// stands for good. Only the commander's key gives orders.
type order struct {
	commander crypto.PublicKey
	given     string
}

// Codes of refused orders.
const (
	// codeNotCommander: somebody else signed it.
	codeNotCommander = statemachine.CodeApplication
	// codeGiven: there is an order already; the data is that.
	codeGiven = statemachine.CodeApplication + 1
)

// Apply runs the operations of a block.
func (o *order) Apply(b statemachine.Block) []statemachine.Result {
	return statemachine.PerOp(b, o.take, nil)
}

func (o *order) take(op statemachine.Op) statemachine.Result {
	switch said := string(op.Data); {
	case said != attack && said != retreat:
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	case op.Client != o.commander:
		return statemachine.Reject(codeNotCommander, nil)
	case o.given != silence:
		return statemachine.Reject(codeGiven, []byte(o.given))
	default:
		o.given = said
		return statemachine.OK([]byte(said))
	}
}

// Digest identifies the state.
func (o *order) Digest() crypto.Digest { return crypto.Hash("example/order", []byte(o.given)) }

// Snapshot freezes the state.
func (o *order) Snapshot() (statemachine.Snapshot, error) {
	return snapshot{bytes.NewReader([]byte(o.given))}, nil
}

type snapshot struct{ io.WriterTo }

func (snapshot) Close() error { return nil }

// Restore reads what a Snapshot wrote.
func (o *order) Restore(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, 16))
	if err != nil {
		return err
	}
	switch said := string(data); said {
	case attack, retreat, silence:
		o.given = said
		return nil
	default:
		return fmt.Errorf("snapshot of an order: %q is none", said)
	}
}
