package stream

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	big := bytes.Repeat([]byte("x"), 3*growth+5)
	w.Uint8(7)
	w.Uint32(1 << 30)
	w.Uint64(1 << 60)
	w.Bytes(nil)
	w.Bytes(big)
	w.String("text")
	n, err := w.Flush()
	require.NoError(t, err)
	require.EqualValues(t, buf.Len(), n)
	r := NewReader(&buf)
	require.EqualValues(t, 7, r.Uint8())
	require.EqualValues(t, 1<<30, r.Uint32())
	require.EqualValues(t, 1<<60, r.Uint64())
	require.Nil(t, r.Bytes(0))
	require.Equal(t, big, r.Bytes(len(big)))
	require.Equal(t, "text", string(r.Bytes(4)))
	require.NoError(t, r.End())
}

func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		read func(*Reader)
	}{
		"short":    {[]byte{1, 2}, func(r *Reader) { r.Uint32() }},
		"too long": {[]byte{0, 0, 0, 2, 1, 1}, func(r *Reader) { r.Bytes(1) }},
		"claims":   {[]byte{255, 255, 255, 255, 1}, func(r *Reader) { r.Bytes(1 << 40) }},
		"trailing": {[]byte{1}, func(*Reader) {}},
	} {
		r := NewReader(bytes.NewReader(c.in))
		c.read(r)
		require.ErrorIs(t, r.End(), ErrMalformed, name)
		require.Zero(t, r.Uint64(), name)
	}
}

type failing struct{}

var errDisk = errors.New("disk")

func (failing) Read([]byte) (int, error)  { return 0, errDisk }
func (failing) Write([]byte) (int, error) { return 0, errDisk }

func TestOthersErrorsPass(t *testing.T) {
	r := NewReader(failing{})
	r.Uint8()
	require.ErrorIs(t, r.Err(), errDisk)
	require.NotErrorIs(t, r.Err(), ErrMalformed)
	require.ErrorIs(t, NewReader(failing{}).End(), errDisk)
	w := NewWriter(failing{})
	w.Bytes(make([]byte, 1<<20))
	_, err := w.Flush()
	require.ErrorIs(t, err, errDisk)
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for r.Err() == nil {
			r.Bytes(1 << 30)
		}
		require.ErrorIs(t, r.Err(), ErrMalformed)
	})
}
