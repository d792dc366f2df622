package replica

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// snapshotKeeper is where a runner keeps snapshots: files, or memory in a
// simulation.
type snapshotKeeper interface {
	// write makes a snapshot durable and returns its manifest's root.
	write(h pbft.Height, src io.WriterTo) (crypto.Digest, error)
	// root is the root of a snapshot's manifest, if it is there.
	root(h pbft.Height) (crypto.Digest, bool)
	// newest lists the snapshots up to a height, the newest first, without that of height 0.
	newest(upTo pbft.Height) ([]pbft.Height, error)
	// verify checks every chunk of a snapshot.
	verify(h pbft.Height) error
	// restore loads a snapshot into an executor.
	restore(h pbft.Height, to *statemachine.Executor) error
	// remove deletes a snapshot, discard also from what is being served.
	remove(h pbft.Height) error
	discard(h pbft.Height) error
	// state is the state digest of a snapshot as a checkpoint certifies it; false if there
	// is none that can be read.
	state(h pbft.Height) (pbft.Digest, bool)
	// prune deletes all but the last snapshots up to a stable one, and that of height 0.
	prune(stable pbft.Height) error
	// where names the place in errors.
	where() string
}

var (
	_ snapshotKeeper = (*snapshotFolder)(nil)
	_ snapshotKeeper = (*MemorySnapshots)(nil)
	_ partial        = (*memoryTransfer)(nil)
)

// MemorySnapshots is the snapshot folder of a simulated replica. What is written
// is durable at once. It belongs to one goroutine.
type MemorySnapshots struct {
	chunkSize int
	held      map[pbft.Height]*memorySnapshot
	transfer  *memoryTransfer
	fault     func(op string) error
	// in and out spare every snapshot the buffers of package stream, which takes those
	// that it is given if they are as large as its own.
	in  *bufio.Reader
	out *bufio.Writer
	// size is that of the last snapshot written.
	size int
}

// streamBuffer is how large package stream has them.
const streamBuffer = 64 << 10

type memorySnapshot struct {
	data     []byte
	manifest *snapshot.Manifest
	served   []byte // what peers get as the manifest
	state    pbft.Digest
	app      pbft.Digest // of the application's state
}

// memoryTransfer is a transfer under way: incoming, in memory.
type memoryTransfer struct {
	folder   *MemorySnapshots
	height   pbft.Height
	manifest []byte
	parsed   *snapshot.Manifest
	chunks   [][]byte
}

// NewMemorySnapshots returns an empty folder for snapshots in chunks of so many
// bytes, the same at all replicas.
func NewMemorySnapshots(chunkSize int) *MemorySnapshots {
	return &MemorySnapshots{
		chunkSize: chunkSize, held: make(map[pbft.Height]*memorySnapshot),
		in: bufio.NewReaderSize(nil, 1<<10), out: bufio.NewWriterSize(nil, streamBuffer),
	}
}

// Heights lists the snapshots, ascending, without the state before the first block.
func (s *MemorySnapshots) Heights() []pbft.Height {
	var all []pbft.Height
	for h := range s.held {
		if !beginning(h) {
			all = append(all, h)
		}
	}
	slices.Sort(all)
	return all
}

// Fault makes every later call ask f, with "write", "read" or "beginning" (which is the
// write of the state before the first block), whether it fails, as it does with a disk that fails or is full. A nil f asks nobody.
func (s *MemorySnapshots) Fault(f func(op string) error) { s.fault = f }

func (s *MemorySnapshots) ask(op string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(op)
}

// State returns the state digest of a snapshot as a checkpoint certifies it.
func (s *MemorySnapshots) State(h pbft.Height) (pbft.Digest, bool) {
	m := s.held[h]
	if m == nil {
		return pbft.Digest{}, false
	}
	return m.state, true
}

// AppDigest returns the digest of the application's state in a snapshot.
func (s *MemorySnapshots) AppDigest(h pbft.Height) (pbft.Digest, bool) {
	m := s.held[h]
	if m == nil {
		return pbft.Digest{}, false
	}
	return m.app, true
}

// Clone returns a copy, as of a disk image.
func (s *MemorySnapshots) Clone() *MemorySnapshots {
	c := NewMemorySnapshots(s.chunkSize)
	for h, m := range s.held {
		c.held[h] = m
	}
	if t := s.transfer; t != nil {
		c.transfer = &memoryTransfer{folder: c, height: t.height, manifest: t.manifest, parsed: t.parsed, chunks: slices.Clone(t.chunks)}
	}
	return c
}

