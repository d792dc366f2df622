package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Incoming collects the chunks of a snapshot that comes from elsewhere, in any
// order, into a file that outlives a restart. It belongs to one goroutine.
type Incoming struct {
	store    *Store
	manifest *Manifest
	f        *os.File
	have     []bool
	missing  int
}

// Receive begins to collect the snapshot of m, or goes on with what an earlier
// run had collected: every chunk that is there already and has the right digest
// counts. m must be the manifest that a certificate covers. The file takes the
// snapshot's full size; what has not been written takes no space on the disk.
func (s *Store) Receive(m *Manifest) (*Incoming, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	name := s.path(m.Height, partialSuffix)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("receiving snapshot %d: %w", m.Height, err)
	}
	in := &Incoming{store: s, manifest: m, f: f, have: make([]bool, len(m.Chunks)), missing: len(m.Chunks)}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = in.resume(info.Size())
	}
	if err == nil {
		err = f.Truncate(int64(m.Size))
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("receiving snapshot %d: %w", m.Height, err)
	}
	return in, nil
}

// resume finds the chunks that are there already.
func (in *Incoming) resume(size int64) error {
	m := in.manifest
	buf := make([]byte, min(uint64(m.ChunkSize), m.Size))
	for i := range m.Chunks {
		b := buf[:m.ChunkLen(i)]
		if m.Offset(i)+int64(len(b)) > size {
			return nil
		}
		if _, err := in.f.ReadAt(b, m.Offset(i)); err != nil {
			return err
		}
		if m.Verify(i, b) == nil {
			in.have[i] = true
			in.missing--
		}
	}
	return nil
}

// Put checks and stores chunk i. An error that wraps ErrChunk means that whoever
// sent the chunk lied or is broken; any other is this machine's.
func (in *Incoming) Put(i int, b []byte) error {
	m := in.manifest
	if err := m.Verify(i, b); err != nil {
		return err
	}
	if in.have[i] {
		return nil
	}
	if _, err := in.f.WriteAt(b, m.Offset(i)); err != nil {
		return fmt.Errorf("receiving snapshot %d: %w", m.Height, err)
	}
	in.have[i] = true
	in.missing--
	return nil
}

// Has tells whether chunk i is there.
func (in *Incoming) Has(i int) bool { return i >= 0 && i < len(in.have) && in.have[i] }

// Missing is the number of chunks that are not there yet.
func (in *Incoming) Missing() int { return in.missing }

// Next returns the first chunk at or after from that is not there, or -1.
func (in *Incoming) Next(from int) int {
	for i := max(from, 0); i < len(in.have); i++ {
		if !in.have[i] {
			return i
		}
	}
	return -1
}

// Prefix reads the chunks that are there from the first on, up to one that is not. It is
// of use until the Incoming is closed.
func (in *Incoming) Prefix() io.Reader {
	end := int64(in.manifest.Size)
	if i := in.Next(0); i >= 0 {
		end = in.manifest.Offset(i)
	}
	return io.NewSectionReader(in.f, 0, end)
}

// ErrIncomplete: Finish was called before all chunks were there.
var ErrIncomplete = errors.New("snapshot is not complete")

// Finish makes the complete snapshot durable and part of the store. The Incoming
// is closed, unless the error is ErrIncomplete.
func (in *Incoming) Finish() error {
	if in.missing > 0 {
		return fmt.Errorf("%w: height %d, %d of %d chunks missing", ErrIncomplete, in.manifest.Height, in.missing, len(in.have))
	}
	err := errors.Join(in.f.Sync(), in.f.Close())
	if err == nil {
		err = in.store.publish(in.store.path(in.manifest.Height, partialSuffix), in.manifest)
	}
	if err != nil {
		return fmt.Errorf("receiving snapshot %d: %w", in.manifest.Height, err)
	}
	return nil
}

// Close lets go of the file and keeps what was collected for a later Receive.
func (in *Incoming) Close() error { return in.f.Close() }

// Abandon deletes what has been collected of the snapshot of a height, which must
// not be open.
func (s *Store) Abandon(height uint64) error {
	if err := os.Remove(s.path(height, partialSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("abandoning snapshot %d: %w", height, err)
	}
	return nil
}
