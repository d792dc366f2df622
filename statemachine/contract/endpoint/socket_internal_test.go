package endpoint

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// hijacked is a request's connection.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// However many do not read, an endpoint stops in the time that it gives one of them.
func TestStopWithThoseWhoDoNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSockets(&Config{MaxBodyBytes: 1000}, nil)
		for range 10 {
			here, there := net.Pipe()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for name, value := range map[string]string{"Connection": "upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
				r.Header.Set(name, value)
			}
			go func() {
				answer, err := http.ReadResponse(bufio.NewReader(there), r)
				if err == nil {
					_ = answer.Body.Close()
				}
			}()
			conn, err := s.upgrader.Upgrade(hijacked{httptest.NewRecorder(), here}, r, nil)
			require.NoError(t, err)
			c := s.enter(conn, "somewhere")
			go func() {
				defer s.leave(c)
				_, _ = c.Write([]byte("nobody reads this"))
			}()
		}
		synctest.Wait()
		begun := time.Now()
		s.stop()
		require.Equal(t, cutPatience, time.Since(begun))
		synctest.Wait()
		require.Empty(t, s.open)
	})
}
