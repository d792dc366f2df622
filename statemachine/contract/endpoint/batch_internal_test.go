package endpoint

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBatch looks for requests that make the look at a batch panic, that it changes on
// their way to whoever answers them, or of which it takes more than there may be.
func FuzzBatch(f *testing.F) {
	const send = `{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x01"]}`
	for _, seed := range []string{
		"", " ", "[", "[]", "[1,2]", "{}", send, "[" + send + "," + send + "]", " \n[" + send + `,{"method":7},{"params":{}},` + send + "]",
		"[" + send + "," + send + "," + send + "," + send + "]", "[" + send + "," + send + "] ",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Config{MaxBodyBytes: 300, MaxBatch: 3}
		req, err := http.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader(data)))
		require.NoError(t, err)
		req = c.noteBatch(req)
		if b, ok := req.Context().Value(batchKey{}).(*batch); ok {
			require.Greater(t, len(b.raw), 1)
			require.LessOrEqual(t, len(b.raw), c.MaxBatch)
			require.LessOrEqual(t, len(data), c.MaxBodyBytes)
		}
		rest, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		require.Equal(t, string(data), string(rest))
	})
}

// What a socket remembers of batches has a bound, and goes when it was asked for.
func TestNotedBatches(t *testing.T) {
	c := &socket{cfg: &Config{MaxBodyBytes: 10, MaxBatch: 3}}
	frame := func(raws ...string) []byte {
		var calls []string
		for _, r := range raws {
			calls = append(calls, `{"method":"eth_sendRawTransaction","params":["0x`+r+`"]}`)
		}
		return []byte(" [" + strings.Join(calls, ",") + "]")
	}
	c.note(frame("01"))
	c.note([]byte(`{"method":"eth_sendRawTransaction","params":["0x01"]}`))
	c.note([]byte("?"))
	require.Empty(t, c.noted, "none sends several transactions")
	c.note(frame("01", "02"))
	require.Nil(t, c.take([]byte{3}))
	b := c.take([]byte{2})
	require.NotNil(t, b)
	require.Same(t, b, c.take([]byte{1}))
	require.Nil(t, c.take([]byte{1}))
	require.Zero(t, c.size)
	for range 10 {
		c.note(frame("0102", "0304"))
	}
	require.Len(t, c.noted, 2)
	require.Equal(t, 8, c.size)
	c.note(frame("05", "06"))
	require.Len(t, c.noted, 3)
	require.NotNil(t, c.take([]byte{6}))
	c.cfg.MaxBodyBytes = 1 << 20
	for range 2 * maxNoted {
		c.note(frame("01", "02"))
	}
	require.Len(t, c.noted, maxNoted)
}
