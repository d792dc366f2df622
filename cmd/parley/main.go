// Command parley runs and operates clusters of Byzantine fault tolerant replicas,
// with a replicated key-value store as the application.
//
//	parley cluster                       a cluster on this machine, for trying it out
//	parley init --dir demo --replicas 4  keys, cluster file and folders of a cluster
//	parley start --dir demo/replica-0    one replica
//	parley put --dir demo colour green   an operation through the log
//	parley status --dir demo             where every replica is
//
// 'parley help' lists everything, 'parley help exit-codes' what scripts may rely on.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "start" {
		slackenTimers() // before anything else has begun
	}
	// The first signal cancels the context, so that everything ends in order; a
	// second one ends the process as usual.
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it stays ignored
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
