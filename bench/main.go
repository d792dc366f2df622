// Command bench runs Parley beside the systems it is compared with, alternating in one
// run on one machine, and writes what came of it: bench/RESULTS.md, bench/results.svg
// and, for whoever wants to compute, bench/results.json.
//
//	scripts/bench.sh --quick
//	scripts/bench.sh --only parley,dragonboat --clients 1024
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, or with --render only writes anew what was measured.
func run(ctx context.Context, o *options) error {
	if o.render {
		r, err := readResults(o.path(resultsJSON))
		if err != nil {
			return err
		}
		return r.write(o)
	}
	if o.again {
		return again(ctx, o)
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	err = b.throughput(ctx)
	if err == nil {
		err = b.scenarios(ctx)
	}
	if err != nil && len(b.results.Points) == 0 {
		return err
	}
	// What was measured is kept even if something failed half way.
	b.results.finish(err)
	if wrote := b.results.write(o); wrote != nil {
		return wrote
	}
	return err
}
