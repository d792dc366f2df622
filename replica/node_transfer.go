package replica

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
)

// TransferConfig tunes state transfers. Zero fields get the default named.
type TransferConfig struct {
	// InFlight is how many chunks are asked for or being checked at once: 8. With
	// the chunk size it bounds the memory.
	InFlight int
	// PerPeer is how many of them one peer is asked for: 2.
	PerPeer int
	// Deadline is how many ticks an answer may take before another peer is asked:
	// 300. It doubles, up to eightfold, while nothing comes at all.
	Deadline int
	// Pause is how many ticks a peer that says it has not what is asked for is left
	// alone: 100.
	Pause int
}

func (c TransferConfig) withDefaults() TransferConfig {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.InFlight, 8)
	set(&c.PerPeer, 2)
	set(&c.Deadline, 300)
	set(&c.Pause, 100)
	return c
}

type transferPhase uint8

const (
	transferIdle       transferPhase = iota
	transferOpening                  // the host looks for what is left of an earlier attempt
	transferManifest                 // asking for the manifest
	transferSaving                   // the host saves the manifest
	transferChunks                   // asking for chunks
	transferInstalling               // the host installs
	transferPausing                  // no peer had the state, which will be tried again
)

// transfer is the client's side of a state transfer (DESIGN 2.5): the manifest,
// which the certified state digest covers, then the chunks from several peers at
// once. Nothing a peer sends is believed: the manifest is compared with the
// certificate, each chunk with the manifest. A peer that sent a wrong one is named,
// and asked only when nobody else is left.
type transfer struct {
	n       *Node
	cfg     TransferConfig
	bundle  *pbft.Bundle
	next    *pbft.Bundle // wanted while the host was busy with bundle
	phase   transferPhase
	peers   []transferPeer
	asked   []ask
	missing []uint32 // chunks to ask for, the next one last
	total   int
	got     int
	all     int    // chunks of the snapshot, of which total are wanted
	there   []bool // chunks that are here
	// manifest and first, the first chunk, are kept until it is known how many are wanted.
	manifest, first []byte
	// checking are chunks that the host has and has not reported.
	checking int
	// slow doubles the deadline: rounds in which nothing came.
	slow int
	turn int // rotates among equal peers
	wait int // ticks before the next attempt after a failed install
	vain int // attempts after which the host said ErrLater
	// whole: all chunks are wanted, though the host could do with the first.
	whole bool
	// superseding: the host was told to end the installation.
	superseding bool
	// partless is of how many snapshots in a row peers did not have the parts.
	partless int
}

// maxPartless is of how many snapshots in a row the parts are tried, if a later one is
// certified by the time that peers turn out not to have those of the one before.
const maxPartless = 2

type transferPeer struct {
	asked    int // chunks asked for or being checked
	poisoned bool
	absent   bool // the last it said is that it does not have what it was asked for
	failures int
	pause    int // ticks
}

type ask struct {
	peer  pbft.ReplicaID
	index uint32
	left  int // ticks
}

func (t *transfer) init(n *Node) {
	t.n, t.cfg = n, n.cfg.Transfer
	t.peers = make([]transferPeer, n.cfg.Core.Quorums.N())
}

// want begins a transfer, or replaces the one under way.
func (t *transfer) want(b *pbft.Bundle) {
	if t.bundle != nil && t.bundle.Height() == b.Height() {
		return
	}
	switch t.phase {
	case transferInstalling, transferOpening, transferSaving:
		t.next = b // the host is busy with the present one
		if b.Height() > t.bundle.Height() {
			t.supersede()
		}
		return
	case transferManifest, transferChunks, transferPausing:
		t.n.host.CloseTransfer(t.bundle.Height())
	}
	t.begin(b)
}

// supersede has the host end an installation that waits for peers when the cluster has gone
// on to a later snapshot. Else a single peer can keep it for ever:
//
//  1. an installation by parts takes longer than honest peers keep the state, and they give
//     nothing any more;
//  2. a traitor still has it, and answers each request just in time with a few true parts, so
//     there is always somebody who gives something;
//  3. later snapshots are certified, and wait for the end of the installation, before which
//     no block is executed.
//
// This does not take a transfer that gets on its progress, however short the intervals are. It
// is asked for only two snapshots on, when peers discard the present one. The application ends
// only if not more peers give anything than may be traitors; what it does by itself, such as a
// scrub, it finishes and need not do again; and it keeps what came, which is most of the next
// target. If nothing came at all, that counts as a snapshot whose parts peers do not have.
func (t *transfer) supersede() {
	if t.phase == transferInstalling && !t.superseding {
		t.superseding = true
		t.n.host.InterruptInstall(t.bundle.Height())
	}
}

