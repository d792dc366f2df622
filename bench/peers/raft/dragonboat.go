package main

import (
	"errors"
	"io"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/parley-bft/parley/bench/wire"
)

// dragonMachine is the store as dragonboat wants it.
type dragonMachine struct{ *store }

func (m dragonMachine) Update(e statemachine.Entry) (statemachine.Result, error) {
	return statemachine.Result{Value: 1, Data: m.apply(e.Cmd)}, nil
}
func (m dragonMachine) Lookup(any) (any, error) { return nil, nil }
func (m dragonMachine) SaveSnapshot(w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{}) error {
	return m.save(w)
}
func (m dragonMachine) RecoverFromSnapshot(r io.Reader, _ []statemachine.SnapshotFile, _ <-chan struct{}) error {
	return m.load(r)
}
func (m dragonMachine) Close() error { return nil }

const dragonShard = 1

// dragonReplica serves clients.
type dragonReplica struct {
	host    *dragonboat.NodeHost
	session *client.Session
}

// Propose implements wire.Replica.
func (d dragonReplica) Propose(command []byte) ([]byte, error) {
	state, err := d.host.Propose(d.session, command, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer state.Release()
	r := <-state.ResultC()
	if !r.Completed() {
		return nil, errors.New("not completed")
	}
	return r.GetResult().Data, nil
}

// Leader implements wire.Replica.
func (d dragonReplica) Leader() uint64 {
	id, _, ok, err := d.host.GetLeaderID(dragonShard)
	if err != nil || !ok {
		return 0
	}
	return id
}

// runDragonboat is dragonboat on its default log store, with etcd's timeouts.
func runDragonboat(n node) error {
	for _, name := range []string{"raft", "rsm", "transport", "grpc", "dragonboat", "logdb", "config", "raftpb", "registry", "settings", "order", "utils", "server"} {
		logger.GetLogger(name).SetLevel(logger.ERROR)
	}
	host, err := dragonboat.NewNodeHost(config.NodeHostConfig{
		NodeHostDir: n.dir, RTTMillisecond: 100, RaftAddress: n.peer(n.id),
	})
	if err != nil {
		return err
	}
	members := make(map[uint64]dragonboat.Target)
	for i := 1; i <= replicas; i++ {
		members[uint64(i)] = n.peer(i)
	}
	machine := func(uint64, uint64) statemachine.IStateMachine { return dragonMachine{newStore()} }
	err = host.StartReplica(members, false, machine, config.Config{
		ReplicaID: uint64(n.id), ShardID: dragonShard, ElectionRTT: 10, HeartbeatRTT: 1, CheckQuorum: true,
		SnapshotEntries: 100_000, CompactionOverhead: 10_000,
	})
	if err != nil {
		return err
	}
	return wire.ServeCalls(n.client(n.id), dragonReplica{host, host.GetNoOPSession(dragonShard)})
}
