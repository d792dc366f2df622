package endpoint_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// A web page that a browser has open must not use the endpoint of its user's machine.
func TestWebPages(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Hosts, c.Origins = []string{"parley.example"}, []string{"https://wallet.example"}
	})
	const call = `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`
	for host, want := range map[string]int{
		"evil.example": http.StatusForbidden, "evil.example:8545": http.StatusForbidden,
		"parley.example": http.StatusOK, "localhost:1": http.StatusOK, "[::1]:1": http.StatusOK, "10.0.0.1": http.StatusOK,
	} {
		status, _ := s.post(call, func(r *http.Request) { r.Host = host })
		require.Equal(t, want, status, host)
	}
	socket := func(origin string) error {
		ws, err := rpc.DialWebsocket(t.Context(), strings.Replace(s.endpoint.URL(), "http", "ws", 1), origin)
		if err == nil {
			err = ws.CallContext(t.Context(), nil, "eth_chainId")
			ws.Close()
		}
		return err
	}
	for origin, may := range map[string]bool{
		"": true, "https://wallet.example": true, "https://Wallet.example:443": true, s.endpoint.URL(): true,
		"https://evil.example": false, "http://wallet.example": false, "https://wallet.example:8443": false,
		"https://wallet.example.evil.example": false, "null": false, "wallet.example": false,
		"http://localhost": false, "http://localhost:3000": false, "http://127.0.0.1": false, "http://127.0.0.1:1": false,
	} {
		from := func(r *http.Request) { r.Header.Set("Origin", origin) }
		status, answer := s.post(call, from)
		require.Equal(t, may, status == http.StatusOK, origin)
		if !may {
			require.Contains(t, answer, origin)
			require.Contains(t, answer, "contractOrigins", "what to set")
		}
		if origin != "" {
			status, _ = s.post("", func(r *http.Request) { r.Method = http.MethodOptions; from(r) })
			require.Equal(t, may, status == http.StatusNoContent, origin)
		}
		require.Equal(t, may, socket(origin) == nil, "a WebSocket of %q", origin)
	}
}

// A page that comes from the same place as the endpoint, by a proxy in front of both, may
// use it.
func TestSameOrigin(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Hosts = []string{"Parley.example"} })
	for origin, want := range map[string]int{
		"https://parley.example": http.StatusOK, "https://Parley.example:443": http.StatusOK,
		"https://parley.example:444": http.StatusForbidden, "https://page.parley.example": http.StatusForbidden,
	} {
		status, _ := s.post(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`, func(r *http.Request) {
			r.Host = "parley.example"
			r.Header.Set("Origin", origin)
		})
		require.Equal(t, want, status, origin)
	}
}

// By default no page may use the endpoint, not even one of the same machine.
func TestWebPagesByDefault(t *testing.T) {
	s := newStand(t, nil)
	name, err := os.Hostname()
	require.NoError(t, err)
	for _, origin := range []string{"http://localhost", "http://localhost:8080", "http://" + name, "https://evil.example"} {
		_, err := rpc.DialWebsocket(t.Context(), strings.Replace(s.endpoint.URL(), "http", "ws", 1), origin)
		require.Error(t, err, origin)
		status, _ := s.post(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`, func(r *http.Request) { r.Header.Set("Origin", origin) })
		require.Equal(t, http.StatusForbidden, status, origin)
	}
	s = newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Origins = []string{"*"} })
	ws, err := rpc.DialWebsocket(t.Context(), strings.Replace(s.endpoint.URL(), "http", "ws", 1), "https://anybody.example")
	require.NoError(t, err)
	ws.Close()
}
