package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Store is a directory of snapshots, for one process at a time. A snapshot is two
// files, NNN.snapshot and NNN.manifest, where NNN is the height in 20 digits. It
// exists once the manifest is there, which is written last and removed first.
//
// Methods may be called from several goroutines, as long as no two write or
// remove the snapshot of one height.
type Store struct{ dir string }

const (
	dataSuffix     = ".snapshot"
	manifestSuffix = ".manifest"
	partialSuffix  = ".partial"
	tempSuffix     = ".tmp"
)

// OpenStore returns the store in dir, which must exist, and deletes what an
// interrupted write left behind (but not a transfer under way, see Incoming).
func OpenStore(dir string) (*Store, error) {
	s := &Store{dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("snapshot store: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		orphan := false
		if height, ok := parseName(name, dataSuffix); ok {
			_, err := os.Lstat(s.path(height, manifestSuffix))
			orphan = errors.Is(err, fs.ErrNotExist)
		}
		if orphan || strings.HasSuffix(name, tempSuffix) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return nil, fmt.Errorf("snapshot store: %w", err)
			}
		}
	}
	return s, nil
}

func (s *Store) path(height uint64, suffix string) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d%s", height, suffix))
}

func parseName(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	h, err := strconv.ParseUint(digits, 10, 64)
	return h, err == nil
}

// Write stores the bytes of a snapshot at a height, durably: when it returns
// without an error they survive a power loss. A snapshot already there is replaced.
func (s *Store) Write(height uint64, src io.WriterTo, chunkSize int) (*Manifest, error) {
	b, err := newBuilder(height, chunkSize)
	if err != nil {
		return nil, err
	}
	temp := s.path(height, dataSuffix+tempSuffix)
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing snapshot %d: %w", height, err)
	}
	_, err = src.WriteTo(io.MultiWriter(b, f))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(temp)
		return nil, fmt.Errorf("writing snapshot %d: %w", height, err)
	}
	m, err := b.finish()
	if err != nil {
		_ = os.Remove(temp)
		return nil, fmt.Errorf("writing snapshot %d: %w", height, err)
	}
	if err := s.publish(temp, m); err != nil {
		return nil, fmt.Errorf("writing snapshot %d: %w", height, err)
	}
	return m, nil
}

// publish turns the finished and synced file temp into the snapshot of m.
func (s *Store) publish(temp string, m *Manifest) error {
	// An old manifest must not stand beside new bytes, not even for a moment.
	if err := s.unlink(m.Height); err != nil {
		return err
	}
	if err := os.Rename(temp, s.path(m.Height, dataSuffix)); err != nil {
		return err
	}
	name := s.path(m.Height, manifestSuffix)
	if err := writeSynced(name+tempSuffix, m.Encode()); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	if err := os.Rename(name+tempSuffix, name); err != nil {
		return err
	}
	return syncDir(s.dir)
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Heights lists the snapshots, ascending.
func (s *Store) Heights() ([]uint64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("snapshot store: %w", err)
	}
	var heights []uint64
	for _, e := range entries {
		if h, ok := parseName(e.Name(), manifestSuffix); ok {
			heights = append(heights, h)
		}
	}
	slices.Sort(heights)
	return heights, nil
}

// Remove deletes the snapshot of a height, if there is one. A File that is open
// stays readable.
func (s *Store) Remove(height uint64) error {
	if err := s.unlink(height); err != nil {
		return fmt.Errorf("removing snapshot %d: %w", height, err)
	}
	return nil
}

func (s *Store) unlink(height uint64) error {
	for _, suffix := range []string{manifestSuffix, dataSuffix} {
		if err := os.Remove(s.path(height, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// File is a stored snapshot. Chunk may be called from several goroutines.
type File struct {
	manifest *Manifest
	f        *os.File
}

// Open opens the snapshot of a height. The error wraps fs.ErrNotExist if there is
// none, ErrCorrupt if the files are damaged as far as can be seen without reading
// all of them.
func (s *Store) Open(height uint64) (*File, error) {
	m, err := s.Manifest(height)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(height, dataSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("snapshot %d: %w: its bytes are missing", height, ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w", height, err)
	}
	info, err := f.Stat()
	if err == nil && uint64(info.Size()) != m.Size {
		err = fmt.Errorf("%w: %d bytes, want %d", ErrCorrupt, info.Size(), m.Size)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("snapshot %d: %w", height, err)
	}
	return &File{manifest: m, f: f}, nil
}

// maxManifestFile is the length of the longest manifest.
const maxManifestFile = 8 + 8 + 4 + 4 + 32*MaxChunks

// Manifest reads the manifest of a stored snapshot.
func (s *Store) Manifest(height uint64) (*Manifest, error) {
	f, err := os.Open(s.path(height, manifestSuffix))
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w", height, err)
	}
	enc, err := io.ReadAll(io.LimitReader(f, maxManifestFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("snapshot %d: %w", height, err)
	}
	m, err := DecodeManifest(enc)
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w: %w", height, ErrCorrupt, err)
	}
	if m.Height != height {
		return nil, fmt.Errorf("snapshot %d: %w: its manifest is for height %d", height, ErrCorrupt, m.Height)
	}
	return m, nil
}

// Manifest returns the manifest.
func (f *File) Manifest() *Manifest { return f.manifest }

// Chunk reads and checks chunk i. The error wraps ErrCorrupt if the disk returned
// something else than was written: such bytes are never passed on.
func (f *File) Chunk(i int) ([]byte, error) {
	m := f.manifest
	if i < 0 || i >= len(m.Chunks) {
		return nil, fmt.Errorf("snapshot %d: %w: number %d of %d", m.Height, ErrChunk, i, len(m.Chunks))
	}
	b := make([]byte, m.ChunkLen(i))
	if _, err := f.f.ReadAt(b, m.Offset(i)); err != nil {
		return nil, fmt.Errorf("snapshot %d: chunk %d: %w", m.Height, i, err)
	}
	if err := m.Verify(i, b); err != nil {
		return nil, fmt.Errorf("snapshot %d: %w: %w", m.Height, ErrCorrupt, err)
	}
	return b, nil
}

// Reader reads the whole snapshot, each chunk checked before its first byte is
// returned. A damaged chunk is an error that wraps ErrCorrupt.
func (f *File) Reader() io.Reader { return &reader{f: f} }

type reader struct {
	f    *File
	next int
	rest []byte
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next == len(r.f.manifest.Chunks) {
			return 0, io.EOF
		}
		b, err := r.f.Chunk(r.next)
		if err != nil {
			return 0, err
		}
		r.rest = b
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
