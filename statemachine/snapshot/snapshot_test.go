package snapshot

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-bft/parley/crypto"
	"github.com/stretchr/testify/require"
)

func content(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func stored(t *testing.T, n int) (*Store, *Manifest, []byte) {
	s, err := OpenStore(t.TempDir())
	require.NoError(t, err)
	b := content(n)
	m, err := s.Write(42, bytes.NewReader(b), MinChunkSize)
	require.NoError(t, err)
	return s, m, b
}

func TestManifest(t *testing.T) {
	for _, n := range []int{1, MinChunkSize - 1, MinChunkSize, MinChunkSize + 1, 10*MinChunkSize + 3} {
		b := content(n)
		m, err := Build(7, bytes.NewReader(b), MinChunkSize)
		require.NoError(t, err)
		require.EqualValues(t, n, m.Size)
		require.Len(t, m.Chunks, (n+MinChunkSize-1)/MinChunkSize)
		again, err := DecodeManifest(m.Encode())
		require.NoError(t, err)
		require.Equal(t, m, again)
		require.Equal(t, m.Root(), again.Root())
		for i := range m.Chunks {
			chunk := b[m.Offset(i) : m.Offset(i)+int64(m.ChunkLen(i))]
			require.NoError(t, m.Verify(i, chunk))
			require.ErrorIs(t, m.Verify(i, chunk[1:]), ErrChunk)
			bad := bytes.Clone(chunk)
			bad[0]++
			require.ErrorIs(t, m.Verify(i, bad), ErrChunk)
			require.ErrorIs(t, m.Verify(i+1, chunk), ErrChunk)
		}
		require.ErrorIs(t, m.Verify(-1, nil), ErrChunk)
	}
	_, err := Build(7, bytes.NewReader(nil), MinChunkSize)
	require.ErrorIs(t, err, ErrManifest)
	_, err = Build(7, bytes.NewReader([]byte{1}), 1)
	require.ErrorIs(t, err, ErrManifest)
}

func TestManifestThatContradictsItself(t *testing.T) {
	good, err := Build(7, bytes.NewReader(content(5000)), MinChunkSize)
	require.NoError(t, err)
	for name, change := range map[string]func(*Manifest){
		"size":       func(m *Manifest) { m.Size += MinChunkSize },
		"no size":    func(m *Manifest) { m.Size = 0 },
		"huge size":  func(m *Manifest) { m.Size = 1<<64 - 1 },
		"chunk size": func(m *Manifest) { m.ChunkSize = 0 },
		"huge chunk": func(m *Manifest) { m.ChunkSize = 1<<32 - 1 },
		"no chunks":  func(m *Manifest) { m.Chunks = nil },
		"more":       func(m *Manifest) { m.Chunks = append(m.Chunks[:5:5], crypto.Digest{}) },
	} {
		bad := *good
		change(&bad)
		_, err := DecodeManifest(bad.Encode())
		require.ErrorIs(t, err, ErrManifest, name)
		require.NotEqual(t, good.Root(), bad.Root(), name)
	}
	_, err = DecodeManifest(append(good.Encode(), 0))
	require.ErrorIs(t, err, ErrManifest)
	// A count that the bytes cannot hold does not cost memory.
	_, err = DecodeManifest([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 0, 0, 15, 255, 255})
	require.ErrorIs(t, err, ErrManifest)
}

func TestStore(t *testing.T) {
	s, m, b := stored(t, 5000)
	heights, err := s.Heights()
	require.NoError(t, err)
	require.Equal(t, []uint64{42}, heights)
	f, err := s.Open(42)
	require.NoError(t, err)
	require.Equal(t, m, f.Manifest())
	got, err := io.ReadAll(f.Reader())
	require.NoError(t, err)
	require.Equal(t, b, got)
	_, err = f.Chunk(len(m.Chunks))
	require.ErrorIs(t, err, ErrChunk)
	require.NoError(t, s.Remove(42))
	_, err = f.Chunk(0)
	require.NoError(t, err, "an open file stays readable")
	require.NoError(t, f.Close())
	_, err = s.Open(42)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Remove(42))
}

