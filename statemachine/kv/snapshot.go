package kv

import (
	"errors"
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/stream"
	"github.com/tidwall/btree"
)

// A snapshot is, in the encoding of package stream: magic, digest of the limits,
// revision, number of keys, then by ascending key: key, value, revisions of
// creation and last change, version.

const snapshotMagic = uint64(0x7061726c65796b31) // "parleyk1"

// ErrSnapshot is wrapped by the errors of Restore that the bytes cause.
var ErrSnapshot = errors.New("kv snapshot")

type frozen struct {
	limits   crypto.Digest
	revision uint64
	tree     *btree.Map[string, *entry]
}

// Snapshot freezes the content in constant time; writes that follow copy what
// they change.
func (m *Machine) Snapshot() (statemachine.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &frozen{limits: m.limits.Digest(), revision: m.revision, tree: m.freeze()}, nil
}

// WriteTo writes the snapshot.
func (f *frozen) WriteTo(dst io.Writer) (int64, error) {
	w := stream.NewWriter(dst)
	w.Uint64(snapshotMagic)
	w.Fixed(f.limits[:])
	w.Uint64(f.revision)
	w.Uint64(uint64(f.tree.Len()))
	f.tree.Scan(func(key string, e *entry) bool {
		w.String(key)
		w.Bytes(e.value)
		w.Uint64(e.create)
		w.Uint64(e.mod)
		w.Uint64(e.version)
		return w.Err() == nil
	})
	return w.Flush()
}

// Close lets the content go.
func (f *frozen) Close() error { f.tree = nil; return nil }

// Restore replaces the content by a snapshot's. After an error the content is as
// it was. The error wraps ErrSnapshot, or is r's own.
func (m *Machine) Restore(src io.Reader) error {
	r := stream.NewReader(src)
	fresh := New(m.limits)
	fresh.load(r)
	if err := r.End(); err != nil {
		if errors.Is(err, stream.ErrMalformed) {
			return fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cells, m.tree, m.trie = fresh.cells, fresh.tree, fresh.trie
	m.revision, m.size = fresh.revision, fresh.size
	m.generation, m.dirty = fresh.generation, nil
	m.published.Store(nil)
	return nil
}

// load reads a snapshot into an empty machine.
func (m *Machine) load(r *stream.Reader) {
	if magic := r.Uint64(); r.Err() == nil && magic != snapshotMagic {
		r.Fail("it begins with %016x", magic)
	}
	var limits crypto.Digest
	if r.Fixed(limits[:]); r.Err() == nil && limits != m.limits.Digest() {
		r.Fail("made under other limits")
	}
	m.revision = r.Uint64()
	m.trie = merkle.Trie{}
	last := ""
	for left := r.Uint64(); left > 0 && r.Err() == nil; left-- {
		key := string(r.Bytes(m.limits.MaxKeyBytes))
		e := &entry{value: r.Bytes(m.limits.MaxValueBytes)}
		e.create, e.mod, e.version = r.Uint64(), r.Uint64(), r.Uint64()
		m.size += entrySize(len(key), len(e.value))
		switch {
		case r.Err() != nil:
			return
		case key <= last:
			r.Fail("keys out of order at %q", key)
		case e.create == 0 || e.create > e.mod || e.mod > m.revision || e.version == 0:
			r.Fail("key %q: created at %d, changed at %d, version %d, store at %d", key, e.create, e.mod, e.version, m.revision)
		case m.size > m.limits.MaxStateBytes:
			r.Fail("more than %d bytes of content", m.limits.MaxStateBytes)
		}
		m.tree.Load(key, e)
		c := m.newCell(key)
		c.entry = e
		m.trie.Set(c.path, e.digest())
		last = key
	}
}
