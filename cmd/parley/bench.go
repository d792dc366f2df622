package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// bench is what 'parley bench' was told: a list of points, each a load, and how to
// measure one.
type bench struct {
	target
	clientList string // of a closed loop: operations under way at once
	rateList   string // of an open loop: operations a second
	arrivals   string
	identities string
	// connections is how many identities share the operations, each with its own
	// key, signatures and connections; 0 until validate has decided.
	connections int
	// transports is how many client.Transports carry the identities; 0 if each has
	// connections of its own.
	transports int
	// maxQueueing is Config.MaxQueueing of the clients.
	maxQueueing time.Duration

	size    int
	keys    int
	seconds float64
	warmup  float64
	runs    int
	pidList string
	json    bool
	plot    string

	points []benchPoint
	pids   []int
}

// benchPoint is one load: a closed loop of so many clients or, if rate is not 0, an
// open one of so many operations a second.
type benchPoint struct {
	clients int
	rate    float64
}

func (p benchPoint) open() bool { return p.rate > 0 }

func newBench() *cobra.Command {
	b := &bench{target: target{app: kvApplication.name}}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and latency",
		Long: `Measure a cluster with puts, in one of two ways.

Closed loop (--clients): each client waits for its result before its next operation,
so that a cluster that slows down is asked for less. Latency is from the call to the
result that a blocking set of replicas agrees on.

Open loop (--rate): operations arrive at this rate whatever the cluster does, as they
would from many independent users. Latency is from the moment at which an operation
was due, so that none that had to wait is left out. Those turned down because too
much waits are counted, by whom.

Both take a list, and each entry is a measurement of its own after a warm-up of its
own. With --runs each is measured several times: printed are the medians, with the
lowest and the highest. --plot draws throughput against latency.

--connections says how many identities share the operations. Each has a key, its own
signed requests and a connection to each replica; operations of one identity share
requests. With one (the default) that is how a service uses Parley; with as many as
clients (--identities distinct) there is nothing to share. With --transports the
identities still sign each for itself, but travel together, as those of a gateway or a
bank's front end do: a transport is one connection to each replica. Beyond the keys that the
cluster lists it must serve anybody (--open of init and cluster).

If the replicas run on this machine, as 'parley cluster --dir' starts them, their
processor time, memory and writes are measured too.

The keys begin with "bench/" and stay in the store.`,
		Example: `  parley bench --dir demo
  parley bench --dir demo --clients 1,16,128,1024 --connections 16 --runs 3 --plot bench.svg
  parley bench --dir demo --clients 1024 --identities distinct --json
  parley bench --dir demo --clients 1024 --identities distinct --transports 1
  parley bench --dir demo --rate 1000,5000,20000 --connections 16`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.validate(cmd); err != nil {
				return err
			}
			return b.run(cmd)
		},
	}
	b.flags(cmd, operationTimeout)
	f := cmd.Flags()
	f.StringVar(&b.clientList, "clients", "64", "closed loop: operations under way at once, or a list such as 1,16,128")
	f.StringVar(&b.rateList, "rate", "", "open loop: operations a second, or a list such as 1000,5000")
	f.StringVar(&b.arrivals, "arrivals", "poisson", "of the open loop: poisson or even")
	f.IntVar(&b.connections, "connections", 0, "identities that share the operations (default 1)")
	f.StringVar(&b.identities, "identities", "shared", "shared or distinct: --connections 1, or one for each client")
	f.DurationVar(&b.maxQueueing, "max-queueing", 0, "for how long operations may wait for others before more are turned down (default 500ms)")
	f.IntVar(&b.transports, "transports", 0, "shared connections to each replica that carry the identities; 0: each has its own")
	f.IntVar(&b.size, "size", 256-operationOverhead, "bytes in a value")
	f.IntVar(&b.keys, "keys", 10_000, "different keys")
	f.Float64Var(&b.seconds, "seconds", 10, "how long to measure")
	f.Float64Var(&b.warmup, "warmup", 2, "seconds before that")
	f.IntVar(&b.runs, "runs", 1, "how often to measure each point")
	f.StringVar(&b.pidList, "pids", "", "processes of the replicas, such as 11,12,13 (default those that --dir names)")
	f.BoolVar(&b.json, "json", false, "print JSON, one object a line for each point")
	f.StringVar(&b.plot, "plot", "", "draw throughput against latency into this .svg or .html")
	return cmd
}

// run measures every point, prints and draws.
func (b *bench) run(cmd *cobra.Command) error {
	pool := &benchPool{bench: b}
	defer pool.close()
	results, err := b.sweep(cmd, pool)
	if err != nil {
		return err
	}
	if err := b.print(cmd.OutOrStdout(), results); err != nil {
		return err
	}
	if b.plot != "" {
		if err := writeBenchPlot(b.plot, results); err != nil {
			return err
		}
	}
	return benchFailure(results)
}

// identitiesFor is how many connections a point uses.
func (b *bench) identitiesFor(p benchPoint) int {
	switch {
	case p.open():
		return b.connections
	case b.identities == "distinct":
		return p.clients
	}
	return min(b.connections, p.clients)
}

// dialPatience is how long connecting n identities may take: replicas accept so many
// connections a second from one address.
func (b *bench) dialPatience(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.timeout+time.Duration(n)*50*time.Millisecond)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
