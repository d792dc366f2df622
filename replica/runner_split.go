package replica

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/parley-bft/parley/pbft"
)

// A checkpoint for which no certificate can exist (pbft.Split): the replicas came to different
// states, and nobody knows which is right. No replica can repair itself, so people have to: they
// install an application that is deterministic, everywhere, and start the replicas again. These
// must not begin with snapshots of their own then that no certificate confirms, for those are
// what differs. That there was a split is therefore on the disk (HostSplit) until there is a
// certificate again: a start deletes such snapshots, and executes the log again from the last
// one that all agree on, or from its beginning.
//
// A split waits for its turn behind the blocks that are executed, so it may be over before it
// is noted:
//
//  1. The votes at a height cannot agree any more: a split waits in the runner's queue.
//  2. A checkpoint above is certified: splitOver, beside the runner, finds none to end.
//  3. The runner comes to the split. Noted now it would stay, here and on the disk, until the
//     next checkpoint, in an idle cluster for ever.
//
// So splitOver notes what is certified, and splitFound looks there.

// splits is what is known of a split.
type splits struct {
	mu        sync.Mutex  // held while one is written down or is over
	certified pbft.Height // the highest that splitOver was told
}

// splitFound notes a split that is not over, and finds out what differs.
func (r *runner) splitFound(s *pbft.Split) error {
	if noted, err := r.noteSplit(s); err != nil || !noted {
		return err
	}
	if r.repair.examineSplit != nil {
		r.repair.examineSplit(s)
	}
	return nil
}

func (r *runner) noteSplit(s *pbft.Split) (noted bool, err error) {
	r.splits.mu.Lock()
	defer r.splits.mu.Unlock()
	if s.Height <= r.splits.certified {
		return false, nil
	}
	value := binary.BigEndian.AppendUint64(nil, uint64(s.Height))
	if err := r.store.WriteHost([]HostRecord{{Key: HostKey{Kind: HostSplit}, Value: value}}, true); err != nil {
		return false, err
	}
	r.split.Store(uint64(s.Height))
	return true, nil
}

// splitOver notes that a checkpoint is certified. It may be called by any goroutine, and only by
// one at a time.
func (r *runner) splitOver(certified pbft.Height) (over bool, err error) {
	r.splits.mu.Lock()
	defer r.splits.mu.Unlock()
	r.splits.certified = max(r.splits.certified, certified)
	at := r.split.Load()
	if at == 0 || uint64(certified) < at {
		return false, nil
	}
	r.split.Store(0)
	return true, r.deleteSplit()
}

func (r *runner) deleteSplit() error {
	return r.store.WriteHost([]HostRecord{{Key: HostKey{Kind: HostSplit}, Delete: true}}, false)
}

// forgetSplit deletes, at a start, the snapshots that no certificate confirms, if there was a
// split.
func (r *runner) forgetSplit() error {
	v, err := r.store.GetHost(HostKey{Kind: HostSplit})
	if err != nil || v == nil {
		return err
	}
	if len(v) != 8 {
		return &CorruptError{Folder: r.folder.where(), Key: HostKey{Kind: HostSplit}.String(), Detail: fmt.Sprintf("%d bytes, not 8", len(v))}
	}
	at := binary.BigEndian.Uint64(v)
	stable, err := storedStable(r.store)
	if err != nil {
		return err
	}
	if stable != nil && uint64(stable.Height()) >= at {
		return r.deleteSplit() // it was over when this replica ended, and nobody had noted that yet
	}
	r.split.Store(at)
	r.logger.Warn("the replicas had come to different states before this start: snapshots that no certificate confirms are deleted, and the log is executed again from the last that one does", "height", at)
	return r.forgetWrong(0)
}
