package chaos

import (
	"slices"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// disk is what a replica keeps across crashes.
type disk struct {
	*replica.MemoryStore
	// image is what a crash would leave of the protocol's records, kept apart from the
	// store to judge it by; pending is what a crash would take.
	image   map[pbft.RecordKey][]byte
	pending []pbft.Record

	snapshots map[pbft.Height]*savedSnapshot
	incoming  *incoming
	// damaged is the height of the highest snapshot that a fault took.
	damaged pbft.Height
	// follower says that the log was lost and the core has not yet written down that
	// it knows.
	follower bool
}

// savedSnapshot is a durable snapshot.
type savedSnapshot struct {
	data          []byte
	manifest      *snapshot.Manifest
	app, sessions pbft.Digest
}

// incoming is a state transfer, as far as it is on the disk.
type incoming struct {
	height   pbft.Height
	encoded  []byte // the Manifest as it came
	manifest *snapshot.Manifest
	chunks   [][]byte
}

func newDisk() *disk {
	return &disk{MemoryStore: replica.NewMemoryStore(), image: map[pbft.RecordKey][]byte{}, snapshots: map[pbft.Height]*savedSnapshot{}}
}

// Write implements replica.Store.
func (d *disk) Write(records []pbft.Record, sync bool) error {
	if err := d.MemoryStore.Write(records, sync); err != nil {
		return err
	}
	d.pending = append(d.pending, records...)
	if !sync {
		return nil
	}
	for _, r := range d.pending {
		if r.Delete {
			delete(d.image, r.Key)
		} else {
			d.image[r.Key] = r.Value
		}
	}
	d.pending = d.pending[:0]
	return nil
}

// crash loses what was not synced. Of batches that were being written a prefix may
// have reached the disk all the same.
func (d *disk) crash(reached []*replica.Batch) {
	for _, b := range reached {
		must(d.Write(b.Records, true))
	}
	d.Crash()
	d.pending = d.pending[:0]
}

// heights lists the snapshots up to a height, the newest first.
func (d *disk) heights(upTo pbft.Height) []pbft.Height {
	var hs []pbft.Height
	for h := range d.snapshots {
		if h <= upTo {
			hs = append(hs, h)
		}
	}
	slices.Sort(hs)
	slices.Reverse(hs)
	return hs
}

// prune keeps the last two stable snapshots, and those above.
func (d *disk) prune(stable pbft.Height) {
	for i, h := range d.heights(stable) {
		if i >= 2 {
			delete(d.snapshots, h)
		}
	}
}

// served is a Manifest as replicas exchange it: the digests of application and
// sessions, which the certified state covers as well, before the list of chunks.
func (s *savedSnapshot) served() []byte {
	b := append([]byte(nil), s.app[:]...)
	b = append(b, s.sessions[:]...)
	return append(b, s.manifest.Encode()...)
}

func (s *savedSnapshot) state() pbft.Digest {
	return statemachine.StateDigest(s.app, s.sessions, s.manifest.Root())
}

func (s *savedSnapshot) chunk(i int) []byte {
	at := int(s.manifest.Offset(i))
	return s.data[at : at+s.manifest.ChunkLen(i)]
}

// must is for what can only fail through a mistake in this package.
func must(err error) {
	if err != nil {
		panic("chaos: " + err.Error())
	}
}
