// Command raft runs one replica of a replicated log that survives crashes: etcd,
// dragonboat or hashicorp/raft, three replicas, every commit on a majority's disks.
// The benchmark starts it; see the README of the folder bench.
//
//	raft -system etcd -id 1 -dir DIR -base PORT
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// replicas is how many there are.
const replicas = 3

// node is what a replica is told.
type node struct {
	id   int // 1 to replicas
	dir  string
	base int
}

// Peers listen from base on, clients a hundred above.
func (n node) peer(i int) string   { return fmt.Sprintf("127.0.0.1:%d", n.base+i) }
func (n node) client(i int) string { return fmt.Sprintf("127.0.0.1:%d", n.base+100+i) }

func main() {
	var n node
	system := flag.String("system", "", "etcd, dragonboat or hraft")
	flag.IntVar(&n.id, "id", 0, "number of the replica, from 1")
	flag.StringVar(&n.dir, "dir", "", "data folder")
	flag.IntVar(&n.base, "base", 0, "first port")
	flag.Parse()
	run := map[string]func(node) error{"etcd": runEtcd, "dragonboat": runDragonboat, "hraft": runHashicorp}[*system]
	if run == nil || n.id < 1 || n.id > replicas || n.dir == "" || n.base == 0 {
		flag.Usage()
		os.Exit(2)
	}
	n.dir = filepath.Join(n.dir, *system)
	if err := os.MkdirAll(n.dir, 0o755); err == nil {
		err = run(n)
		fmt.Fprintln(os.Stderr, "raft:", err)
	} else {
		fmt.Fprintln(os.Stderr, "raft:", err)
	}
	os.Exit(1)
}
