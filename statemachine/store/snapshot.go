package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/stream"
	"github.com/tidwall/btree"
)

// A snapshot is, in the encoding of package stream: magic, then a one, key and value
// for each entry by ascending key, then a zero.

const snapshotMagic = uint64(0x7061726c65797331) // "parleys1"

type frozen struct{ v *View }

// Snapshot freezes the last committed state at a constant cost.
func (s *Store) Snapshot() (statemachine.Snapshot, error) {
	v, err := s.Last()
	if err != nil {
		return nil, err
	}
	return &frozen{v}, nil
}

// WriteTo writes the snapshot.
func (f *frozen) WriteTo(dst io.Writer) (n int64, err error) {
	w := stream.NewWriter(dst)
	failed := Catch(func() {
		w.Uint64(snapshotMagic)
		for k, v := range f.v.Range(nil, nil) {
			w.Uint8(1)
			w.Bytes(k)
			w.Bytes(v)
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
func (f *frozen) Close() error { f.v = nil; return nil }

// Restore replaces everything by a snapshot, at a height that is not known until
// [Store.SetHeight] or the next Commit. After an error that the bytes cause, or r, the
// store is as it was.
func (s *Store) Restore(src io.Reader) error {
	r := stream.NewReader(src)
	if magic := r.Uint64(); r.Err() == nil && magic != snapshotMagic {
		r.Fail("it begins with %016x", magic)
	}
	content, last := new(btree.Map[string, []byte]), ""
	for more := r.Uint8(); more != 0 && r.Err() == nil; more = r.Uint8() {
		key, value := string(r.Bytes(MaxKeyBytes)), r.Bytes(MaxValueBytes)
		switch {
		case r.Err() != nil:
		case more != 1:
			r.Fail("mark %d", more)
		case key <= last:
			r.Fail("keys out of order at %q", key)
		}
		content.Load(key, value)
		last = key
	}
	if err := r.End(); err != nil {
		if errors.Is(err, stream.ErrMalformed) {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.block.reset()
	s.replace(content)
	s.begun = false
	return nil
}
