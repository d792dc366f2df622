package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// poll counts votes. An operation is a candidate's name, one vote for it; the
// result is who leads now.
type poll struct {
	votes map[string]int
	fixed bool
}

func newPoll(fixed bool) *poll { return &poll{map[string]int{}, fixed} }

// vote makes a client's next operation, from the random numbers of the seed.
func vote(rng *rand.Rand, client, n int) []byte {
	return []byte([]string{"Anna", "Ben", "Carol", "Dave"}[rng.IntN(4)])
}

// Apply counts the votes of a block.
func (p *poll) Apply(b statemachine.Block) []statemachine.Result {
	return statemachine.PerOp(b, func(op statemachine.Op) statemachine.Result {
		p.votes[string(op.Data)]++
		return statemachine.OK([]byte(p.leader()))
	}, nil)
}

// leader is whoever has the most votes.
func (p *poll) leader() (best string) {
	if p.fixed {
		for _, name := range slices.Sorted(maps.Keys(p.votes)) {
			if p.votes[name] > p.votes[best] {
				best = name
			}
		}
		return best
	}
	for name, n := range p.votes { // the bug
		if n > p.votes[best] {
			best = name
		}
	}
	return best
}

// encode writes the state; JSON sorts the keys of a map.
func (p *poll) encode() []byte {
	data, err := json.Marshal(p.votes)
	if err != nil {
		panic(err) // strings and numbers always can be
	}
	return data
}

// Digest identifies the state.
func (p *poll) Digest() crypto.Digest { return crypto.Hash("poll", p.encode()) }

// Snapshot freezes the state.
func (p *poll) Snapshot() (statemachine.Snapshot, error) {
	return snapshot{bytes.NewReader(p.encode())}, nil
}

type snapshot struct{ io.WriterTo }

func (snapshot) Close() error { return nil }

// Restore reads what a Snapshot wrote, and nothing else.
func (p *poll) Restore(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	q := newPoll(p.fixed)
	if err := json.Unmarshal(data, &q.votes); err != nil || q.votes == nil || !bytes.Equal(q.encode(), data) {
		return fmt.Errorf("snapshot of a poll: %q is none", data)
	}
	*p = *q
	return nil
}
