// Counter is the smallest program that embeds Parley: a number that four replicas
// keep, all of them in this process, each with keys, a disk and connections of its
// own. Run it:
//
//	go run ./examples/counter
//
// It adds to the number through one replica after another and prints what each
// answers: 1, 2, 3, whichever replica was asked. Then it stops the primary, and
// the number goes on rising. With a folder the number is still there next time:
//
//	go run ./examples/counter -dir /tmp/counter
//	go run ./examples/counter -dir /tmp/counter
//
// counter.go is the application, the whole of what is replicated; main.go is all
// that it takes to run it. For replicas on machines of their own, call
// replica.Start on each with the files that 'parley init' makes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"

	"github.com/parley-bft/parley/replica"
)

func main() {
	dir := flag.String("dir", "", "folder that keeps the cluster; without, it is forgotten")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	forget := func() {}
	if *dir == "" {
		temporary, err := os.MkdirTemp("", "counter-*")
		if err != nil {
			log.Fatal(err)
		}
		*dir, forget = temporary, func() { _ = os.RemoveAll(temporary) }
	}
	err := run(ctx, *dir, os.Stdout)
	forget()
	if err != nil {
		log.Fatal(err)
	}
}

// run starts a cluster and counts. This is all that embedding takes.
func run(ctx context.Context, dir string, out io.Writer) error {
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{
		Dir:        dir,
		Replicas:   4,
		NewMachine: newCounter, // one for each replica
	})
	if err != nil {
		return err
	}
	defer cluster.Close()

	running := slices.Clone(cluster.Servers)
	for i := range 8 {
		if i == 4 { // one replica of four may fail, the primary too
			primary := running[0].Status().Primary
			if err := running[primary].Stop(ctx); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s, the primary, has stopped\n", running[primary].Status().Name)
			running = slices.Delete(running, int(primary), int(primary)+1)
		}
		server := running[i%len(running)] // whichever
		result, err := server.Submit(ctx, []byte("1"))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: the counter is %s\n", server.Status().Name, result.Data)
	}
	return nil
}
