package system

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/bench/wire"
)

// follower is a connection to whoever leads.
type follower struct {
	cluster *raft
	at      atomic.Int32 // the replica that is taken for the leader

	mu    sync.Mutex
	conns [raftReplicas]*wire.CallClient
}

// connection returns the one to a replica, a new one if need be.
func (f *follower) connection(i int) (*wire.CallClient, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[i] == nil {
		c, err := wire.DialCalls(f.cluster.address(i), 0)
		if err != nil {
			return nil, err
		}
		f.conns[i] = c
	}
	return f.conns[i], nil
}

func (f *follower) do(ctx context.Context, command []byte) error {
	at := f.at.Load()
	c, err := f.connection(int(at))
	if err == nil {
		one, cancel := context.WithTimeout(ctx, callTimeout)
		_, err = c.Do(one, wire.KindPropose, command)
		cancel()
	}
	if err != nil && ctx.Err() == nil {
		f.turnFrom(at, c)
	}
	return err
}

// turnFrom goes to another replica than the one that failed, whose connection may
// have ended: the one that says it leads, or else the next.
func (f *follower) turnFrom(at int32, failed *wire.CallClient) {
	f.mu.Lock()
	if failed != nil && f.conns[at] == failed {
		f.conns[at] = nil
		failed.Close()
	}
	f.mu.Unlock()
	next := (at + 1) % raftReplicas
	for i := range int32(raftReplicas) {
		c, err := f.connection(int(i))
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		id, err := c.AskLeader(ctx)
		cancel()
		if err == nil && id > 0 && id <= raftReplicas && int32(id-1) != at {
			next = int32(id - 1)
			break
		}
	}
	f.at.CompareAndSwap(at, next)
}

func (f *follower) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		if c != nil {
			c.Close()
		}
	}
}
