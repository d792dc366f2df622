package replica

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// keepSnapshots is how many stable snapshots stay: a peer that began to transfer
// the last but one can end it.
const keepSnapshots = 2

// snapshotFolder keeps this replica's snapshots and the one that is being
// transferred. Its methods are safe for concurrent use as long as only one
// goroutine writes snapshots and only one transfers.
type snapshotFolder struct {
	dir       string
	store     *snapshot.Store
	chunkSize int

	mu   sync.Mutex
	open map[uint64]*openSnapshot // files being served
}

type openSnapshot struct {
	file     *snapshot.File
	manifest []byte // as served
}

func openSnapshots(dir string, chunkSize int) (*snapshotFolder, error) {
	if err := makeDirs(dir); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	s, err := snapshot.OpenStore(dir)
	if err != nil {
		return nil, err
	}
	return &snapshotFolder{dir: dir, store: s, chunkSize: chunkSize, open: make(map[uint64]*openSnapshot)}, nil
}

// write makes a snapshot durable and returns its manifest's root.
func (s *snapshotFolder) write(h pbft.Height, src io.WriterTo) (crypto.Digest, error) {
	m, err := s.store.Write(uint64(h), src, s.chunkSize)
	if err != nil {
		return crypto.Digest{}, err
	}
	s.unserve(h)
	return m.Root(), nil
}

// unserve has a snapshot opened anew for the next peer that asks: it is another one now, or
// gone.
func (s *snapshotFolder) unserve(h pbft.Height) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.open[uint64(h)]; o != nil {
		delete(s.open, uint64(h))
		_ = o.file.Close()
	}
}

// root is the root of a snapshot's manifest, if it is there.
func (s *snapshotFolder) root(h pbft.Height) (crypto.Digest, bool) {
	m, err := s.store.Manifest(uint64(h))
	if err != nil {
		return crypto.Digest{}, false
	}
	return m.Root(), true
}

// newest lists the snapshots up to a height, the newest first, without the beginning.
func (s *snapshotFolder) newest(upTo pbft.Height) ([]pbft.Height, error) {
	all, err := s.store.Heights()
	if err != nil {
		return nil, err
	}
	var heights []pbft.Height
	for _, h := range all {
		if pbft.Height(h) <= upTo && !beginning(pbft.Height(h)) {
			heights = append(heights, pbft.Height(h))
		}
	}
	slices.Reverse(heights)
	return heights, nil
}

// errPruned says that the state before the first block is not kept any more: a snapshot was
// certified meanwhile, so nothing needs it.
var errPruned = errors.New("the state before the first block is not kept any more, since a snapshot is certified")

// stored opens a snapshot. The beginning may be pruned at any time, by another goroutine than
// that which restores it.
func (s *snapshotFolder) stored(h pbft.Height) (*snapshot.File, error) {
	f, err := s.store.Open(uint64(h))
	if beginning(h) && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errPruned, err)
	}
	return f, err
}

