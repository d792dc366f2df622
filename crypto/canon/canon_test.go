package canon_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto/canon"
)

// What is appended is read back, in order and completely.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var reads []func(*canon.Reader)
		for range rapid.IntRange(0, 20).Draw(t, "fields") {
			switch rapid.IntRange(0, 7).Draw(t, "type") {
			case 0:
				v := rapid.Byte().Draw(t, "v")
				b = canon.AppendUint8(b, v)
				reads = append(reads, func(r *canon.Reader) { require.Equal(t, v, r.Uint8()) })
			case 1:
				v := rapid.Uint16().Draw(t, "v")
				b = canon.AppendUint16(b, v)
				reads = append(reads, func(r *canon.Reader) { require.Equal(t, v, r.Uint16()) })
			case 2:
				v := rapid.Uint32().Draw(t, "v")
				b = canon.AppendUint32(b, v)
				reads = append(reads, func(r *canon.Reader) { require.Equal(t, v, r.Uint32()) })
			case 3:
				v := rapid.Uint64().Draw(t, "v")
				b = canon.AppendUint64(b, v)
				reads = append(reads, func(r *canon.Reader) { require.Equal(t, v, r.Uint64()) })
			case 4:
				v := rapid.Bool().Draw(t, "v")
				b = canon.AppendBool(b, v)
				reads = append(reads, func(r *canon.Reader) { require.Equal(t, v, r.Bool()) })
			case 5:
				v := rapid.SliceOf(rapid.Byte()).Draw(t, "v")
				b = canon.AppendBytes(b, v)
				reads = append(reads, func(r *canon.Reader) { require.True(t, bytes.Equal(v, r.Bytes(len(v)))) })
			case 6:
				v := rapid.String().Draw(t, "v")
				b = canon.AppendString(b, v)
				reads = append(reads, func(r *canon.Reader) { require.Equal(t, v, string(r.Bytes(1<<20))) })
			case 7:
				v := rapid.SliceOfN(rapid.Byte(), 5, 5).Draw(t, "v")
				b = append(b, v...)
				reads = append(reads, func(r *canon.Reader) {
					var have [5]byte
					r.Copy(have[:])
					require.Equal(t, v, have[:])
				})
			}
		}
		r := canon.NewReader(b)
		for _, read := range reads {
			read(r)
		}
		require.Zero(t, r.Len())
		require.NoError(t, r.Close())

		// Nothing shorter will do.
		if len(b) > 0 {
			r := canon.NewReader(b[:len(b)-1])
			for range 1000 {
				r.Bool()
			}
			require.ErrorIs(t, r.Close(), canon.ErrMalformed)
		}
	})
}

func TestReaderErrors(t *testing.T) {
	for name, read := range map[string]func(*canon.Reader){
		"short":              func(r *canon.Reader) { r.Uint64() },
		"truth value":        func(r *canon.Reader) { r.Bool() },
		"above limit":        func(r *canon.Reader) { r.Bytes(2) },
		"longer than input":  func(r *canon.Reader) { r.Uint8(); r.Bytes(1 << 30) },
		"count above limit":  func(r *canon.Reader) { r.Count(2, 0) },
		"count beyond input": func(r *canon.Reader) { r.Count(3, 2) },
		"negative":           func(r *canon.Reader) { r.Fixed(-1) },
		"trailing":           func(r *canon.Reader) { r.Uint8() },
		"own":                func(r *canon.Reader) { r.Fail("height %d", 7) },
	} {
		r := canon.NewReader([]byte{0, 0, 0, 3, 5})
		if name == "truth value" {
			r = canon.NewReader([]byte{2})
		}
		read(r)
		first := r.Close()
		require.ErrorIs(t, first, canon.ErrMalformed, name)

		// After an error everything is zero and the error stays.
		require.Zero(t, r.Uint8())
		require.Zero(t, r.Uint16())
		require.Zero(t, r.Uint32())
		require.Zero(t, r.Uint64())
		require.False(t, r.Bool())
		require.Nil(t, r.Bytes(10))
		require.Nil(t, r.Fixed(1))
		require.Zero(t, r.Count(10, 1))
		r.Fail("later")
		require.Equal(t, first, r.Err(), name)
	}
	r := canon.NewReader([]byte{0, 0, 0, 2, 7, 8})
	require.Equal(t, 2, r.Count(2, 1))
	require.NoError(t, new(canon.Reader).Close())
}

// A byte string returned cannot be appended to over its neighbour.
func TestFixedIsCapped(t *testing.T) {
	b := []byte{1, 2, 3}
	r := canon.NewReader(b)
	_ = append(r.Fixed(1), 9)
	require.Equal(t, []byte{1, 2, 3}, b)
}

// FuzzReader runs a program of reads over an input: no panic, nothing returned
// beyond limits, and what is accepted has exactly one encoding.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, []byte{1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1})
	f.Add([]byte{5, 6}, []byte{0, 0, 0, 1, 9, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, program, input []byte) {
		r := canon.NewReader(input)
		var again []byte
		for _, op := range program {
			switch op % 8 {
			case 0:
				again = canon.AppendUint8(again, r.Uint8())
			case 1:
				again = canon.AppendUint16(again, r.Uint16())
			case 2:
				again = canon.AppendUint32(again, r.Uint32())
			case 3:
				again = canon.AppendUint64(again, r.Uint64())
			case 4:
				again = canon.AppendBool(again, r.Bool())
			case 5:
				b := r.Bytes(int(op))
				require.LessOrEqual(t, len(b), int(op))
				again = canon.AppendBytes(again, b)
			case 6:
				n := r.Count(int(op), 3)
				require.LessOrEqual(t, 3*n, r.Len())
				again = canon.AppendUint32(again, uint32(n))
			case 7:
				again = append(again, r.Fixed(int(op))...)
			}
		}
		if r.Close() == nil {
			require.True(t, bytes.Equal(input, again))
		} else {
			require.ErrorIs(t, r.Err(), canon.ErrMalformed)
			require.Zero(t, r.Len())
		}
	})
}
