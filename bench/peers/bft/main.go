// Command bft runs one replica of a system that survives traitors: SmartBFT or
// CometBFT, four replicas. The benchmark starts it; see the README of the folder
// bench.
//
//	bft -system smartbft -id 1 -dir DIR -base PORT [-client-signatures]
//	bft -system cometbft -prepare -dir DIR -base PORT     (keys and genesis of all)
//	bft -system cometbft -id 1 -dir DIR -base PORT
package main

import (
	"flag"
	"fmt"
	"os"
)

// replicas is how many there are, quorum how many of them decide.
const (
	replicas = 4
	quorum   = 3
)

// node is what a replica is told.
type node struct {
	id   int    // 1 to replicas
	dir  string // with -prepare that of all, else the replica's own
	base int

	prepare          bool
	clientSignatures bool
}

// Peers listen from base on, clients a hundred above, CometBFT's RPC two hundred.
func (n node) peer(i int) string   { return fmt.Sprintf("127.0.0.1:%d", n.base+i) }
func (n node) client(i int) string { return fmt.Sprintf("127.0.0.1:%d", n.base+100+i) }
func (n node) rpc(i int) string    { return fmt.Sprintf("127.0.0.1:%d", n.base+200+i) }

func main() {
	var n node
	system := flag.String("system", "", "smartbft or cometbft")
	flag.IntVar(&n.id, "id", 0, "number of the replica, from 1")
	flag.StringVar(&n.dir, "dir", "", "data folder")
	flag.IntVar(&n.base, "base", 0, "first port")
	flag.BoolVar(&n.prepare, "prepare", false, "make what a network needs before its first start")
	flag.BoolVar(&n.clientSignatures, "client-signatures", false, "check a signature of each command's client")
	flag.Parse()
	run := map[string]func(node) error{"smartbft": runSmart, "cometbft": runComet}[*system]
	if run == nil || !n.prepare && (n.id < 1 || n.id > replicas) || n.dir == "" || n.base == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(n); err != nil {
		fmt.Fprintln(os.Stderr, "bft:", err)
		os.Exit(1)
	}
}
