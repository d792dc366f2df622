package statetest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/parley-bft/parley/statemachine"
)

// restore restores m's snapshot r, after the block of a height, into other. One that only names its state, which other
// does not have, has it brought from m, as a replica has it brought from its peers.
func restore(m, other statemachine.StateMachine, height int, r io.Reader) error {
	err := other.Restore(r)
	if !errors.Is(err, statemachine.ErrStateElsewhere) {
		return err
	}
	if !keeps(m) || !keeps(other) {
		return fmt.Errorf("%w, but the machine does not say that it keeps states (statemachine.SnapshotKeeper)", err)
	}
	_, err = other.(statemachine.PartedState).SyncState(context.Background(), statemachine.StateTarget{
		Height: uint64(height), Digest: m.Digest(), Peers: []statemachine.StatePeer{servant{m.(statemachine.PartedState)}},
	})
	return err
}

// keeps tells whether a machine's snapshots only name states.
func keeps(m statemachine.StateMachine) bool {
	k, ok := m.(statemachine.SnapshotKeeper)
	return ok && k.KeepsSnapshots()
}

// servant is a machine as a peer.
type servant struct{ m statemachine.PartedState }

func (s servant) Ask(_ context.Context, request []byte) ([]byte, error) {
	return s.m.ServeState(request)
}
