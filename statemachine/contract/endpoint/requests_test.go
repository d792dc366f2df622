package endpoint_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

func TestMalformedRequests(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.MaxBodyBytes, c.MaxBatch, c.Read.LogBlocks = 64<<10, 3, 5
	})
	call := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
	}
	addr, other := `"0x0000000000000000000000000000000000000001"`, `"0x00000000000000000000000000000000000000aa"`
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":                {`{"jsonrpc":`, "-32700"},
		"no request":             {`[1,2]`, "-32600"},
		"no method":              {call("eth_nothing", `[]`), "-32601"},
		"a private method":       {call("eth_sendTransaction", `[{}]`), "-32601"},
		"an admin's method":      {call("admin_peers", `[]`), "-32601"},
		"too few arguments":      {call("eth_getBalance", `[]`), "-32602"},
		"too many":               {call("eth_chainId", `[1,2,3]`), "-32602"},
		"no list of arguments":   {call("eth_getBalance", `{"a":1}`), "-32602"},
		"a bad address":          {call("eth_getBalance", `["0x01","latest"]`), "-32602"},
		"a bad block":            {call("eth_getBalance", `[`+addr+`,"someday"]`), "-32602"},
		"a negative block":       {call("eth_getBalance", `[`+addr+`,"-0x1"]`), "-32602"},
		"a block of the future":  {call("eth_getBalance", `[`+addr+`,"0xffffffffff"]`), "block not found"},
		"a transaction of noise": {call("eth_sendRawTransaction", `["0xdeadbeef"]`), "-32003"},
		"odd hex":                {call("eth_sendRawTransaction", `["0x123"]`), "-32602"},
		"too long a transaction": {call("eth_sendRawTransaction", `["0x`+strings.Repeat("00", 20000)+`"]`), "-32003"},
		"a slot of 33 bytes":     {call("eth_getStorageAt", `[`+addr+`,"0x`+strings.Repeat("11", 33)+`","latest"]`), "slot"},
		"a slot that is none":    {call("eth_getStorageAt", `[`+addr+`,"zz","latest"]`), "slot"},
		"five topics":            {call("eth_getLogs", `[{"topics":[null,null,null,null,null]}]`), "at most 4"},
		"a topic that is none":   {call("eth_getLogs", `[{"topics":["0x1"]}]`), "-32602"},
		"a range and a hash":     {call("eth_getLogs", `[{"fromBlock":"0x1","blockHash":"0x`+strings.Repeat("11", 32)+`"}]`), "one of them"},
		"a range of nothing":     {call("eth_getLogs", `[{"fromBlock":"0x9"}]`), "block not found"},
		"a value over 256 bits":  {call("eth_call", `[{"to":`+addr+`,"value":"0x1`+strings.Repeat("00", 32)+`"}]`), "-32602"},
		"two prices":             {call("eth_call", `[{"to":`+addr+`,"gasPrice":"0x1","maxFeePerGas":"0x1"}]`), "both gasPrice"},
		"what is built in":       {call("eth_call", `[{"to":`+addr+`},"latest",{`+addr+`:{"balance":"0x1"}}]`), "built in cannot be another"},
		"two kinds of storage":   {call("eth_call", `[{"to":`+addr+`},"latest",{`+other+`:{"state":{},"stateDiff":{}}}]`), "both 'state' and 'stateDiff'"},
		"an unknown override":    {call("eth_call", `[{"to":`+addr+`},"latest",{`+other+`:{"blance":"0x1"}}]`), "-32602"},
		"a moved precompile":     {call("eth_call", `[{"to":`+addr+`},"latest",{`+addr+`:{"movePrecompileToAddress":`+other+`}}]`), "-32602"},
		"an unknown block field": {call("eth_call", `[{"to":`+addr+`},"latest",{},{"beaconRoot":"0x1"}]`), "-32602"},
		"overrides as a list":    {call("eth_call", `[{"to":`+addr+`},"latest",[]]`), "-32602"},
		"a balance of 257 bits":  {call("eth_call", `[{"to":`+addr+`},"latest",{`+other+`:{"balance":"0x1`+strings.Repeat("00", 32)+`"}}]`), "-32602"},
		"deep nesting":           {call("eth_call", strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), "-32602"},
		"too many at once":       {`[` + strings.TrimSuffix(strings.Repeat(call("eth_chainId", `[]`)+",", 4), ",") + `]`, "batch too large"},
		"a subscription by HTTP": {call("eth_subscribe", `["newHeads"]`), "notifications not supported"},
		"many percentiles":       {call("eth_feeHistory", `["0x1","latest",[`+strings.TrimSuffix(strings.Repeat("1,", 101), ",")+`]]`), "at most 100"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := s.post(c.body, nil)
			require.Equal(t, http.StatusOK, status, answer)
			require.True(t, json.Valid([]byte(answer)), answer)
			require.Contains(t, answer, c.want)
			require.Contains(t, answer, "error")
		})
	}
	status, _ := s.post(strings.Repeat(" ", 65<<10), nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, _ = s.post("{}", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	require.Equal(t, http.StatusUnsupportedMediaType, status)
	status, _ = s.post(call("eth_chainId", `[]`), func(r *http.Request) { r.Method = http.MethodPut })
	require.Equal(t, http.StatusMethodNotAllowed, status)

	for range 6 {
		require.NoError(t, s.SendTransaction(t.Context(), s.ann.Send(common.Address{1}, nil, nil)))
	}
	_, answer := s.post(call("eth_getLogs", `[{"fromBlock":"0x0"}]`), nil)
	require.Contains(t, answer, "at most 5 at once")
}

// A call that never ends is given up, and others have their turn.
func TestEndlessCalls(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Read = contract.ReadLimits{CallGas: 1 << 60, CallTime: 20 * time.Millisecond, Calls: 1}
	})
	hostile := contracttest.Load("Hostile")
	deploy, at := s.ann.Deploy(hostile.Deploy())
	require.NoError(t, s.SendTransaction(t.Context(), deploy))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			_, err := s.CallContract(t.Context(), ethereum.CallMsg{To: &at, Data: hostile.Call("loop")}, nil)
			if err == nil || !strings.Contains(err.Error(), "took too long") {
				t.Errorf("a call without end: %v", err)
			}
		})
	}
	all.Wait()
}
