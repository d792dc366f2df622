// Package system starts clusters of the systems that are compared, each replica a
// process of its own on this machine, and gives the load generator clients of them.
package system

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/bench/load"
	"github.com/parley-bft/parley/bench/proc"
)

// Programs are the paths of what runs the replicas.
type Programs struct {
	Parley   string
	Traitor  string // Parley's test daemon, "" if there is none
	BFT      string // bench/peers/bft
	Raft     string // bench/peers/raft
	Versions map[string]string
}

// Config is where a cluster lives.
type Config struct {
	Programs *Programs
	Dir      string // new
	Replicas int    // of Parley; 0: as many as it is measured with
	Scheme   string // of Parley's votes; "" for its default
}

// Cluster is a running cluster. Replicas are numbered from 0.
type Cluster interface {
	// Clients returns n clients, each with one operation at a time, over so many
	// connections or fewer.
	Clients(ctx context.Context, n, connections int) (ops []load.Op, end func(), err error)
	// Leader is the replica that orders at present.
	Leader(ctx context.Context) (int, error)
	// Replicas are the processes; nil where one was killed.
	Replicas() []*proc.Child
	Kill(i int)
	Restart(i int) error
	Stop()
}

// System is one that is measured.
type System struct {
	Name     string // of the flag
	Title    string
	Replicas int
	// What each figure of it contains.
	Contains string
	Start    func(ctx context.Context, cfg Config) (Cluster, error)
}

// All are the systems, in the order of the tables.
var All = []System{
	{"parley", "Parley", 4, "n = 4, f = 1; mutual TLS; each request signed by its client (Ed25519), checked by every replica; both phases' votes and every block on disk before they count; f+1 equal replies; a client's operations share signed requests", startParley},
	{"parley-distinct", "Parley, one identity a client", 4, "as above, but each client has its own key and connections, so that nothing is shared: one signature for each operation", startParleyDistinct},
	{"parley-carried", "Parley, one identity a client, one transport", 4, "as above, but one process carries all clients, as a gateway does, over one connection to each replica: still one signature for each operation", startParleyCarried},
	{"smartbft", "SmartBFT, tuned", 4, "n = 4, f = 1; mutual TLS between replicas, Ed25519 votes, its write-ahead log and the ledger synced; clients neither sign nor use TLS; f+1 replicas executed", startSmart},
	{"smartbft-signed", "SmartBFT, clients sign", 4, "as above, and each command is signed by one of 64 clients (Ed25519), checked on arrival and in the proposal", startSmartSigned},
	{"cometbft", "CometBFT, tuned, bare TCP front", 4, "n = 4, f = 1; its authenticated links, its write-ahead log and stores as it syncs them; clients neither sign nor use TLS, and use no JSON-RPC; f+1 replicas executed", startComet},
	{"etcd", "etcd", 3, "3 replicas, crashes only; no TLS; synced on a majority; one reply, from the leader; gRPC", startEtcd},
	{"dragonboat", "dragonboat (pebble)", 3, "3 replicas, crashes only; no TLS; synced on a majority; one reply, from the leader; bare TCP", startDragonboat},
	{"hraft", "hashicorp/raft (raft-wal)", 3, "3 replicas, crashes only; no TLS; synced on a majority; one reply, from the leader; bare TCP", startHashicorp},
}

// Named returns a system.
func Named(name string) (System, bool) {
	for _, s := range All {
		if s.Name == name {
			return s, true
		}
	}
	return System{}, false
}

// nextPort gives every cluster ports that none before it in this process had, so
// that nothing of an earlier one answers.
var nextPort atomic.Int32

const (
	firstPort = 20_000
	portRange = 400 // for each cluster
	clusters  = 30  // before ports come again
)

func ports() int { return firstPort + portRange*int(nextPort.Add(1)%clusters) }

// startPatience is how long a cluster may take until it works.
const startPatience = 30 * time.Second

// processes is what all clusters have in common.
type processes struct {
	dir      string
	launch   func(i int) (*proc.Child, error)
	children []*proc.Child
}

func (p *processes) startAll(n int) error {
	p.children = make([]*proc.Child, n)
	for i := range p.children {
		if err := p.Restart(i); err != nil {
			p.Stop()
			return err
		}
	}
	return nil
}

// log is where replica i writes.
func (p *processes) log(i int) string { return filepath.Join(p.dir, fmt.Sprintf("log-%d.txt", i)) }

// Replicas implements Cluster, as the others do.
func (p *processes) Replicas() []*proc.Child { return p.children }

// Kill is kill -9.
func (p *processes) Kill(i int) {
	if c := p.children[i]; c != nil {
		c.Kill()
		p.children[i] = nil
	}
}

// Restart starts a replica that does not run, on what it left on its disk.
func (p *processes) Restart(i int) (err error) {
	p.children[i], err = p.launch(i)
	return err
}

// Stop kills all.
func (p *processes) Stop() {
	for i := range p.children {
		p.Kill(i)
	}
}

// PIDs are the numbers of the processes that run.
func PIDs(c Cluster) (pids []int) {
	for _, child := range c.Replicas() {
		if child != nil {
			pids = append(pids, child.PID())
		}
	}
	return pids
}

// await asks until there is an answer.
func await[T any](ctx context.Context, what string, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		v, err := ask(ctx)
		if err == nil {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("%s: nothing within %v: %w", what, startPatience, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
