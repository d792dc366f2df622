package store

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// checked is an application whose state has its own name in it.
type checked string

func (c checked) Found(t Txn) { t.Set([]byte("name"), []byte(c)) }

func (c checked) Apply(Txn, *statemachine.Block, *statemachine.Op) statemachine.Result {
	return statemachine.OK(nil)
}

func (c checked) Query(context.Context, Reader, []byte) ([]byte, error) { return nil, nil }

var errForeign = errors.New("it is another's")

func (c checked) CheckState(r Reader) error {
	if name, _ := r.Get([]byte("name")); string(name) != string(c) {
		return errForeign
	}
	return nil
}

// A snapshot of another application, or of other settings, is refused when it is restored.
func TestRestoredStatesAreChecked(t *testing.T) {
	machine := func(c checked) *Machine {
		s, err := Open(t.Context(), memory(3))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		m, err := NewMachine(s, c)
		require.NoError(t, err)
		m.Apply(statemachine.Block{Height: 1})
		return m
	}
	one, two := machine("one"), machine("two")
	snap, err := one.Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = snap.WriteTo(&b)
	require.NoError(t, err)
	require.ErrorIs(t, two.Restore(bytes.NewReader(b.Bytes())), errForeign)
	require.NoError(t, machine("one").Restore(bytes.NewReader(b.Bytes())))
}
