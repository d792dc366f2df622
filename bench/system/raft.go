package system

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/parley-bft/parley/bench/load"
	"github.com/parley-bft/parley/bench/proc"
	"github.com/parley-bft/parley/bench/wire"
)

// raft is a cluster of etcd, dragonboat or hashicorp/raft. Its replicas number from 1.
type raft struct {
	processes
	system string
	base   int
	ids    atomic.Uint64
}

const raftReplicas = 3

func startEtcd(ctx context.Context, cfg Config) (Cluster, error) { return startRaft(ctx, cfg, "etcd") }
func startDragonboat(ctx context.Context, cfg Config) (Cluster, error) {
	return startRaft(ctx, cfg, "dragonboat")
}
func startHashicorp(ctx context.Context, cfg Config) (Cluster, error) {
	return startRaft(ctx, cfg, "hraft")
}

func startRaft(ctx context.Context, cfg Config, system string) (Cluster, error) {
	r := &raft{system: system, base: ports()}
	r.dir = cfg.Dir
	r.launch = func(i int) (*proc.Child, error) {
		home := filepath.Join(r.dir, strconv.Itoa(i+1))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return nil, err
		}
		return proc.Start(r.log(i), cfg.Programs.Raft, "-system", system, "-id", strconv.Itoa(i+1), "-dir", home, "-base", strconv.Itoa(r.base))
	}
	if err := r.startAll(raftReplicas); err != nil {
		return nil, err
	}
	if _, err := r.Leader(ctx); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

func (r *raft) address(i int) string { return fmt.Sprintf("127.0.0.1:%d", r.base+100+i+1) }

// Leader implements Cluster.
func (r *raft) Leader(ctx context.Context) (int, error) {
	return await(ctx, r.system+"'s leader", func(ctx context.Context) (int, error) {
		for i, child := range r.children {
			if child == nil {
				continue
			}
			one, cancel := context.WithTimeout(ctx, time.Second)
			leads, err := r.leads(one, i)
			cancel()
			if err == nil && leads {
				return i, nil
			}
		}
		return 0, errors.New("nobody leads")
	})
}

// leads asks a replica whether it is the leader.
func (r *raft) leads(ctx context.Context, i int) (bool, error) {
	if r.system != "etcd" {
		c, err := wire.DialCalls(r.address(i), 0)
		if err != nil {
			return false, err
		}
		defer c.Close()
		id, err := c.AskLeader(ctx)
		return id == uint64(i+1), err
	}
	c, err := dialEtcd(r.address(i))
	if err != nil {
		return false, err
	}
	defer c.Close()
	s, err := c.Status(ctx, "http://"+r.address(i))
	if err != nil {
		return false, err
	}
	return s.Leader != 0 && s.Leader == s.Header.MemberId, nil
}

func dialEtcd(addresses ...string) (*clientv3.Client, error) {
	urls := make([]string, len(addresses))
	for i, a := range addresses {
		urls[i] = "http://" + a
	}
	return clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: 2 * time.Second, Logger: zap.NewNop()})
}

// Clients implements Cluster. They talk to the leader; when it does not answer or
// leads no more, to the others in turn.
func (r *raft) Clients(ctx context.Context, n, connections int) (ops []load.Op, end func(), err error) {
	leader, err := r.Leader(ctx)
	if err != nil {
		return nil, nil, err
	}
	connections = min(n, connections)
	if r.system == "etcd" {
		return r.etcdClients(leader, n, connections)
	}
	all := make([]*follower, connections)
	for k := range all {
		all[k] = &follower{cluster: r}
		all[k].at.Store(int32(leader))
	}
	for i := range n {
		f := all[i%connections]
		ops = append(ops, func(ctx context.Context) error { return f.do(ctx, wire.Command(r.ids.Add(1))) })
	}
	return ops, func() {
		for _, f := range all {
			f.close()
		}
	}, nil
}

func (r *raft) etcdClients(leader, n, connections int) (ops []load.Op, end func(), err error) {
	var clients []*clientv3.Client
	end = func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	for range connections {
		// The leader alone, for it would pass on what others get; and once it is gone the
		// others: that is what its client's list of endpoints is for.
		c, err := dialEtcd(r.address(leader))
		if err != nil {
			end()
			return nil, nil, err
		}
		clients = append(clients, c)
	}
	all := make([]string, raftReplicas)
	for i := range all {
		all[i] = "http://" + r.address(i)
	}
	value := string(wire.Command(1)[:256-len("/k0000000")])
	for i := range n {
		c := clients[i%connections]
		ops = append(ops, func(ctx context.Context) error {
			one, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			_, err := c.Put(one, fmt.Sprintf("/k%07d", rand.IntN(keys)), value)
			if err != nil && ctx.Err() == nil {
				c.SetEndpoints(all...)
			}
			return err
		})
	}
	return ops, end, nil
}

// callTimeout is after how long a client of a replicated log takes a call for lost.
const callTimeout = time.Second
