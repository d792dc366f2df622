package statemachine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResultsEncoding(t *testing.T) {
	results := []Result{OK([]byte("abc")), OK(nil), Reject(CodeApplication+1, []byte{0}), OK(nil)}
	b := AppendResults(nil, results)
	require.Equal(t, []byte("\x00\x00\x00\x00\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x65\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), b)
	require.Len(t, b, ResultsSize(results))
	require.True(t, AreResults(b, 4))
	back, ok := DecodeResults(b, 4)
	require.True(t, ok)
	require.Equal(t, results, back)
	_ = append(back[0].Data, 'x')
	require.True(t, AreResults(b, 4), "what is appended to one result is not written into the next")

	for n := range 8 {
		if n != 4 {
			require.False(t, AreResults(b, n), n)
		}
	}
	for n := range b {
		require.False(t, AreResults(b[:n], 4), n)
	}
	_, ok = DecodeResults(append(bytes.Clone(b), 0), 4)
	require.False(t, ok)
	require.True(t, AreResults(nil, 0))
}

func FuzzDecodeResults(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add(AppendResults(nil, []Result{OK([]byte("abc")), Reject(7, nil)}), uint16(2))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\xffabc"), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		results, ok := DecodeResults(b, int(n))
		if !ok {
			return
		}
		require.Len(t, results, int(n))
		require.True(t, bytes.Equal(b, AppendResults(nil, results)))
	})
}
