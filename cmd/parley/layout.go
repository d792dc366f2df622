package main

import (
	"fmt"
	"path/filepath"
)

// The names within a cluster's folder, as 'parley init' makes it.
const (
	clusterFileName = "cluster.json"
	clientKeyName   = "client.key"
	localConfigName = "replica.json"
	replicaKeyName  = "key.json"
	dataDirName     = "data"
	replicaLogName  = "log.txt"
	pidName         = "pid"
	gatewayKeyName  = "gateway.key"
)

func replicaName(i int) string            { return fmt.Sprintf("replica-%d", i) }
func replicaDir(dir string, i int) string { return filepath.Join(dir, replicaName(i)) }
func clusterFilePath(dir string) string   { return filepath.Join(dir, clusterFileName) }
func replicaConfigPath(dir string) string { return filepath.Join(dir, localConfigName) }
func replicaLogPath(dir string, i int) string {
	return filepath.Join(replicaDir(dir, i), replicaLogName)
}

// pidPath is where the process of a replica in the background is noted.
func pidPath(dir string, i int) string { return filepath.Join(replicaDir(dir, i), pidName) }

// portPlan gives every listener of every replica a port of its own: peers from
// base, clients a stride above, operators another stride above, JSON-RPC a fourth.
type portPlan struct{ base, stride int }

func newPortPlan(base, replicas int) portPlan {
	return portPlan{base: base, stride: max(100, (replicas+99)/100*100)}
}

func (p portPlan) peer(i int) int   { return p.base + i }
func (p portPlan) client(i int) int { return p.base + p.stride + i }
func (p portPlan) admin(i int) int  { return p.base + 2*p.stride + i }

// rpc is the port of JSON-RPC, where there is any.
func (p portPlan) rpc(i int) int { return p.base + 3*p.stride + i }

// last is the highest port used by n replicas.
func (p portPlan) last(n int) int { return p.rpc(n - 1) }
