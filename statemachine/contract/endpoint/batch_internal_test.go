package endpoint

import (
	"bytes"
	"io"
	"net/http"
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