// Damage flips a bit of a snapshot's bytes on the "disk".
func (s *MemorySnapshots) Damage(h pbft.Height) bool {
	m := s.held[h]
	if m == nil {
		return false
	}
	bad := *m
	bad.data = append([]byte(nil), m.data...)
	bad.data[len(bad.data)-1] ^= 1
	s.held[h] = &bad
	return true
}

func (s *MemorySnapshots) where() string { return "memory" }

func (s *MemorySnapshots) write(h pbft.Height, src io.WriterTo) (crypto.Digest, error) {
	op := "write"
	if beginning(h) {
		op = "beginning" // without which a replica goes on
	}
	if err := s.ask(op); err != nil {
		return crypto.Digest{}, err
	}
	var b bytes.Buffer
	b.Grow(s.size + 64) // the last one was as large
	s.out.Reset(&b)
	if _, err := src.WriteTo(s.out); err != nil {
		return crypto.Digest{}, err
	}
	if err := s.out.Flush(); err != nil {
		return crypto.Digest{}, err
	}
	m, err := snapshot.Build(uint64(h), bytes.NewReader(b.Bytes()), s.chunkSize)
	if err != nil {
		return crypto.Digest{}, err
	}
	s.size = b.Len()
	held, err := s.newSnapshot(b.Bytes(), m)
	if err != nil {
		return crypto.Digest{}, err
	}
	s.held[h] = held
	return m.Root(), nil
}

func (s *MemorySnapshots) newSnapshot(data []byte, m *snapshot.Manifest) (*memorySnapshot, error) {
	s.in.Reset(bytes.NewReader(data))
	header, err := statemachine.ReadHeader(s.in)
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w: %w", m.Height, snapshot.ErrCorrupt, err)
	}
	return &memorySnapshot{
		data: data, manifest: m, served: encodeManifest(&header, m), app: header.AppDigest,
		state: statemachine.StateDigest(header.AppDigest, header.SessionsDigest, m.Root()),
	}, nil
}

func (s *MemorySnapshots) root(h pbft.Height) (crypto.Digest, bool) {
	m := s.held[h]
	if m == nil {
		return crypto.Digest{}, false
	}
	return m.manifest.Root(), true
}

func (s *MemorySnapshots) newest(upTo pbft.Height) ([]pbft.Height, error) {
	all := slices.DeleteFunc(s.Heights(), func(h pbft.Height) bool { return h > upTo })
	slices.Reverse(all)
	return all, nil
}

func (m *memorySnapshot) chunk(i int) []byte {
	at := m.manifest.Offset(i)
	return m.data[at : at+int64(m.manifest.ChunkLen(i))]
}

func (s *MemorySnapshots) verify(h pbft.Height) error {
	if err := s.ask("read"); err != nil {
		return err
	}
	m := s.held[h]
	if m == nil {
		return fmt.Errorf("snapshot %d: %w: it is missing", h, snapshot.ErrCorrupt)
	}
	for i := range m.manifest.Chunks {
		if err := m.manifest.Verify(i, m.chunk(i)); err != nil {
			return fmt.Errorf("snapshot %d: %w: %w", h, snapshot.ErrCorrupt, err)
		}
	}
	return nil
}

func (s *MemorySnapshots) restore(h pbft.Height, to *statemachine.Executor) error {
	if err := s.verify(h); err != nil {
		return err
	}
	return to.Restore(bytes.NewReader(s.held[h].data))
}

func (s *MemorySnapshots) discard(h pbft.Height) error { return s.remove(h) }

func (s *MemorySnapshots) state(h pbft.Height) (pbft.Digest, bool) { return s.State(h) }

func (s *MemorySnapshots) remove(h pbft.Height) error {
	delete(s.held, h)
	return nil
}

func (s *MemorySnapshots) prune(stable pbft.Height) error {
	old, err := s.newest(stable)
	delete(s.held, 0)
	for i, h := range old {
		if i >= keepSnapshots {
			delete(s.held, h)
		}
	}
	return err
}

// answer is snapshotFolder.answer.
func (s *MemorySnapshots) answer(ask pbft.Message) (pbft.Message, error) {
	switch m := ask.(type) {
	case *pbft.GetManifest:
		out := &pbft.Manifest{Height: m.Height}
		if o := s.held[m.Height]; o != nil {
			out.Data = o.served
		}
		return out, nil
	case *pbft.GetChunk:
		out := &pbft.Chunk{Height: m.Height, Index: m.Index}
		o := s.held[m.Height]
		if o == nil || int64(m.Index) >= int64(len(o.manifest.Chunks)) {
			return out, nil
		}
		if err := s.ask("read"); err != nil {
			return out, err
		}
		if err := o.manifest.Verify(int(m.Index), o.chunk(int(m.Index))); err != nil {
			return out, err
		}
		out.Data = o.chunk(int(m.Index))
		return out, nil
	}
	return nil, fmt.Errorf("replica: %v asks for no file", ask.Kind())
}

