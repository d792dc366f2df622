package store

import (
	"errors"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
	"github.com/parley-bft/parley/statemachine/stream"
)

// A snapshot is, in the encoding of package stream: magic, the state's digest, then a
// one, key and value for each entry by ascending key, then a zero.

const snapshotMagic = uint64(0x7061726c65797331) // "parleys1"

// keepSnapshots is how many snapshots' heights can be returned to: as many as a replica
// keeps that are certified, and one that is not yet.
const keepSnapshots = 3

type frozen struct {
	v       *View
	digest  crypto.Digest
	release func()
}

// Snapshot freezes the last committed state, at the cost of [Store.Digest]; on a disk
// also that of [Store.Flush], and the height stays readable until some snapshots later,
// so that [Store.Restore] can return to it.
func (s *Store) Snapshot() (statemachine.Snapshot, error) {
	d, err := s.Digest()
	if err != nil {
		return nil, err
	}
	v, release, err := s.held()
	if err != nil {
		return nil, err
	}
	if s.cfg.onDisk() && s.begun {
		s.note(v.height)
		if err := s.flushSoon(); err != nil {
			release()
			return nil, err
		}
		// The database has what was pending, and nothing younger.
		none := newPending()
		v.last, v.history, v.flushes = none.last, none.history, s.flushes.Load()
	}
	return &frozen{v, d, release}, nil
}

// note keeps the height of a snapshot.
func (s *Store) note(height uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.snapshots); n > 0 && s.snapshots[n-1] == height {
		return
	}
	s.snapshots = append(s.snapshots, height)
	if !s.keeps {
		s.snapshots = s.snapshots[max(0, len(s.snapshots)-keepSnapshots):]
	}
	s.prune()
}

// WriteTo writes the snapshot.
func (f *frozen) WriteTo(dst io.Writer) (n int64, err error) {
	w := stream.NewWriter(dst)
	failed := Catch(func() {
		w.Uint64(snapshotMagic)
		w.Fixed(f.digest[:])
		for k, r := range f.v.all() {
			w.Uint8(1)
			w.Bytes([]byte(k))
			w.Bytes(r.value)
			if w.Err() != nil {
				return
			}
		}
		w.Uint8(0)
	})
	n, err = w.Flush()
	return n, errors.Join(err, failed)
}

// Close lets the state go.
func (f *frozen) Close() error { f.release(); return nil }

// Restore replaces everything by a snapshot, at a height that is not known until
// [Store.SetHeight] or the next Commit. After an error that the bytes cause, or r, the
// store is as it was; such an error wraps [ErrSnapshot] unless it is r's own.
//
// If the store still has a height with the same digest, it returns to that, at the cost
// of what changed since: to the last one, if there are several, and [Store.SetHeight] goes
// further back. What is below stays readable. A snapshot that only names its state (see [Machine.Snapshot]) can be
// restored no other way: the error then wraps [statemachine.ErrStateElsewhere].
func (s *Store) Restore(src io.Reader) error {
	if err := s.err(); err != nil {
		return err
	}
	r := stream.NewReader(src)
	magic := r.Uint64()
	if r.Err() == nil && magic != snapshotMagic && magic != keptMagic {
		r.Fail("it begins with %016x", magic)
	}
	var height uint64
	if magic == keptMagic {
		height = r.Uint64()
	}
	var digest crypto.Digest
	r.Fixed(digest[:])
	if magic == keptMagic {
		_ = r.End()
	}
	if r.Err() != nil {
		return snapshotError(r.Err())
	}
	s.block.reset()
	if magic == keptMagic {
		return s.restoreKept(height, digest)
	}
	// The last height: if the state was the same at several, SetHeight may have to go back
	// further, and nothing that it needs for that is gone.
	if t, ok := s.lastWith(digest, s.last); ok && s.cfg.onDisk() { // in memory loading costs as much
		if _, err := io.Copy(io.Discard, r.Rest()); err != nil {
			return err
		}
		return s.rollback(t)
	}
	l, err := newLoader(s)
	if err != nil {
		return err
	}
	if err := l.read(r, digest); err != nil {
		if r.Err() == nil {
			err = s.fail("load a snapshot", err)
		}
		return errors.Join(snapshotError(err), l.abandon())
	}
	return l.adopt()
}

// lastWith returns the seal of the last height up to one that can be returned to and has this
// digest.
func (s *Store) lastWith(digest crypto.Digest, upTo uint64) (seal, bool) {
	for i := len(s.tree.seals) - 1; i >= 0; i-- {
		if t := &s.tree.seals[i]; t.height <= upTo && s.has(t, digest) {
			return *t, true
		}
	}
	return seal{}, false
}

// has tells whether a height can be returned to, and has this digest.
func (s *Store) has(t *seal, digest crypto.Digest) bool {
	return t.height >= s.oldest.Load() && proof.StateDigest(rootOf(t.root)) == digest && s.begun && !s.incomplete
}

// read loads a snapshot that must turn out to have a digest.
func (l *loader) read(r *stream.Reader, want crypto.Digest) error {
	for more := r.Uint8(); more != 0 && r.Err() == nil; more = r.Uint8() {
		if more != 1 {
			r.Fail("mark %d", more)
		}
		key, value := string(r.Bytes(MaxKeyBytes)), r.Bytes(MaxValueBytes)
		if r.Err() != nil {
			break
		}
		if err := l.entry(key, value); errors.Is(err, errOrder) {
			r.Fail("%v", err)
		} else if err != nil {
			return err
		}
	}
	if err := r.End(); err != nil {
		return err
	}
	got, err := l.finish(loaded(0, false))
	if err != nil {
		return err
	}
	if got != want {
		r.Fail("its state has digest %v, it says %v", got, want)
	}
	return r.Err()
}

func snapshotError(err error) error {
	if errors.Is(err, stream.ErrMalformed) {
		return errors.Join(ErrSnapshot, err)
	}
	return err
}
