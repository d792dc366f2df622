package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/receipt"
)

// clientDoor leads a client to the servers, wherever they listen at present.
type clientDoor struct {
	mu      sync.Mutex
	address map[string]string // by the address in the cluster file
}

func (d *clientDoor) dial(ctx context.Context, address string) (net.Conn, error) {
	d.mu.Lock()
	real := d.address[address]
	d.mu.Unlock()
	if real == "" {
		return nil, errors.New("replica is down")
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", real)
}

// newClientCluster starts servers that clients reach through the door.
func newClientCluster(t *testing.T, n int) (*testCluster, *clientDoor) {
	door := &clientDoor{address: make(map[string]string)}
	var c *testCluster
	c = newTestCluster(t, n, func(i int, cfg *Config) {
		door.mu.Lock()
		defer door.mu.Unlock()
		door.address[c.roster.Cluster.Members[i].ClientAddress] = cfg.ClientListener.Addr().String()
	})
	c.startAll()
	return c, door
}

// A client against real replicas: everything runs once, also while the primary
// stops, and every result has a receipt that verifies offline.
func TestClientAgainstReplicas(t *testing.T) {
	verifyNoLeaks(t)
	c, door := newClientCluster(t, 4)
	cl, err := client.Dial(c.context(), client.Config{
		Roster: c.roster, Key: clientTestKey(1), Dial: door.dial, Retry: 100 * time.Millisecond,
		BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, cl.Close()) }()

	a, err := cl.Do(c.context(), []byte("first"))
	require.NoError(t, err)
	require.Equal(t, "1", string(a.Result.Data))
	r, err := cl.Receipt(c.context(), a.Ref, []byte("first"))
	require.NoError(t, err)
	back, err := receipt.Decode(r.Encode())
	require.NoError(t, err)
	require.NoError(t, receipt.Verify(c.roster, back))
	require.NoError(t, back.CheckOperation([]byte("first")))
	require.Equal(t, "1", string(back.Result.Data))

	var group sync.WaitGroup
	results := make(chan string, 200)
	for g := range 20 {
		group.Go(func() {
			for i := range 10 {
				r, err := cl.Submit(c.context(), fmt.Appendf(nil, "%d.%d", g, i))
				if err != nil {
					t.Error(err)
					return
				}
				results <- string(r.Data)
			}
		})
	}
	primary := int(c.servers[1].Status().Primary)
	door.mu.Lock()
	delete(door.address, c.roster.Cluster.Members[primary].ClientAddress)
	door.mu.Unlock()
	c.stop(primary)
	group.Wait()
	close(results)
	places := map[string]bool{"1": true}
	for p := range results {
		require.False(t, places[p], "two operations at place %s", p)
		places[p] = true
	}
	require.Len(t, places, 201)
	c.start(primary)
	c.agree(201, 0, 1, 2, 3)
	seen := make(map[string]bool)
	for _, op := range c.machines[0].list() {
		require.False(t, seen[op], "%s ran twice", op)
		seen[op] = true
	}
	require.Len(t, seen, 201)
}

// Many clients over one transport, in blocks so large that only favourites answer, while
// one replica after the other goes away and comes back: everything runs once.
func TestCarriedClientsAgainstReplicas(t *testing.T) {
	verifyNoLeaks(t)
	c, door := newClientCluster(t, 4)
	transport, err := client.NewTransport(client.TransportConfig{
		Roster: c.roster, Dial: door.dial, BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, transport.Close()) }()
	var group sync.WaitGroup
	const clients, each = 100, 5
	submit := func(round int) {
		for g := range byte(clients) {
			group.Go(func() {
				cl, err := client.Dial(c.context(), client.Config{Transport: transport, Key: clientTestKey(g), Retry: 100 * time.Millisecond})
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = cl.Close() }()
				for i := range each {
					if _, err := cl.Submit(c.context(), fmt.Appendf(nil, "%d.%d.%d", round, g, i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	for away := range 2 {
		submit(away)
		member := c.roster.Cluster.Members[away].ClientAddress
		door.mu.Lock()
		delete(door.address, member)
		door.mu.Unlock()
		c.stop(away)
		group.Wait()
		c.start(away)
	}
	c.agree(2*clients*each, 0, 1, 2, 3)
	seen := make(map[string]bool)
	for _, op := range c.machines[3].list() {
		require.False(t, seen[op], "%s ran twice", op)
		seen[op] = true
	}
	require.Len(t, seen, 2*clients*each)
}
