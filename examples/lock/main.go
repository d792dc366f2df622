// Lock is a lock service that nobody has to trust: a distributed lock as a state
// machine of its own, replicated by Parley, and clients that contend for it. Run
// it:
//
//	go run ./examples/lock
//
// Four replicas start in this process, and four clients dial them. Anna takes the
// lock with a short lease and falls asleep. Ben, Carol and Dave wait for it and
// take turns; under the lock each reads a ledger and writes it again, one higher.
// At the end Anna wakes up, does not know that her lease is over, and writes.
//
// To look out for:
//
//   - a lease ends in block time, the clock that all replicas agree on;
//   - the owner of a lease is the key that signed the request, so nobody can
//     release the lock of another;
//   - every lease has a fencing token, higher than all before. The ledger refuses
//     tokens lower than the highest it has seen. A lease alone cannot protect it
//     from Anna: whatever the service knows, she still believes that she holds it.
//
// operation.go has the encoding, machine.go the replicated state machine,
// locker.go the client's side.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "lock-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

const (
	lockName = "ledger"
	rounds   = 3
)

func run(ctx context.Context, dir string, out io.Writer) error {
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, NewMachine: newMachine})
	if err != nil {
		return err
	}
	defer cluster.Close()
	book := &ledger{}
	say := &teller{out: out}

	anna, err := dial(ctx, cluster.Roster)
	if err != nil {
		return err
	}
	defer anna.client.Close()
	hers, err := anna.acquire(ctx, lockName, 200*time.Millisecond)
	if err != nil {
		return err
	}
	say.line("Anna has the lock under token %d, and falls asleep", hers.Token)

	var workers sync.WaitGroup
	names := []string{"Ben", "Carol", "Dave"}
	errs := make([]error, len(names))
	for i, name := range names {
		workers.Go(func() {
			if err := work(ctx, cluster.Roster, name, book, say); err != nil {
				errs[i] = fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}

	err = book.write(hers.Token, 0)
	if !errors.Is(err, errStale) {
		return fmt.Errorf("the ledger took a write under the old token %d: %v", hers.Token, err)
	}
	say.line("Anna wakes up and writes: refused, %v", err)
	if _, err = anna.renew(ctx, lockName, hers.Token, time.Second); !errors.Is(err, errNotHeld) {
		return fmt.Errorf("the service renewed a lease that was over: %v", err)
	}
	say.line("Anna asks for more time: refused, %v", err)
	if _, err = anna.inspect(ctx, lockName); !errors.Is(err, errFree) {
		return fmt.Errorf("everybody has released the lock, and the service says: %v", err)
	}
	say.line("the ledger stands at %d: %d clients, %d turns each, nothing lost", book.read(), len(names), rounds)
	return nil
}

// work takes its turns under the lock.
func work(ctx context.Context, cluster *roster.Roster, name string, book *ledger, say *teller) error {
	l, err := dial(ctx, cluster)
	if err != nil {
		return err
	}
	defer l.client.Close()
	for range rounds {
		mine, err := l.await(ctx, lockName, 30*time.Second)
		if err != nil {
			return err
		}
		n := book.read() + 1
		if err := book.write(mine.Token, n); err != nil {
			return err
		}
		say.line("%s has the lock under token %d and writes %d", name, mine.Token, n)
		if err := l.release(ctx, lockName, mine.Token); err != nil {
			return err
		}
	}
	return nil
}

// dial connects as a client with a new key.
func dial(ctx context.Context, cluster *roster.Roster) (locker, error) {
	key, err := keyfile.GenerateClient(rand.Reader)
	if err != nil {
		return locker{}, err
	}
	c, err := client.Dial(ctx, client.Config{Roster: cluster, Key: key.Signing})
	return locker{c}, err
}

// ledger is what the lock protects. It might be a disk or a device anywhere; all
// that it has to know about locks is the highest token it has seen.
type ledger struct {
	mu      sync.Mutex
	highest uint64
	value   int
}

var errStale = errors.New("stale token")

func (l *ledger) read() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

func (l *ledger) write(token uint64, value int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token < l.highest {
		return fmt.Errorf("%w: it is %d, and %d has been here", errStale, token, l.highest)
	}
	l.highest, l.value = token, value
	return nil
}

// teller prints what several goroutines tell.
type teller struct {
	mu  sync.Mutex
	out io.Writer
}

func (t *teller) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
}
