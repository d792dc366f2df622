package kv

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/parley-bft/parley/statemachine"
	"github.com/stretchr/testify/require"
)

// FuzzApply: any bytes are an operation that ends with one result, within the
// limits, whose data decodes; what is refused changes nothing.
func FuzzApply(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add(randomOp(r))
	}
	f.Fuzz(func(t *testing.T, op []byte) {
		m := New(smallLimits())
		for i := range 3 {
			m.put([]byte{'a' + byte(i), 'a'}, []byte{byte(i)}, uint64(i)+1)
		}
		before := m.Digest()
		res := m.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: op}}})
		require.Len(t, res, 1)
		require.NotEqual(t, statemachine.CodePanicked, res[0].Code)
		require.LessOrEqual(t, len(res[0].Data), m.limits.MaxResultBytes)
		out, err := DecodeResult(res[0])
		require.NoError(t, err)
		if out.Err() != nil {
			require.Equal(t, before, m.Digest())
		}
	})
}

// FuzzDecodeResult: any bytes are a result or an error.
func FuzzDecodeResult(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	m := New(smallLimits())
	for range 200 {
		res := m.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: randomOp(r)}}})[0]
		f.Add(uint32(res.Code), res.Data)
	}
	f.Fuzz(func(t *testing.T, code uint32, data []byte) {
		out, err := DecodeResult(statemachine.Result{Code: statemachine.ResultCode(code), Data: data})
		if err != nil {
			require.Empty(t, out)
		}
	})
}

// FuzzRestore: any bytes are refused, or are the one snapshot of the state that
// they lead to; a refusal leaves the content as it was.
func FuzzRestore(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	m := New(smallLimits())
	for range 5 {
		var buf bytes.Buffer
		s, err := m.Snapshot()
		require.NoError(f, err)
		_, err = s.WriteTo(&buf)
		require.NoError(f, err)
		f.Add(buf.Bytes())
		for range 10 {
			m.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: randomOp(r)}}})
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := New(smallLimits())
		m.put([]byte("k"), []byte("v"), 1)
		before := m.Digest()
		if err := m.Restore(bytes.NewReader(b)); err != nil {
			require.ErrorIs(t, err, ErrSnapshot)
			require.Equal(t, before, m.Digest())
			return
		}
		var again bytes.Buffer
		s, err := m.Snapshot()
		require.NoError(t, err)
		_, err = s.WriteTo(&again)
		require.NoError(t, err)
		require.Equal(t, b, again.Bytes())
	})
}