func (t *transfer) begin(b *pbft.Bundle) {
	t.reset()
	t.bundle, t.phase, t.whole = b, transferOpening, t.partless >= maxPartless
	for i := range t.peers {
		t.peers[i] = transferPeer{poisoned: t.peers[i].poisoned}
	}
	t.n.counters.Transfers++
	t.n.host.OpenTransfer(b)
}

func (t *transfer) reset() {
	t.bundle, t.phase = nil, transferIdle
	t.asked, t.missing = t.asked[:0], nil
	t.total, t.got, t.checking, t.slow, t.wait, t.vain = 0, 0, 0, 0, 0, 0
	t.manifest, t.first = nil, nil
}

// superseded goes on with a bundle that came meanwhile, once the host is free.
func (t *transfer) superseded() bool {
	b := t.next
	if b == nil {
		return false
	}
	t.next = nil
	t.n.host.CloseTransfer(t.bundle.Height())
	t.begin(b)
	return true
}

func (t *transfer) is(height pbft.Height, phase transferPhase) bool {
	return t.bundle != nil && t.bundle.Height() == height && t.phase == phase
}

// TransferOpened reports what is left of an earlier attempt: the manifest or nil,
// and the chunks that are there and were checked when they were saved.
func (n *Node) TransferOpened(height pbft.Height, manifest []byte, have []uint32) {
	t := &n.transfer
	if n.failed || !t.is(height, transferOpening) || t.superseded() {
		return
	}
	t.phase = transferManifest
	if manifest != nil {
		if total, err := t.n.cfg.CheckManifest(t.bundle, manifest); err == nil {
			t.collect(manifest, total, have)
			return
		}
	}
	t.askMore()
}

// collect starts asking for the chunks that are not there. If the first may do, it is asked
// for alone, also if it is there: it says how many do.
func (t *transfer) collect(manifest []byte, all int, have []uint32) {
	t.phase, t.all, t.got, t.total = transferChunks, all, 0, 0
	t.there = make([]bool, all)
	for _, i := range have {
		if int(i) < all && !t.there[i] {
			t.there[i] = true
			t.got++
		}
	}
	t.asked = t.asked[:0]
	for i := range t.peers {
		t.peers[i].asked = 0
	}
	want := all
	if t.n.cfg.PartChunks != nil && !t.whole && t.got < all {
		t.manifest, want = manifest, min(all, 1)
		clear(t.there[:want])
	}
	t.demand(want)
	t.askMore()
}

// demand wants so many of the first chunks.
func (t *transfer) demand(total int) {
	t.got = 0
	for _, there := range t.there[:total] {
		if there {
			t.got++
		}
	}
	for i := total - 1; i >= t.total; i-- {
		if !t.there[i] {
			t.missing = append(t.missing, uint32(i))
		}
	}
	t.total = total
}

func (t *transfer) tick() {
	if t.phase == transferInstalling {
		// The core does not want a later one by itself while peers have the blocks above: those
		// are of no use without the state.
		if t.n.core.Outlived(t.bundle.Height()) {
			t.supersede()
		}
		return
	}
	if t.phase == transferPausing {
		if t.wait--; t.wait <= 0 {
			t.open()
		}
		return
	}
	if t.phase != transferManifest && t.phase != transferChunks {
		return
	}
	for i := range t.peers {
		if t.peers[i].pause > 0 {
			t.peers[i].pause--
		}
	}
	if t.wait > 0 {
		if t.wait--; t.wait > 0 {
			return
		}
	}
	kept, late := t.asked[:0], 0
	for _, a := range t.asked {
		if a.left--; a.left > 0 {
			kept = append(kept, a)
			continue
		}
		late++
		t.n.counters.ChunkTimeouts++
		t.peers[a.peer].asked--
		t.peers[a.peer].failures++
		t.again(a.index)
	}
	t.asked = kept
	if late > 0 && len(kept) == 0 {
		t.slow = min(t.slow+1, 3)
	}
	t.askMore()
}

func (t *transfer) again(index uint32) {
	if t.phase == transferChunks {
		t.missing = append(t.missing, index)
	}
}

func (t *transfer) onManifest(from pbft.ReplicaID, m *pbft.Manifest) {
	if !t.is(m.Height, transferManifest) || !t.answered(from, 0) {
		t.n.counters.UnwantedChunks++
		return
	}
	if len(m.Data) == 0 {
		t.absent(from, 0)
		return
	}
	if _, err := t.n.cfg.CheckManifest(t.bundle, m.Data); err != nil {
		t.n.counters.BadManifests++
		t.poison(from)
		t.askMore()
		return
	}
	t.phase = transferSaving
	t.asked = t.asked[:0]
	t.n.host.SaveManifest(m.Height, m.Data)
}

