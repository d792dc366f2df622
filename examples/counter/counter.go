package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// counter is the application: a number. An operation is another number, as
// decimal digits, to add to it; the result is the sum.
type counter struct{ sum uint64 }

func newCounter() statemachine.StateMachine { return new(counter) }

// Apply runs the operations of a block. All replicas see the same blocks in the
// same order, so all have the same sum.
func (c *counter) Apply(b statemachine.Block) []statemachine.Result {
	return statemachine.PerOp(b, c.add, nil)
}

// codeOverflow answers an addition that was refused because of its size.
const codeOverflow = statemachine.CodeApplication

func (c *counter) add(op statemachine.Op) statemachine.Result {
	n, err := strconv.ParseUint(string(op.Data), 10, 64)
	switch {
	case err != nil:
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	case c.sum+n < c.sum:
		return statemachine.Reject(codeOverflow, nil)
	}
	c.sum += n
	return statemachine.OK(c.text())
}

func (c *counter) text() []byte { return strconv.AppendUint(nil, c.sum, 10) }

// Digest identifies the state; replicas compare theirs at checkpoints.
func (c *counter) Digest() crypto.Digest { return crypto.Hash("counter", c.text()) }

// Snapshot freezes the state, to be written to a disk or sent to a replica that
// was away for long.
func (c *counter) Snapshot() (statemachine.Snapshot, error) {
	return snapshot{bytes.NewReader(c.text())}, nil
}

type snapshot struct{ io.WriterTo }

func (snapshot) Close() error { return nil }

// Restore reads what a Snapshot wrote. It came from a disk or a peer: anything but
// the one way to write a number is refused.
func (c *counter) Restore(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, 32))
	if err != nil {
		return err
	}
	sum, err := strconv.ParseUint(string(data), 10, 64)
	if restored := (&counter{sum}); err != nil || !bytes.Equal(restored.text(), data) {
		return fmt.Errorf("snapshot of a counter: %q is no number", data)
	}
	c.sum = sum
	return nil
}
