package replica

import (
	"fmt"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What a GetState asks for: a byte that says what, then the request itself.
const (
	// askParts asks what the state with a digest is made of; the answer is the digests of
	// the application's state, the sessions and the manifest.
	askParts = 1
	// askState is a request of the application's (statemachine.PartedState).
	askState = 2
)

// serveState answers a GetState; nothing says that it is not here, or not to be had now.
// Any goroutine may call it.
func (r *runner) serveState(app statemachine.StateMachine, request []byte) ([]byte, error) {
	if len(request) == 0 {
		return nil, fmt.Errorf("replica: a GetState asks for nothing")
	}
	what, rest := request[0], request[1:]
	switch what {
	case askParts:
		var state pbft.Digest
		if len(rest) != len(state) {
			return nil, fmt.Errorf("replica: a GetState asks for the parts of a state by a digest of %d bytes", len(rest))
		}
		copy(state[:], rest)
		p, ok := r.seals.at(state)
		if !ok {
			return nil, nil
		}
		return encodeParts(p), nil
	case askState:
		parted, ok := app.(statemachine.PartedState)
		if !ok || r.repair.stops.Load() > 0 || r.parts.missing.Load() {
			return nil, nil
		}
		if !r.queryLock.TryRLock() {
			return nil, nil // it is being installed, which may take minutes
		}
		defer r.queryLock.RUnlock()
		if r.parts.missing.Load() {
			return nil, nil
		}
		answer, err := parted.ServeState(rest)
		if len(answer) > pbft.MaxStateAnswer {
			return nil, nil // longer than what travels, which none of a store's is: the asker takes the snapshot
		}
		return answer, err
	}
	return nil, fmt.Errorf("replica: a GetState asks for %d, this program knows 1 and 2", what)
}

func encodeParts(p receipt.StateParts) []byte {
	b := append([]byte(nil), p.App[:]...)
	b = append(b, p.Sessions[:]...)
	return append(b, p.Manifest[:]...)
}

// decodeParts reads what encodeParts wrote. That it is the truth shows its digest.
func decodeParts(b []byte) (p receipt.StateParts, ok bool) {
	if len(b) != 3*crypto.DigestSize {
		return p, false
	}
	copy(p.App[:], b)
	copy(p.Sessions[:], b[crypto.DigestSize:])
	copy(p.Manifest[:], b[2*crypto.DigestSize:])
	return p, true
}
