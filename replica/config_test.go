package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

func TestConfigValidate(t *testing.T) {
	keys := keysFor(t, 5)
	address := func(i int) (string, string) {
		return fmt.Sprintf("127.0.0.1:%d", 2*i+1), fmt.Sprintf("127.0.0.1:%d", 2*i+2)
	}
	r := clusterFor(t, keys[:4], testParameters(), address)
	good := Config{Roster: r, Keys: keys[0], DataDir: "x", Machine: &journal{}}
	require.NoError(t, good.Validate())
	for field, change := range map[string]func(*Config){
		"Roster":                              func(c *Config) { c.Roster = nil },
		"Keys is":                             func(c *Config) { c.Keys = nil },
		"Keys: ":                              func(c *Config) { c.Keys = keys[4] },
		"DataDir":                             func(c *Config) { c.DataDir = "" },
		"Machine":                             func(c *Config) { c.Machine = nil },
		"Tick":                                func(c *Config) { c.Tick = time.Microsecond },
		"Timeouts.Idle":                       func(c *Config) { c.Timeouts = pbft.DefaultTimeouts(); c.Timeouts.Idle = 1 },
		"ProgressRTTs":                        func(c *Config) { c.ProgressRTTs = -1 },
		"ChunkBytes":                          func(c *Config) { c.ChunkBytes = 64 << 20 },
		"ReceiveBytes":                        func(c *Config) { c.ReceiveBytes = 1 },
		"ReceiptRetain":                       func(c *Config) { c.Retain, c.ReceiptRetain = 5, 6 },
		"SubmitLife":                          func(c *Config) { c.SubmitLife = 365 * 24 * time.Hour },
		"VerifyWorkers":                       func(c *Config) { c.VerifyWorkers = -1 },
		"Limits":                              func(c *Config) { c.Limits.MaxResultBytes = 1 },
		"Clients: client limits: Calls is -1": func(c *Config) { c.Clients.Calls = -1 },
		"Clients: client limits: ClientBytes is 7": func(c *Config) { c.Clients.ClientBytes = 7 },
		"AdminListen is 0.0.0.0:80":                func(c *Config) { c.AdminListen = "0.0.0.0:80" },
		"AdminListen is nonsense":                  func(c *Config) { c.AdminListen = "nonsense" },
		"Parameters.MaxInFlight": func(c *Config) {
			p := testParameters()
			p.MaxInFlight = 8192
			c.Roster = clusterFor(t, keys[:4], p, address)
		},
	} {
		c := good
		change(&c)
		err := c.Validate()
		require.ErrorIs(t, err, ErrConfig, field)
		require.ErrorContains(t, err, field)
	}
	good.AdminListen, good.AdminRemote = "0.0.0.0:80", true
	require.NoError(t, good.Validate())
}

// A receipt can be had for a while also where snapshots are frequent.
func TestDefaultRetain(t *testing.T) {
	address := func(i int) (string, string) {
		return fmt.Sprintf("127.0.0.1:%d", 2*i+1), fmt.Sprintf("127.0.0.1:%d", 2*i+2)
	}
	for every, want := range map[uint64]pbft.Height{16: DefaultRetain, 4096: 4096} {
		p := testParameters()
		p.CheckpointEvery, p.LogMax = every, 4*every
		c := Config{Roster: clusterFor(t, keysFor(t, 4), p, address)}.withDefaults()
		require.Equal(t, want, c.Retain)
		require.EqualValues(t, want, c.ReceiptRetain)
	}
}

func TestDigestSetForgetsTheOldest(t *testing.T) {
	s := newDigestSet(160)
	at := func(i int) (d crypto.Digest) { return crypto.Hash("x", fmt.Append(nil, i)) }
	for i := range 10000 {
		s.Add(at(i))
		require.True(t, s.Has(at(i)))
	}
	held := 0
	for i := range 10000 {
		if s.Has(at(i)) {
			held++
		}
	}
	require.LessOrEqual(t, held, 2*160)
	require.False(t, s.Has(at(0)))
}

func TestQueue(t *testing.T) {
	q := newQueue[int]()
	got := make(chan int, 100)
	done := make(chan struct{})
	for range 3 {
		go func() {
			for v, ok := q.take(); ok; v, ok = q.take() {
				got <- v
			}
			done <- struct{}{}
		}()
	}
	for i := range 50 {
		require.True(t, q.put(i))
	}
	q.close()
	for range 3 {
		<-done
	}
	require.Len(t, got, 50, "what was put in before is taken")
	require.False(t, q.put(1))
}