// begin is snapshotFolder.begin.
func (s *MemorySnapshots) begin(h pbft.Height, check func([]byte) error) (manifest []byte, have []uint32) {
	t := s.transfer
	if t == nil || t.height != h {
		t = &memoryTransfer{folder: s, height: h}
		s.transfer = t
	}
	if o := s.held[h]; t.manifest == nil && o != nil && s.verify(h) == nil {
		// A transfer that ended right before a crash may have left the whole snapshot.
		t.manifest, t.parsed = o.served, o.manifest
		for i := range o.manifest.Chunks {
			t.chunks = append(t.chunks, o.chunk(i))
		}
	}
	if t.manifest == nil || check(t.manifest) != nil {
		s.transfer = &memoryTransfer{folder: s, height: h}
		return nil, nil
	}
	for i, c := range t.chunks {
		if c != nil {
			have = append(have, uint32(i))
		}
	}
	return t.manifest, have
}

func (s *MemorySnapshots) transferring(h pbft.Height) bool {
	return s.transfer != nil && s.transfer.height == h
}

// save is incoming.save; ok is false if the transfer is another one by now.
func (s *MemorySnapshots) save(h pbft.Height, manifest []byte) (ok bool, err error) {
	if !s.transferring(h) {
		return false, nil
	}
	if err := s.ask("write"); err != nil {
		return false, storeFailure("save the manifest", s.where(), err)
	}
	m, err := decodeManifest(manifest)
	if err != nil {
		return false, err
	}
	t := s.transfer
	t.manifest, t.parsed, t.chunks = manifest, m.Manifest, make([][]byte, len(m.Chunks))
	return true, nil
}

// put is incoming.put.
func (s *MemorySnapshots) put(index uint32, data []byte) (good bool, err error) {
	t := s.transfer
	if t.parsed == nil {
		return true, nil
	}
	if t.parsed.Verify(int(index), data) != nil {
		return false, nil
	}
	if err := s.ask("write"); err != nil {
		return false, storeFailure("save a chunk", s.where(), err)
	}
	t.chunks[index] = append([]byte(nil), data...)
	return true, nil
}

// hand gives the transfer to whoever installs it, nil if it is another one.
func (s *MemorySnapshots) hand(h pbft.Height) installable {
	if !s.transferring(h) {
		return nil
	}
	t := s.transfer
	s.transfer = nil
	return t
}

// part implements partial.
func (t *memoryTransfer) part() bool {
	return slices.ContainsFunc(t.chunks, func(c []byte) bool { return c == nil })
}

func (t *memoryTransfer) prefix() (io.ReadCloser, error) {
	n := slices.IndexFunc(t.chunks, func(c []byte) bool { return c == nil })
	if n < 0 {
		n = len(t.chunks)
	}
	return io.NopCloser(bytes.NewReader(bytes.Join(t.chunks[:n], nil))), nil
}

func (t *memoryTransfer) certifiedRoot() pbft.Digest { return t.parsed.Root() }

func (t *memoryTransfer) drop() error { return nil }

// close keeps what was received, unless there is another transfer by now.
func (t *memoryTransfer) close() {
	if t.folder.transfer == nil {
		t.folder.transfer = t
	}
}

// finish implements installable.
func (t *memoryTransfer) finish() error {
	s := t.folder
	if err := s.ask("write"); err != nil {
		return err
	}
	if t.parsed == nil {
		return fmt.Errorf("snapshot %d: %w: it has no manifest", t.height, snapshot.ErrCorrupt)
	}
	held, err := s.newSnapshot(bytes.Join(t.chunks, nil), t.parsed)
	if err != nil {
		return err
	}
	s.held[t.height] = held
	if err := s.verify(t.height); err != nil {
		delete(s.held, t.height)
		return err
	}
	return nil
}

// Chunks is how many chunks the largest snapshot here has.
func (s *MemorySnapshots) Chunks() int {
	n := 0
	for _, m := range s.held {
		n = max(n, len(m.manifest.Chunks))
	}
	return n
}

// Receiving tells whether chunks of a state transfer are here.
func (s *MemorySnapshots) Receiving() bool {
	return s.transfer != nil && slices.ContainsFunc(s.transfer.chunks, func(c []byte) bool { return c != nil })
}