// ManifestSaved reports that the manifest given to Host.SaveManifest is kept.
func (n *Node) ManifestSaved(height pbft.Height, data []byte) {
	t := &n.transfer
	if n.failed || !t.is(height, transferSaving) || t.superseded() {
		return
	}
	total, err := t.n.cfg.CheckManifest(t.bundle, data)
	if err != nil {
		panic("replica: a manifest that was good is not any more: " + err.Error())
	}
	t.collect(data, total, nil)
}

func (t *transfer) onChunk(from pbft.ReplicaID, m *pbft.Chunk) {
	if !t.is(m.Height, transferChunks) || !t.answered(from, m.Index) {
		t.n.counters.UnwantedChunks++
		return
	}
	t.slow = 0
	if len(m.Data) == 0 {
		t.absent(from, m.Index)
		return
	}
	if t.manifest != nil {
		t.first = m.Data // the only one that is asked for
	}
	t.checking++
	t.peers[from].asked++ // it is not asked for more before this one was found good
	t.n.host.CheckChunk(m.Height, m.Index, from, m.Data)
	t.askMore()
}

// ChunkChecked reports whether a chunk was the one that the manifest names; if so
// it is kept.
func (n *Node) ChunkChecked(height pbft.Height, index uint32, from pbft.ReplicaID, good bool) {
	t := &n.transfer
	if n.failed || !t.is(height, transferChunks) {
		return
	}
	t.checking--
	t.peers[from].asked--
	if good {
		t.got++
		t.there[index] = true
		if t.manifest != nil {
			n := t.n.cfg.PartChunks(t.manifest, t.first)
			t.manifest, t.first = nil, nil
			t.demand(min(max(n, 1), t.all))
		}
		t.peers[from].failures, t.peers[from].absent = 0, false
	} else {
		n.counters.PoisonedChunks++
		t.poison(from)
		t.again(index)
	}
	t.askMore()
}

// Installed reports the end of a Host.Install. After an error the host has
// forgotten the damaged parts, and the transfer begins again.
func (n *Node) Installed(b *pbft.Bundle, err error) {
	t := &n.transfer
	if n.failed || !t.is(b.Height(), transferInstalling) {
		return
	}
	if err != nil {
		noParts := errors.Is(err, errNoParts)
		if noParts {
			t.partless++
		}
		if noParts && t.partless < maxPartless || errors.Is(err, ErrLater) {
			// Peers keep fewer states than snapshots: those of a later one may be there.
			n.core.TransferUnserved(b, &n.out)
		}
		switch {
		case t.superseded():
		case errors.Is(err, ErrLater):
			t.phase, t.wait = transferPausing, t.cfg.Pause<<min(t.vain, maxVain)
			t.vain++
		default:
			t.whole = t.whole || errors.Is(err, ErrWhole)
			t.open()
		}
		return
	}
	next := t.end()
	if b.Height() > n.core.ExecutedHeight() {
		n.core.Installed(b, &n.out)
	} else {
		// It was overtaken by blocks, or it only repaired this replica's own state.
		n.core.TransferFailed(b, &n.out)
	}
	t.goOn(b, next)
}

// ErrWhole, in [Node.Installed], says that the application's state cannot be had from
// peers part by part: all chunks of the snapshot are wanted.
var ErrWhole = errors.New("the whole snapshot is wanted")

// errNoParts is an ErrWhole because peers do not have the parts.
var errNoParts = fmt.Errorf("peers do not have the state in parts: %w", ErrWhole)

// ErrLater, in [Node.Installed], says that no peer has the application's state at the
// moment, or that [Host.InterruptInstall] ended the installation: it is tried again after a
// pause, or with a later snapshot as soon as one is certified.
var ErrLater = errors.New("the state cannot be had at the moment")

// maxVain is how often the pause after an ErrLater doubles at most.
const maxVain = 5

// open begins anew with the same bundle.
func (t *transfer) open() {
	t.phase = transferOpening
	t.missing, t.got, t.total = nil, 0, 0
	t.n.host.OpenTransfer(t.bundle)
}

// end ends the transfer and returns what is wanted next.
func (t *transfer) end() (next *pbft.Bundle) {
	next, t.next, t.partless = t.next, nil, 0
	t.reset()
	return next
}

// goOn begins the transfer that was wanted while b was installed.
func (t *transfer) goOn(b, next *pbft.Bundle) {
	if next != nil && next.Height() > b.Height() {
		t.begin(next)
	}
}

// Transfer says which checkpoint a transfer is under way to, 0 if none, and how
// many of its chunks are here.
func (n *Node) Transfer() (height pbft.Height, got, total int) {
	t := &n.transfer
	if t.bundle == nil {
		return 0, 0, 0
	}
	return t.bundle.Height(), t.got, t.total
}
