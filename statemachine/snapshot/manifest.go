// Package snapshot keeps snapshots of the replicated state as files and moves
// them in chunks. A [Manifest] lists the digest of every chunk; its root is part
// of the state digest that a checkpoint certifies, so a chunk from anybody can be
// checked by itself, and a wrong one names its sender.
package snapshot

import (
	"errors"
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Bounds of a manifest, checked before anything is allocated.
const (
	MinChunkSize = 1 << 10
	MaxChunkSize = 16 << 20
	// DefaultChunkSize keeps the manifest small and a repeated chunk cheap.
	DefaultChunkSize = 1 << 20
	// MaxChunks bounds a manifest to 32 MiB, a snapshot of default chunks to 1 TiB.
	MaxChunks = 1 << 20
)

// Errors; test with errors.Is.
var (
	// ErrManifest: a manifest does not decode or contradicts itself.
	ErrManifest = errors.New("malformed snapshot manifest")
	// ErrChunk: a chunk is not the one in the manifest.
	ErrChunk = errors.New("wrong snapshot chunk")
	// ErrCorrupt: a local file is not what was written.
	ErrCorrupt = errors.New("corrupt snapshot file")
	// ErrTooLarge: a snapshot has more than MaxChunks chunks.
	ErrTooLarge = errors.New("snapshot too large")
)

// Manifest describes the bytes of a snapshot. All chunks have ChunkSize bytes but
// the last, which has the rest and at least one. A snapshot has at least one byte.
type Manifest struct {
	Height    uint64 // of the checkpoint whose state it is
	Size      uint64 // bytes
	ChunkSize uint32
	Chunks    []crypto.Digest
}

const (
	domainChunk    = crypto.Domain("parley/snapshot-chunk")
	domainManifest = crypto.Domain("parley/snapshot-manifest")
)

// ChunkDigest is the digest of a chunk's bytes.
func ChunkDigest(chunk []byte) crypto.Digest { return crypto.Hash(domainChunk, chunk) }

// Encode returns the canonical encoding.
func (m *Manifest) Encode() []byte {
	b := make([]byte, 0, 8+8+4+4+len(m.Chunks)*crypto.DigestSize)
	b = canon.AppendUint64(b, m.Height)
	b = canon.AppendUint64(b, m.Size)
	b = canon.AppendUint32(b, m.ChunkSize)
	b = canon.AppendUint32(b, uint32(len(m.Chunks)))
	for i := range m.Chunks {
		b = append(b, m.Chunks[i][:]...)
	}
	return b
}

// Root is the digest of the encoding: what a checkpoint certifies.
func (m *Manifest) Root() crypto.Digest { return crypto.Hash(domainManifest, m.Encode()) }

// DecodeManifest reads what Encode wrote. The error wraps ErrManifest.
func DecodeManifest(enc []byte) (*Manifest, error) {
	r := canon.NewReader(enc)
	m := &Manifest{Height: r.Uint64(), Size: r.Uint64(), ChunkSize: r.Uint32()}
	n := r.Count(MaxChunks, crypto.DigestSize)
	if n > 0 {
		m.Chunks = make([]crypto.Digest, n)
	}
	for i := range m.Chunks {
		r.Copy(m.Chunks[i][:])
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

// Check tells whether the parts agree with one another. The error wraps
// ErrManifest.
func (m *Manifest) Check() error {
	switch {
	case m.ChunkSize < MinChunkSize || m.ChunkSize > MaxChunkSize:
		return fmt.Errorf("%w: chunks of %d bytes, want %d to %d", ErrManifest, m.ChunkSize, MinChunkSize, MaxChunkSize)
	case len(m.Chunks) == 0 || len(m.Chunks) > MaxChunks:
		return fmt.Errorf("%w: %d chunks, want 1 to %d", ErrManifest, len(m.Chunks), MaxChunks)
	case m.Size == 0 || (m.Size-1)/uint64(m.ChunkSize) != uint64(len(m.Chunks)-1):
		return fmt.Errorf("%w: %d bytes in %d chunks of %d", ErrManifest, m.Size, len(m.Chunks), m.ChunkSize)
	}
	return nil
}

// ChunkLen is the length of chunk i, which must exist.
func (m *Manifest) ChunkLen(i int) int {
	if i == len(m.Chunks)-1 {
		return int(m.Size - uint64(i)*uint64(m.ChunkSize))
	}
	return int(m.ChunkSize)
}

// Offset is where chunk i begins.
func (m *Manifest) Offset(i int) int64 { return int64(i) * int64(m.ChunkSize) }

// Verify tells whether b is chunk i. The error wraps ErrChunk.
func (m *Manifest) Verify(i int, b []byte) error {
	switch {
	case i < 0 || i >= len(m.Chunks):
		return fmt.Errorf("%w: number %d of %d", ErrChunk, i, len(m.Chunks))
	case len(b) != m.ChunkLen(i):
		return fmt.Errorf("%w: number %d has %d bytes, want %d", ErrChunk, i, len(b), m.ChunkLen(i))
	case ChunkDigest(b) != m.Chunks[i]:
		return fmt.Errorf("%w: number %d has another digest than the manifest's %v", ErrChunk, i, m.Chunks[i])
	}
	return nil
}

// builder cuts what is written to it into chunks.
type builder struct {
	m   Manifest
	buf []byte
}

func newBuilder(height uint64, chunkSize int) (*builder, error) {
	if chunkSize < MinChunkSize || chunkSize > MaxChunkSize {
		return nil, fmt.Errorf("%w: chunk size is %d: set %d to %d", ErrManifest, chunkSize, MinChunkSize, MaxChunkSize)
	}
	return &builder{m: Manifest{Height: height, ChunkSize: uint32(chunkSize)}, buf: make([]byte, 0, chunkSize)}, nil
}

// Write takes the next bytes of the snapshot.
func (b *builder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), cap(b.buf)-len(b.buf))
		b.buf = append(b.buf, p[:take]...)
		p = p[take:]
		if len(b.buf) == cap(b.buf) {
			if err := b.cut(); err != nil {
				return n - len(p), err
			}
		}
	}
	return n, nil
}

func (b *builder) cut() error {
	if len(b.m.Chunks) == MaxChunks {
		return fmt.Errorf("%w: more than %d chunks of %d bytes", ErrTooLarge, MaxChunks, b.m.ChunkSize)
	}
	b.m.Chunks = append(b.m.Chunks, ChunkDigest(b.buf))
	b.m.Size += uint64(len(b.buf))
	b.buf = b.buf[:0]
	return nil
}

func (b *builder) finish() (*Manifest, error) {
	if len(b.buf) > 0 {
		if err := b.cut(); err != nil {
			return nil, err
		}
	}
	if err := b.m.Check(); err != nil {
		return nil, err
	}
	return &b.m, nil
}

// Build reads a snapshot and returns its manifest.
func Build(height uint64, r io.Reader, chunkSize int) (*Manifest, error) {
	b, err := newBuilder(height, chunkSize)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(b, r); err != nil {
		return nil, err
	}
	return b.finish()
}
