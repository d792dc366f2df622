package statemachine

import (
	"errors"
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/stream"
	"github.com/tidwall/btree"
)

// A snapshot of the executor is, in the encoding of package stream:
//
//	header    see Header
//	counters  requests executed, forgottenUntil, number of sessions, of leaves
//	sessions  by ascending key
//	leaves    since the last checkpoint; none in a snapshot at a checkpoint
//	state     the application's own bytes, to the end
//
// Every part is a function of the replicated history, so the bytes are equal on
// all replicas.

const (
	snapshotMagic   = uint64(0x7061726c65792d73) // "parley-s"
	snapshotVersion = uint32(2)
	maxOpsPerAnswer = 1 << 20
)

// Header begins a snapshot. Its digests say what the rest must turn out to be;
// whether they are the right ones says a checkpoint certificate.
type Header struct {
	Position
	Limits         crypto.Digest // of the Limits in force
	AppDigest      crypto.Digest
	SessionsDigest crypto.Digest
	// AppAt is how many bytes of the snapshot come before the application's.
	AppAt uint64
}

// headerBytes is the length of an encoded Header, and of the counters after it.
const (
	headerBytes   = 8 + 4 + 8 + 8 + 8 + 4*crypto.DigestSize
	countersBytes = 8 + 8 + 4 + 4
)

func (h *Header) write(w *stream.Writer) {
	w.Uint64(snapshotMagic)
	w.Uint32(snapshotVersion)
	w.Fixed(h.Limits[:])
	w.Uint64(h.Height)
	w.Uint64(uint64(h.Time))
	w.Fixed(h.Block[:])
	w.Fixed(h.AppDigest[:])
	w.Fixed(h.SessionsDigest[:])
	w.Uint64(h.AppAt)
}

func readHeader(r *stream.Reader) (h Header) {
	if magic := r.Uint64(); r.Err() == nil && magic != snapshotMagic {
		r.Fail("not a snapshot: it begins with %016x", magic)
	}
	if v := r.Uint32(); r.Err() == nil && v != snapshotVersion {
		r.Fail("snapshot of version %d, this program reads %d", v, snapshotVersion)
	}
	r.Fixed(h.Limits[:])
	h.Height = r.Uint64()
	h.Time = Time(r.Uint64())
	r.Fixed(h.Block[:])
	r.Fixed(h.AppDigest[:])
	r.Fixed(h.SessionsDigest[:])
	h.AppAt = r.Uint64()
	return h
}

// ReadHeader reads the header at the beginning of a snapshot, to compare it with
// a certificate before anything is restored. The error wraps [ErrSnapshotFormat]
// if the bytes are no header. It may read ahead of the header.
func ReadHeader(r io.Reader) (Header, error) {
	s := stream.NewReader(r)
	h := readHeader(s)
	return h, snapshotError(s.Err())
}

// snapshotError gives decoding errors their public sentinel; others are the
// reader's own.
func snapshotError(err error) error {
	if errors.Is(err, stream.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrSnapshotFormat, err)
	}
	return err
}

// Snapshot freezes the executor and its application as of the last block. The
// call costs what the application's Snapshot costs, and sealing the sessions that
// changed; the bytes are made when they are written.
func (e *Executor) Snapshot() (Snapshot, error) {
	app, sessions, err := e.Digests()
	if err != nil {
		return nil, err
	}
	state, err := e.appSnapshot()
	if err != nil {
		return nil, err
	}
	t := e.table
	return &frozen{
		header:         Header{Position: e.at, Limits: e.limits.Digest(), AppDigest: app, SessionsDigest: sessions},
		executed:       t.executed,
		forgottenUntil: t.forgottenUntil,
		sessions:       t.sealed.Copy(),
		leaves:         e.leaves[:len(e.leaves):len(e.leaves)],
		app:            state,
	}, nil
}

func (e *Executor) appSnapshot() (s Snapshot, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = e.panicked("Snapshot", nil, v)
			e.broken = err
		}
	}()
	if s, err = e.app.Snapshot(); err != nil {
		return nil, fmt.Errorf("snapshot of the application: %w", err)
	}
	return s, nil
}

// frozen shares nothing with the executor that still changes: records and their
// answers are immutable, the tree of records is a copy on write.
type frozen struct {
	header         Header
	executed       uint64
	forgottenUntil Time
	sessions       *btree.Map[string, *record]
	leaves         []crypto.Digest
	app            Snapshot
}

// WriteTo writes the snapshot.
func (f *frozen) WriteTo(dst io.Writer) (int64, error) {
	w := stream.NewWriter(dst)
	f.header.AppAt = f.size()
	f.header.write(w)
	w.Uint64(f.executed)
	w.Uint64(uint64(f.forgottenUntil))
	w.Uint32(uint32(f.sessions.Len()))
	w.Uint32(uint32(len(f.leaves)))
	f.sessions.Scan(func(_ string, r *record) bool {
		r.write(w)
		return w.Err() == nil
	})
	for i := range f.leaves {
		w.Fixed(f.leaves[i][:])
	}
	n, err := w.Flush()
	if err != nil {
		return n, err
	}
	m, err := f.app.WriteTo(dst)
	return n + m, err
}

// size is the length of everything before the application's bytes.
func (f *frozen) size() uint64 {
	n := headerBytes + countersBytes + len(f.leaves)*crypto.DigestSize
	f.sessions.Scan(func(_ string, r *record) bool {
		n += r.size()
		return true
	})
	return uint64(n)
}

// Close releases what the application's snapshot holds.
func (f *frozen) Close() error { return f.app.Close() }

// size is how many bytes write writes.
func (r *record) size() int {
	n := len(r.client) + 8 + 8 + len(r.window) + 4
	for _, a := range r.answers {
		n += 8 + crypto.DigestSize + 8 + 8 + 4
		for i := range a.results {
			n += 4 + 4 + len(a.results[i].Data)
		}
	}
	return n
}

func (r *record) write(w *stream.Writer) {
	w.Fixed(r.client[:])
	w.Uint64(r.floor)
	w.Uint64(uint64(r.maxDeadline))
	w.Fixed(r.window)
	w.Uint32(uint32(len(r.answers)))
	for _, a := range r.answers {
		w.Uint64(a.seq)
		w.Fixed(a.request[:])
		w.Uint64(a.height)
		w.Uint64(a.ordinal)
		w.Uint32(uint32(len(a.results)))
		for i := range a.results {
			w.Uint32(uint32(a.results[i].Code))
			w.Bytes(a.results[i].Data)
		}
	}
}
