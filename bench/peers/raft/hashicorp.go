package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/parley-bft/parley/bench/wire"
)

// hashicorpMachine is the store as hashicorp/raft wants it.
type hashicorpMachine struct{ *store }

func (m hashicorpMachine) Apply(l *raft.Log) any { return m.apply(l.Data) }

func (m hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) {
	return hashicorpSnapshot{m.copied()}, nil
}

func (m hashicorpMachine) Restore(r io.ReadCloser) error {
	defer r.Close()
	return m.load(r)
}

type hashicorpSnapshot struct{ *store }

func (s hashicorpSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.save(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}
func (hashicorpSnapshot) Release() {}

// hashicorpReplica serves clients.
type hashicorpReplica struct{ r *raft.Raft }

// Propose implements wire.Replica.
func (h hashicorpReplica) Propose(command []byte) ([]byte, error) {
	f := h.r.Apply(command, 5*time.Second)
	if err := f.Error(); err != nil {
		return nil, err
	}
	result, ok := f.Response().([]byte)
	if !ok {
		return nil, fmt.Errorf("result of type %T", f.Response())
	}
	return result, nil
}

// Leader implements wire.Replica.
func (h hashicorpReplica) Leader() uint64 {
	_, id := h.r.LeaderWithID()
	var n uint64
	_, _ = fmt.Sscanf(string(id), "n%d", &n)
	return n
}

// runHashicorp is hashicorp/raft on raft-wal, with its default timeouts (heartbeat
// and election 1 s) and batches as large as it can have them.
func runHashicorp(n node) error {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(fmt.Sprintf("n%d", n.id))
	cfg.LogLevel = "ERROR"
	cfg.BatchApplyCh = true
	cfg.MaxAppendEntries = 1024
	log, err := wal.Open(n.dir)
	if err != nil {
		return err
	}
	snapshots, err := raft.NewFileSnapshotStore(n.dir, 1, io.Discard)
	if err != nil {
		return err
	}
	address, err := net.ResolveTCPAddr("tcp", n.peer(n.id))
	if err != nil {
		return err
	}
	transport, err := raft.NewTCPTransportWithLogger(address.String(), address, 3, 10*time.Second, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	existing, err := raft.HasExistingState(log, log, snapshots)
	if err != nil {
		return err
	}
	r, err := raft.NewRaft(cfg, hashicorpMachine{newStore()}, log, log, snapshots, transport)
	if err != nil {
		return err
	}
	if !existing {
		var members raft.Configuration
		for i := 1; i <= replicas; i++ {
			members.Servers = append(members.Servers, raft.Server{
				ID: raft.ServerID(fmt.Sprintf("n%d", i)), Address: raft.ServerAddress(n.peer(i)),
			})
		}
		if err := r.BootstrapCluster(members).Error(); err != nil {
			return err
		}
	}
	return wire.ServeCalls(n.client(n.id), hashicorpReplica{r})
}
