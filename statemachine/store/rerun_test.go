package store

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// Whatever operations do, a block that is run again writes what it wrote, and leaves no
// trace.
func TestRerun(t *testing.T) {
	m, h := newToy(t, memory(5))
	run(m, 1, "sa1", "sb2")
	b := block(2, "sa2", "sa3", "rb9", "fb4", "da", "pb7", "la", "sa3", "sc1")
	m.Apply(b)
	m.Digest()
	run(m, 3, "sa9")
	before := content(t, m.store)
	last := m.store.tree.version
	m.store.Block().Set([]byte("open"), []byte("block"))
	keys := [][]byte{[]byte("b"), []byte("a"), []byte("long"), []byte("founded")}
	for range 2 {
		writes, err := m.Rerun(t.Context(), b, keys)
		require.NoError(t, err)
		require.Equal(t, []statemachine.StateWrite{
			{Key: []byte("a"), Op: 0, Value: []byte("2")},
			{Key: []byte("a"), Op: 1, Value: []byte("3")},
			{Key: []byte("b"), Op: 3, Value: []byte("4")}, // kept although it was refused
			{Key: []byte("a"), Op: 4, Deleted: true},
			{Key: []byte("a"), Op: 7, Value: []byte("3")},
			{Key: []byte("long"), Op: -1, Value: []byte{9}},
		}, writes)
	}
	v, ok := m.store.Block().Get([]byte("open"))
	require.True(t, ok, "the next block's transaction is what it was")
	require.Equal(t, "block", string(v))
	m.store.Block().Discard()
	require.Equal(t, before, content(t, m.store))
	require.Equal(t, last, m.store.tree.version, "no tree was made")

	_, err := m.Rerun(t.Context(), block(9), keys)
	require.ErrorIs(t, err, ErrFuture)
	_, err = m.Rerun(t.Context(), block(0), keys)
	require.ErrorIs(t, err, statemachine.ErrPruned)
	for height := uint64(4); height < 12; height++ {
		run(m, height)
	}
	_, err = m.Rerun(t.Context(), b, keys)
	require.ErrorIs(t, err, statemachine.ErrPruned)
	require.ErrorIs(t, err, ErrPruned)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Rerun(ctx, block(12, "sa1"), keys)
	require.ErrorIs(t, err, context.Canceled)
	_, err = m.Rerun(&countdown{Context: t.Context(), left: 2}, block(12, "sa1", "sb1", "sc1"), keys)
	require.ErrorIs(t, err, context.Canceled, "between operations")
	h.fail = errors.New("the disk is gone")
	_, err = m.Rerun(t.Context(), block(12, "sa1"), keys)
	require.ErrorIs(t, err, h.fail)
	require.NoError(t, m.store.err(), "it was a trial")
	h.fail = nil
	run(m, 12, "sa1")
}

// frail panics where no operation is to blame.
type frail struct {
	putter
	begin, end bool
}

func (f *frail) BeginBlock(Txn, *statemachine.Block) {
	if f.begin {
		panic("at the beginning")
	}
}

func (f *frail) EndBlock(Txn, *statemachine.Block) {
	if f.end {
		panic("at the end")
	}
}

func TestRerunOfAPanic(t *testing.T) {
	h := new(frail)
	m := machineOf(t, memory(3), h)
	run(m, 1, "12345678a")
	for _, when := range []*bool{&h.begin, &h.end} {
		*when = true
		_, err := m.Rerun(t.Context(), block(2, "12345678b"), nil)
		var p *statemachine.PanicError
		require.ErrorAs(t, err, &p)
		require.Equal(t, uint64(2), p.Height)
		*when = false
	}
	run(m, 2, "12345678b")
}

func TestStateBefore(t *testing.T) {
	s := storeOf(t, memory(3), 1, numbered(3, "v"))
	want, err := s.Digest()
	require.NoError(t, err)
	got, err := StateBefore(Prefix(Prefix(s.Block(), "a").Begin(), "b"))
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Panics(t, func() { _, _ = StateBefore(struct{ Txn }{s.Block()}) })
}