// restore loads a snapshot into an executor. Every chunk is checked on the way.
func (s *snapshotFolder) restore(h pbft.Height, to *statemachine.Executor) (err error) {
	f, err := s.stored(h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := to.Restore(f.Reader()); err != nil {
		return fmt.Errorf("restore snapshot %d: %w", h, err)
	}
	if got := to.Position().Height; got != uint64(h) {
		return fmt.Errorf("restore snapshot %d: %w: it is of height %d", h, snapshot.ErrCorrupt, got)
	}
	return nil
}

func (s *snapshotFolder) remove(h pbft.Height) error { return s.store.Remove(uint64(h)) }

// discard is remove, also from those that are being served, and for good: a power cut does
// not bring it back.
func (s *snapshotFolder) discard(h pbft.Height) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.open[uint64(h)]; o != nil {
		delete(s.open, uint64(h))
		_ = o.file.Close()
	}
	if err := s.store.Remove(uint64(h)); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// state is the state digest of a snapshot as a checkpoint certifies it, as far as its
// files can be read.
func (s *snapshotFolder) state(h pbft.Height) (pbft.Digest, bool) {
	f, err := s.store.Open(uint64(h))
	if err != nil {
		return pbft.Digest{}, false
	}
	defer func() { _ = f.Close() }()
	header, err := statemachine.ReadHeader(f.Reader())
	if err != nil {
		return pbft.Digest{}, false
	}
	return statemachine.StateDigest(header.AppDigest, header.SessionsDigest, f.Manifest().Root()), true
}

func (s *snapshotFolder) where() string { return s.dir }

// verify reads a whole snapshot and checks every chunk.
func (s *snapshotFolder) verify(h pbft.Height) (err error) {
	f, err := s.stored(h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(io.Discard, f.Reader())
	return err
}

// serving returns an open snapshot for peers, or nil if there is none.
func (s *snapshotFolder) serving(h uint64) *openSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.open[h]; o != nil {
		return o
	}
	f, err := s.store.Open(h)
	if err != nil {
		return nil
	}
	header, err := statemachine.ReadHeader(f.Reader())
	if err != nil {
		_ = f.Close()
		return nil
	}
	o := &openSnapshot{file: f, manifest: encodeManifest(&header, f.Manifest())}
	s.open[h] = o
	return o
}

// answer makes the answer to a GetManifest or GetChunk. What is not here, or is
// damaged, is answered with no data: the peer asks somebody else at once.
func (s *snapshotFolder) answer(ask pbft.Message) (pbft.Message, error) {
	switch m := ask.(type) {
	case *pbft.GetManifest:
		out := &pbft.Manifest{Height: m.Height}
		if o := s.serving(uint64(m.Height)); o != nil {
			out.Data = o.manifest
		}
		return out, nil
	case *pbft.GetChunk:
		out := &pbft.Chunk{Height: m.Height, Index: m.Index}
		o := s.serving(uint64(m.Height))
		if o == nil || int64(m.Index) >= int64(len(o.file.Manifest().Chunks)) {
			return out, nil
		}
		b, err := o.file.Chunk(int(m.Index))
		if errors.Is(err, os.ErrClosed) {
			return out, nil // pruned this very moment
		}
		out.Data = b
		return out, err
	}
	return nil, fmt.Errorf("replica: %v asks for no file", ask.Kind())
}

// prune removes all snapshots below the last ones of those that are stable, and
// what transfers below left behind. Snapshots above stable stay: they may become
// stable yet.
func (s *snapshotFolder) prune(stable pbft.Height) error {
	heights, err := s.newest(stable)
	if err != nil {
		return err
	}
	heights = append(heights, 0) // the beginning, if it is there, is not needed any more
	for i, h := range heights {
		if i < keepSnapshots && !beginning(h) {
			continue
		}
		s.unserve(h)
		if err := s.store.Remove(uint64(h)); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshotFolder) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, o := range s.open {
		_ = o.file.Close()
		delete(s.open, h)
	}
}

// incoming is the transfer under way. It belongs to the transfer goroutine.
type incoming struct {
	folder   *snapshotFolder
	height   uint64
	manifest *snapshot.Manifest
	in       *snapshot.Incoming
}

const transferSuffix = ".transfer"

func (s *snapshotFolder) transferFile(h uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d%s", h, transferSuffix))
}

// begin looks for what an earlier attempt left: the manifest (which the caller
// checks against the certificate) and the chunks that are there. Attempts at other
// heights are deleted.
func (s *snapshotFolder) begin(h pbft.Height, check func(manifest []byte) error) (in *incoming, manifest []byte, have []uint32, err error) {
	in = &incoming{folder: s, height: uint64(h)}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, e := range entries {
		var other uint64
		if n, _ := fmt.Sscanf(e.Name(), "%020d"+transferSuffix, &other); n == 1 && other != uint64(h) && filepath.Ext(e.Name()) == transferSuffix {
			if err := errors.Join(s.store.Abandon(other), os.Remove(filepath.Join(s.dir, e.Name()))); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	manifest, err = os.ReadFile(s.transferFile(uint64(h)))
	if errors.Is(err, fs.ErrNotExist) {
		// A transfer that ended right before a crash may have left the whole snapshot.
		if o := s.serving(uint64(h)); o != nil {
			manifest, err = o.manifest, nil
		} else {
			return in, nil, nil, nil
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if check(manifest) != nil {
		if err := os.Remove(s.transferFile(uint64(h))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, nil, err
		}
		return in, nil, nil, s.store.Abandon(uint64(h))
	}
	if have, err = in.receive(manifest); err != nil {
		return nil, nil, nil, err
	}
	return in, manifest, have, nil
}

func (i *incoming) receive(manifest []byte) (have []uint32, err error) {
	p, err := decodeManifest(manifest)
	if err != nil {
		return nil, err
	}
	i.manifest = p.Manifest
	if root, ok := i.folder.root(pbft.Height(i.height)); ok && root == i.manifest.Root() {
		if i.folder.verify(pbft.Height(i.height)) == nil {
			for k := range i.manifest.Chunks {
				have = append(have, uint32(k))
			}
			return have, nil // nothing to receive
		}
	}
	if i.in, err = i.folder.store.Receive(i.manifest); err != nil {
		return nil, err
	}
	for k := range i.manifest.Chunks {
		if i.in.Has(k) {
			have = append(have, uint32(k))
		}
	}
	return have, nil
}

// save keeps the manifest, so that the transfer can go on after a restart.
func (i *incoming) save(manifest []byte) error {
	if err := writeFile(i.folder.transferFile(i.height), manifest, 0o600); err != nil {
		return err
	}
	_, err := i.receive(manifest)
	return err
}

// put keeps a chunk; false means that it is not the one in the manifest.
func (i *incoming) put(index uint32, data []byte) (good bool, err error) {
	if i.in == nil {
		return true, nil
	}
	switch err := i.in.Put(int(index), data); {
	case errors.Is(err, snapshot.ErrChunk):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// finish makes the snapshot durable under its final name and checks all of it.
// After an error that is the disk's everything is forgotten, for a new attempt.
func (i *incoming) finish() error {
	h := pbft.Height(i.height)
	err := func() error {
		if i.in != nil {
			if err := i.in.Finish(); err != nil {
				return err
			}
			i.folder.unserve(h)
			i.in = nil
		}
		return i.folder.verify(h)
	}()
	if rerr := os.Remove(i.folder.transferFile(i.height)); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	if err != nil {
		err = errors.Join(err, i.folder.store.Remove(i.height), i.folder.store.Abandon(i.height))
	}
	return err
}

// part implements partial.
func (i *incoming) part() bool { return i.in != nil && i.in.Missing() > 0 }

func (i *incoming) prefix() (io.ReadCloser, error) {
	if i.in != nil {
		return io.NopCloser(i.in.Prefix()), nil
	}
	f, err := i.folder.store.Open(i.height)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{f.Reader(), f}, nil
}

func (i *incoming) certifiedRoot() pbft.Digest { return i.manifest.Root() }

// drop forgets the transfer.
func (i *incoming) drop() error {
	i.close()
	err := os.Remove(i.folder.transferFile(i.height))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, i.folder.store.Abandon(i.height))
}

// close lets go of the files and keeps what was received.
func (i *incoming) close() {
	if i != nil && i.in != nil {
		_ = i.in.Close()
		i.in = nil
	}
}