func TestDamageOnDisk(t *testing.T) {
	damage := func(t *testing.T, name string, f func([]byte) []byte) *Store {
		s, _, _ := stored(t, 5000)
		path := filepath.Join(s.dir, name)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, f(b), 0o600))
		return s
	}
	flip := func(b []byte) []byte { b[2000] ^= 1; return b }
	const data, manifest = "00000000000000000042.snapshot", "00000000000000000042.manifest"

	s := damage(t, data, flip)
	f, err := s.Open(42)
	require.NoError(t, err)
	_, err = f.Chunk(0)
	require.NoError(t, err)
	_, err = f.Chunk(1)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = io.ReadAll(f.Reader())
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoError(t, f.Close())

	_, err = damage(t, data, func(b []byte) []byte { return b[:4999] }).Open(42)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = damage(t, manifest, func(b []byte) []byte { return b[:20] }).Open(42)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = damage(t, manifest, func(b []byte) []byte { b[7] = 43; return b }).Open(42)
	require.ErrorIs(t, err, ErrCorrupt)

	s, _, _ = stored(t, 100)
	require.NoError(t, os.Remove(filepath.Join(s.dir, data)))
	_, err = s.Open(42)
	require.ErrorIs(t, err, ErrCorrupt)
}

type brokenSource struct{ n int64 }

var errSource = errors.New("source")

func (b brokenSource) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, b.n))
	return int64(n), errors.Join(err, errSource)
}

func TestInterruptedWrite(t *testing.T) {
	s, _, b := stored(t, 5000)
	_, err := s.Write(42, brokenSource{3000}, MinChunkSize)
	require.ErrorIs(t, err, errSource)
	f, err := s.Open(42)
	require.NoError(t, err, "the old snapshot is still there")
	got, err := io.ReadAll(f.Reader())
	require.NoError(t, err)
	require.Equal(t, b, got)
	require.NoError(t, f.Close())

	// What a crash may leave: bytes without a manifest, temporary files.
	for _, name := range []string{"00000000000000000050.snapshot", "00000000000000000051.snapshot.tmp", "00000000000000000042.manifest.tmp"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte("x"), 0o600))
	}
	s, err = OpenStore(s.dir)
	require.NoError(t, err)
	entries, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	heights, err := s.Heights()
	require.NoError(t, err)
	require.Equal(t, []uint64{42}, heights)
}

func TestIncoming(t *testing.T) {
	from, m, b := stored(t, 5000)
	src, err := from.Open(42)
	require.NoError(t, err)
	dir := t.TempDir()
	to, err := OpenStore(dir)
	require.NoError(t, err)
	in, err := to.Receive(m)
	require.NoError(t, err)
	require.Equal(t, len(m.Chunks), in.Missing())
	for _, i := range []int{3, 1, 3} {
		chunk, err := src.Chunk(i)
		require.NoError(t, err)
		require.NoError(t, in.Put(i, chunk))
		bad := bytes.Clone(chunk)
		bad[5] ^= 1
		require.ErrorIs(t, in.Put(0, bad), ErrChunk)
	}
	require.Equal(t, 0, in.Next(0))
	require.Equal(t, 2, in.Next(1))
	require.ErrorIs(t, in.Finish(), ErrIncomplete)
	require.NoError(t, in.Close())

	// After a restart, and damage to one of the chunks that were there.
	name := filepath.Join(dir, "00000000000000000042.partial")
	part, err := os.ReadFile(name)
	require.NoError(t, err)
	part[MinChunkSize] ^= 1
	require.NoError(t, os.WriteFile(name, part, 0o600))
	to, err = OpenStore(dir)
	require.NoError(t, err)
	heights, err := to.Heights()
	require.NoError(t, err)
	require.Empty(t, heights)
	in, err = to.Receive(m)
	require.NoError(t, err)
	require.True(t, in.Has(3))
	require.False(t, in.Has(1))
	require.Equal(t, len(m.Chunks)-1, in.Missing())
	for i := in.Next(0); i >= 0; i = in.Next(i) {
		chunk, err := src.Chunk(i)
		require.NoError(t, err)
		require.NoError(t, in.Put(i, chunk))
	}
	require.NoError(t, in.Finish())
	f, err := to.Open(42)
	require.NoError(t, err)
	got, err := io.ReadAll(f.Reader())
	require.NoError(t, err)
	require.Equal(t, b, got)
	require.NoError(t, f.Close())
	require.NoError(t, src.Close())
	require.NoError(t, to.Abandon(42))
}

func FuzzDecodeManifest(f *testing.F) {
	m, err := Build(7, bytes.NewReader(content(5000)), MinChunkSize)
	require.NoError(f, err)
	f.Add(m.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeManifest(b)
		if err != nil {
			require.ErrorIs(t, err, ErrManifest)
			return
		}
		require.Equal(t, b, m.Encode())
		total := uint64(0)
		for i := range m.Chunks {
			total += uint64(m.ChunkLen(i))
		}
		require.Equal(t, m.Size, total)
	})
}
