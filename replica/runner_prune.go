package replica

import (
	"errors"

	"github.com/parley-bft/parley/pbft"
)

// prune deletes what nothing needs any more when a snapshot is stable. It may run beside
// the runner's own goroutine.
func (r *runner) prune(stable pbft.Height) error {
	if err := errors.Join(r.archive.prune(stable), r.folder.prune(stable)); err != nil {
		return err
	}
	if r.parts.keeper == nil {
		return nil
	}
	// The states of the snapshots that are left, and of those that are being written, stay.
	left, err := r.folder.newest(^pbft.Height(0))
	if err != nil || len(left) == 0 {
		return err
	}
	r.parts.keeper.ReleaseSnapshots(uint64(left[len(left)-1]))
	return nil
}
