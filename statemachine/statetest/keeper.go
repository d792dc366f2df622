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
	source, here := m.(statemachine.SnapshotKeeper)
	target, there := other.(statemachine.SnapshotKeeper)
	if !here || !there || !source.KeepsSnapshots() || !target.KeepsSnapshots() {
		return fmt.Errorf("%w, but the machine does not say that it keeps states (statemachine.SnapshotKeeper)", err)
	}
	_, err = target.SyncState(context.Background(), statemachine.StateTarget{
		Height: uint64(height), Digest: m.Digest(), Peers: []statemachine.StatePeer{servant{source}},
	})
	return err
}

// servant is a machine as a peer.
type servant struct{ m statemachine.PartedState }

func (s servant) Ask(_ context.Context, request []byte) ([]byte, error) {
	return s.m.ServeState(request)
}
