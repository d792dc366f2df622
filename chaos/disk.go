package chaos

import (
	"maps"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine/store"
)

// disk is what a replica keeps across crashes.
type disk struct {
	*replica.MemoryStore
	snapshots *replica.MemorySnapshots
	// state is where the application keeps its state, nil if it does so in memory.
	state *store.MemoryDisk
	// image is what a crash would leave of the protocol's records, kept apart from the
	// store to judge it by; pending is what a crash would take.
	image   map[pbft.RecordKey][]byte
	pending []pbft.Record
	// states are the values of the core's state in the write that is under way, with
	// that before it: several batches share a write, and what the first of them lets
	// leave rests on its own state.
	states [][]byte
	// fresh says that the replica has never run.
	fresh bool
	// damaged is the height of the highest snapshot that a fault took.
	damaged pbft.Height
	// failing says that an access failed or may fail, failed that one did since the
	// last start, hooked that they may fail from now on. failure is what they fail with.
	failing, failed, hooked bool
	failure                 error
	// owes says that an access failed after which the replica must stop, misdirected
	// that the next read returns another key's value.
	owes, misdirected bool
	// follower says that the log was lost and the core has not yet written down that
	// it knows.
	follower bool
	// replaced says that it came in place of a lost one, since that a CommitQC of this
	// view was the highest then.
	replaced bool
	since    pbft.View
	// mute is the first view above those in which its replica voted from a disk that it
	// lost: it may vote there again, and not before (PROTOCOL 14).
	mute pbft.View
}

var _ replica.Store = (*disk)(nil)

// keptSyncs is how many synced writes a fault can take at most.
const keptSyncs = 4

func newDisk() *disk {
	d := &disk{
		MemoryStore: replica.NewMemoryStore(), snapshots: replica.NewMemorySnapshots(chunkSize),
		image: map[pbft.RecordKey][]byte{}, fresh: true,
	}
	d.Keep(keptSyncs)
	return d
}

// clone is an image of what a crash would leave.
func (d *disk) clone() *disk {
	c := *d
	c.MemoryStore, c.snapshots = d.MemoryStore.Clone(), d.snapshots.Clone()
	if d.state != nil {
		c.state = d.state.Clone()
	}
	c.image, c.pending = maps.Clone(d.image), nil
	c.failing, c.failed, c.hooked, c.owes, c.misdirected = false, false, false, false, false
	return &c
}

// fault makes every access ask f whether it fails; if so, with an error that is
// failure. A nil f asks nobody.
func (d *disk) fault(failure error, f func(op string) error) {
	if f == nil {
		d.MemoryStore.Fault(nil)
		d.snapshots.Fault(nil)
		if d.state != nil {
			d.state.Fault(nil)
		}
		d.hooked = false
		d.failing = d.failed || d.misdirected
		return
	}
	d.MemoryStore.Fault(func(op string) error {
		err := f(op)
		d.failed = d.failed || err != nil
		d.owes = d.owes || err != nil
		return err
	})
	d.snapshots.Fault(func(op string) error {
		err := f(op)
		d.failed = d.failed || err != nil
		// A snapshot that cannot be read for a peer is had elsewhere.
		d.owes = d.owes || err != nil && op == "write"
		return err
	})
	if d.state != nil {
		d.state.Fault(func(op string) error { return d.stateFails(op, f) })
	}
	d.hooked, d.failing, d.failed, d.failure = true, true, false, failure
}

// stateFails asks f whether an access to the application's state fails. What cannot be read there is
// damage, which is a fault of its own. A sync beside blocks is missed when the state is next used.
func (d *disk) stateFails(op string, f func(op string) error) error {
	beside := op == "later"
	switch {
	case op == "read":
		return nil
	case beside:
		op = "sync"
	}
	err := f(op)
	d.failed = d.failed || err != nil
	d.owes = d.owes || err != nil && !beside
	return err
}

// Misdirect makes the next read of one key return another key's value.
func (d *disk) Misdirect() {
	d.MemoryStore.Misdirect()
	d.misdirected, d.failing, d.failure = true, true, replica.ErrCorrupt
}

// misread notes that a read has returned something. What belongs to another key is
// to be found out at once.
func (d *disk) misread(value []byte, err error) {
	if d.misdirected && (value != nil || err != nil) {
		d.misdirected, d.failed, d.owes = false, true, true
	}
}

// Get implements replica.Store.
func (d *disk) Get(key pbft.RecordKey) ([]byte, error) {
	v, err := d.MemoryStore.Get(key)
	d.misread(v, err)
	return v, err
}

// GetHost implements replica.Store.
func (d *disk) GetHost(key replica.HostKey) ([]byte, error) {
	v, err := d.MemoryStore.GetHost(key)
	if key.Kind != replica.HostBorn { // of which there is only one
		d.misread(v, err)
	}
	return v, err
}

// crashState has the application's state lose what was not synced: all of it, or from some batch
// on. It tells whether there was anything.
func (d *disk) crashState(pick func(n int) int) bool {
	return d.state != nil && d.state.Crash(pick) > 0
}

// lose takes synced writes from the disk; see replica.MemoryStore.Lose.
func (d *disk) lose(n int, later bool) int {
	n = d.Lose(n, later)
	clear(d.image)
	must(d.Durable(func(k pbft.RecordKey, v []byte) { d.image[k] = append([]byte(nil), v...) }))
	return n
}

// damagedNow tells whether anything of the store cannot be read.
func (d *disk) damagedNow() bool {
	c := d.MemoryStore.Clone()
	err := c.Load(nil, func(pbft.Record) error { return nil })
	for k := replica.HostBorn; k <= replica.HostCertified && err == nil; k++ {
		err = c.ScanHost(k, 0, ^pbft.Height(0), func(replica.HostKey, []byte) error { return nil })
	}
	return err != nil
}

// emptyDisk is one that comes in place of a lost one, when a CommitQC of view since is
// the highest, and the replica has voted in views below mute.
func emptyDisk(since, mute pbft.View) *disk {
	d := newDisk()
	d.fresh, d.follower, d.replaced, d.since, d.mute = false, true, true, since, mute
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
		if r.Key.Kind == pbft.RecordState {
			d.states = append(d.states, d.image[r.Key], r.Value)
		}
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

// Crash loses what was not synced, and what was wrong with reading.
func (d *disk) Crash() {
	d.MemoryStore.Crash()
	d.failing, d.failed, d.owes, d.misdirected = d.hooked, false, false, false
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
