package replica

import (
	"bytes"
	"errors"
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
	// newest lists the snapshots up to a height, the newest first.
	newest(upTo pbft.Height) ([]pbft.Height, error)
	// verify checks every chunk of a snapshot.
	verify(h pbft.Height) error
	// restore loads a snapshot into an executor.
	restore(h pbft.Height, to *statemachine.Executor) error
	// remove deletes a snapshot.
	remove(h pbft.Height) error
	// prune deletes all but the last snapshots up to a stable one.
	prune(stable pbft.Height) error
	// where names the place in errors.
	where() string
}

var (
	_ snapshotKeeper = (*snapshotFolder)(nil)
	_ snapshotKeeper = (*MemorySnapshots)(nil)
)

// MemorySnapshots is the snapshot folder of a simulated replica. What is written
// is durable at once. It belongs to one goroutine.
type MemorySnapshots struct {
	chunkSize int
	held      map[pbft.Height]*memorySnapshot
	transfer  *memoryTransfer
}

type memorySnapshot struct {
	data     []byte
	manifest *snapshot.Manifest
}

type memoryTransfer struct {
	height   pbft.Height
	manifest []byte
	parsed   *snapshot.Manifest
	chunks   [][]byte
}

// NewMemorySnapshots returns an empty folder for snapshots in chunks of so many
// bytes, the same at all replicas.
func NewMemorySnapshots(chunkSize int) *MemorySnapshots {
	return &MemorySnapshots{chunkSize: chunkSize, held: make(map[pbft.Height]*memorySnapshot)}
}

// Heights lists the snapshots, ascending.
func (s *MemorySnapshots) Heights() []pbft.Height {
	var all []pbft.Height
	for h := range s.held {
		all = append(all, h)
	}
	slices.Sort(all)
	return all
}

// Damage flips a bit of a snapshot's bytes on the "disk".
func (s *MemorySnapshots) Damage(h pbft.Height) bool {
	m := s.held[h]
	if m == nil {
		return false
	}
	m.data = append([]byte(nil), m.data...)
	m.data[len(m.data)-1] ^= 1
	return true
}

func (s *MemorySnapshots) where() string { return "memory" }

func (s *MemorySnapshots) write(h pbft.Height, src io.WriterTo) (crypto.Digest, error) {
	var b bytes.Buffer
	if _, err := src.WriteTo(&b); err != nil {
		return crypto.Digest{}, err
	}
	m, err := snapshot.Build(uint64(h), bytes.NewReader(b.Bytes()), s.chunkSize)
	if err != nil {
		return crypto.Digest{}, err
	}
	s.held[h] = &memorySnapshot{data: b.Bytes(), manifest: m}
	return m.Root(), nil
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

func (s *MemorySnapshots) remove(h pbft.Height) error {
	delete(s.held, h)
	return nil
}

func (s *MemorySnapshots) prune(stable pbft.Height) error {
	old, err := s.newest(stable)
	for i, h := range old {
		if i >= keepSnapshots {
			delete(s.held, h)
		}
	}
	return err
}

// answer is snapshotFolder.answer.
func (s *MemorySnapshots) answer(ask pbft.Message) pbft.Message {
	switch m := ask.(type) {
	case *pbft.GetManifest:
		out := &pbft.Manifest{Height: m.Height}
		if o := s.held[m.Height]; o != nil && s.verify(m.Height) == nil {
			header, err := statemachine.ReadHeader(bytes.NewReader(o.data))
			if err == nil {
				out.Data = encodeManifest(&header, o.manifest)
			}
		}
		return out
	case *pbft.GetChunk:
		out := &pbft.Chunk{Height: m.Height, Index: m.Index}
		if o := s.held[m.Height]; o != nil && int64(m.Index) < int64(len(o.manifest.Chunks)) && s.verify(m.Height) == nil {
			out.Data = o.chunk(int(m.Index))
		}
		return out
	}
	return nil
}

// The transfer that is under way, as in incoming.

func (s *MemorySnapshots) begin(h pbft.Height, check func([]byte) error) (manifest []byte, have []uint32) {
	if t := s.transfer; t == nil || t.height != h || t.manifest == nil || check(t.manifest) != nil {
		s.transfer = &memoryTransfer{height: h}
		return nil, nil
	}
	for i, c := range s.transfer.chunks {
		if c != nil {
			have = append(have, uint32(i))
		}
	}
	return s.transfer.manifest, have
}

func (s *MemorySnapshots) save(h pbft.Height, manifest []byte) {
	if t := s.transfer; t != nil && t.height == h {
		if _, _, m, err := decodeManifest(manifest); err == nil {
			t.manifest, t.parsed, t.chunks = manifest, m, make([][]byte, len(m.Chunks))
		}
	}
}

func (s *MemorySnapshots) put(h pbft.Height, index uint32, data []byte) (good bool) {
	t := s.transfer
	if t == nil || t.height != h || t.parsed == nil || t.parsed.Verify(int(index), data) != nil {
		return false
	}
	t.chunks[index] = append([]byte(nil), data...)
	return true
}

var errNoTransfer = errors.New("no transfer to end")

func (s *MemorySnapshots) finish(h pbft.Height) error {
	t := s.transfer
	if t == nil || t.height != h || t.parsed == nil {
		return errNoTransfer
	}
	s.held[h] = &memorySnapshot{data: bytes.Join(t.chunks, nil), manifest: t.parsed}
	s.transfer = nil
	return s.verify(h)
}
