package chaos

import (
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// disk is what a replica keeps across crashes.
type disk struct {
	*replica.MemoryStore
	snapshots *replica.MemorySnapshots
	// image is what a crash would leave of the protocol's records, kept apart from the
	// store to judge it by; pending is what a crash would take.
	image   map[pbft.RecordKey][]byte
	pending []pbft.Record
	// fresh says that the replica has never run.
	fresh bool
	// damaged is the height of the highest snapshot that a fault took.
	damaged pbft.Height
	// follower says that the log was lost and the core has not yet written down that
	// it knows.
	follower bool
}

var _ replica.Store = (*disk)(nil)

func newDisk() *disk {
	return &disk{
		MemoryStore: replica.NewMemoryStore(), snapshots: replica.NewMemorySnapshots(chunkSize),
		image: map[pbft.RecordKey][]byte{}, fresh: true,
	}
}

// emptyDisk is one that came in place of a lost one.
func emptyDisk() *disk {
	d := newDisk()
	d.fresh, d.follower = false, true
	return d
}

// Write implements replica.Store.
func (d *disk) Write(records []pbft.Record, sync bool) error {
	if err := d.MemoryStore.Write(records, sync); err != nil {
		return err
	}
	d.pending = append(d.pending, records...)
	if sync {
		d.synced()
	}
	return nil
}

// WriteHost implements replica.Store.
func (d *disk) WriteHost(records []replica.HostRecord, sync bool) error {
	if err := d.MemoryStore.WriteHost(records, sync); err != nil {
		return err
	}
	if sync {
		d.synced()
	}
	return nil
}

func (d *disk) synced() {
	for _, r := range d.pending {
		if r.Delete {
			delete(d.image, r.Key)
			continue
		}
		d.image[r.Key] = r.Value
		if r.Key.Kind == pbft.RecordRejoin {
			d.follower = false
		}
	}
	clear(d.pending)
	d.pending = d.pending[:0]
}

// Crash loses what was not synced.
func (d *disk) Crash() {
	d.MemoryStore.Crash()
	clear(d.pending)
	d.pending = d.pending[:0]
}

// newest is the height of the highest snapshot.
func (d *disk) newest() pbft.Height {
	hs := d.snapshots.Heights()
	if len(hs) == 0 {
		return 0
	}
	return hs[len(hs)-1]
}

// must is for what can only fail through a mistake in this package.
func must(err error) {
	if err != nil {
		panic("chaos: " + err.Error())
	}
}
