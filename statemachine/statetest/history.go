package statetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// history is a random sequence of blocks.
type history struct {
	Factory
	rand   *rand.Rand
	blocks []statemachine.Block
}

func newHistory(f Factory, seed uint64) *history {
	if f.Blocks == 0 {
		f.Blocks = 12
	}
	if f.MaxOps == 0 {
		f.MaxOps = 40
	}
	h := &history{Factory: f, rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	at := statemachine.Time(1_700_000_000_000_000_000)
	for i := range f.Blocks {
		at += statemachine.Time(h.rand.Uint64N(1e9))
		b := statemachine.Block{Height: uint64(i) + 1, Time: at}
		binary.BigEndian.PutUint64(b.Digest[:], h.rand.Uint64())
		// Empty blocks happen, too.
		for range h.rand.IntN(f.MaxOps + 1) {
			op := statemachine.Op{Seq: h.rand.Uint64N(1000) + 1, Data: f.Gen(h.rand)}
			op.Client[0] = byte(h.rand.IntN(4))
			b.Ops = append(b.Ops, op)
		}
		h.blocks = append(h.blocks, b)
	}
	return h
}

// copyOf returns b with data of its own, as every replica has its own.
func copyOf(b statemachine.Block) statemachine.Block {
	ops := make([]statemachine.Op, len(b.Ops))
	for i, op := range b.Ops {
		op.Data = append([]byte(nil), op.Data...)
		ops[i] = op
	}
	b.Ops = ops
	return b
}

// apply runs blocks on m and returns all results, deeply copied.
func apply(m statemachine.StateMachine, blocks []statemachine.Block) []statemachine.Result {
	var all []statemachine.Result
	for _, b := range blocks {
		all = append(all, clone(m.Apply(copyOf(b)))...)
	}
	return all
}

func clone(results []statemachine.Result) []statemachine.Result {
	out := make([]statemachine.Result, len(results))
	for i, r := range results {
		out[i] = statemachine.Result{Code: r.Code, Data: append([]byte(nil), r.Data...)}
	}
	return out
}

// differ describes the first difference between two lists of results.
func differ(a, b []statemachine.Result) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d and %d results", len(a), len(b))
	}
	for i := range a {
		if a[i].Code != b[i].Code || !bytes.Equal(a[i].Data, b[i].Data) {
			return fmt.Errorf("result %d: %v %x and %v %x", i, a[i].Code, a[i].Data, b[i].Code, b[i].Data)
		}
	}
	return nil
}

// same compares two machines by digest and snapshot bytes.
func same(a, b statemachine.StateMachine) error {
	if x, y := a.Digest(), b.Digest(); x != y {
		return fmt.Errorf("digests %v and %v", x, y)
	}
	x, err := snapshot(a)
	if err != nil {
		return err
	}
	y, err := snapshot(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fmt.Errorf("digests are equal, snapshots of %d and %d bytes are not", len(x), len(y))
	}
	return nil
}

func snapshot(m statemachine.StateMachine) ([]byte, error) {
	s, err := m.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("taking a snapshot: %w", err)
	}
	return written(s)
}

func written(s statemachine.Snapshot) ([]byte, error) {
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil {
		return nil, fmt.Errorf("writing a snapshot: %w", err)
	}
	if n != int64(b.Len()) {
		return nil, fmt.Errorf("writing a snapshot: it says %d bytes and wrote %d", n, b.Len())
	}
	if err := s.Close(); err != nil {
		return nil, fmt.Errorf("closing a snapshot: %w", err)
	}
	return b.Bytes(), nil
}

// digests runs blocks and returns the digest after each.
func digests(m statemachine.StateMachine, blocks []statemachine.Block) []crypto.Digest {
	var all []crypto.Digest
	for _, b := range blocks {
		m.Apply(copyOf(b))
		all = append(all, m.Digest())
	}
	return all
}
