package real

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
)

// load is the clients and what they saw.
type load struct {
	history *recorder
	clients []*user
	tokens  chan struct{} // one for each operation that may begin
	broken  func(invariant, format string, args ...any)

	sharedMu sync.Mutex
	shared   []string // keys of writes of once that were acknowledged, for reading back

	oldest atomic.Int64 // when, on the run's axis, the last operation succeeded
	pause  atomic.Int64 // the longest time without a success
}

// user is one client with its key.
type user struct {
	id     int
	client *client.Client
	rng    *mrand.Rand
	recent string
	n      int
	after  atomic.Int64 // begin of the last operation that succeeded
}

const (
	// Keys that all clients share change with time, so that no key's history gets too
	// long to judge: so many at once, for so long.
	sharedKeys = 8
	keyLife    = 3 * time.Second
	// patience is how long a client waits for an outcome, and as long again when it
	// asks what became of it.
	clientPatience = 4 * time.Second
	// impatience is how long every fourth client waits, which never asks again: what
	// it did may have run, or run at any time.
	impatience = 400 * time.Millisecond
	// remembered bounds the keys kept for reading back.
	remembered = 4096
)

func newLoad(ctx context.Context, ros *roster.Roster, clients int, seed uint64, history *recorder, broken func(string, string, ...any)) (*load, error) {
	l := &load{history: history, tokens: make(chan struct{}, clients), broken: broken}
	for i := range clients {
		k, err := keyfile.GenerateClient(rand.Reader)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		c, err := client.Dial(ctx, client.Config{
			Roster: ros, Key: k.Signing, Retry: 200 * time.Millisecond, MaxRetry: time.Second, Life: time.Minute,
			BackoffMin: 20 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("client %d: %w", i, err), l.close())
		}
		l.clients = append(l.clients, &user{id: i, client: c, rng: mrand.New(mrand.NewPCG(seed, 1000+uint64(i)))})
	}
	return l, nil
}

func (l *load) close() error {
	var errs []error
	for _, u := range l.clients {
		errs = append(errs, u.client.Close())
	}
	return errors.Join(errs...)
}

// pace lets rate operations begin in each second, until ctx ends. What is not used
// is not saved up.
func (l *load) pace(ctx context.Context, rate int) {
	t := time.NewTicker(time.Second / time.Duration(rate))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		select {
		case l.tokens <- struct{}{}:
		default:
		}
	}
}

// run submits operations until ctx ends; the last one is seen to its end.
func (l *load) run(ctx context.Context, u *user) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.tokens:
		}
		l.do(u, l.next(u))
	}
}

// operation is what a client wants, and whether it is a write that is done once and
// must be there for ever.
type operation struct {
	chaos.Op
	once bool
}

// oncePrefix is where writes are that no other touches.
const oncePrefix = "once/"

func (l *load) next(u *user) operation {
	u.n++
	own := fmt.Sprintf("%d.%d", u.id, u.n)
	shared := fmt.Sprintf("shared/%d/%d", l.history.now()/keyLife, u.rng.IntN(sharedKeys))
	switch r := u.rng.IntN(100); {
	case r < 40:
		return operation{chaos.Op{Kind: chaos.OpPut, Key: oncePrefix + own, New: own}, true}
	case r < 55:
		if key, ok := l.remember(u); ok {
			return operation{Op: chaos.Op{Kind: chaos.OpGet, Key: key}}
		}
		fallthrough
	case r < 70:
		return operation{Op: chaos.Op{Kind: chaos.OpGet, Key: shared}}
	case r < 85:
		return operation{Op: chaos.Op{Kind: chaos.OpPut, Key: shared, New: own}}
	}
	return operation{Op: chaos.Op{Kind: chaos.OpSwap, Key: shared, Old: u.recent, New: own}}
}

// remember returns a key of a write of any client that was acknowledged.
func (l *load) remember(u *user) (string, bool) {
	l.sharedMu.Lock()
	defer l.sharedMu.Unlock()
	if len(l.shared) == 0 {
		return "", false
	}
	return l.shared[u.rng.IntN(len(l.shared))], true
}

func (l *load) acknowledged(u *user, key string) {
	l.sharedMu.Lock()
	defer l.sharedMu.Unlock()
	if len(l.shared) < remembered {
		l.shared = append(l.shared, key)
	} else {
		l.shared[u.rng.IntN(len(l.shared))] = key
	}
}

func (u *user) impatient() bool { return u.id%4 == 3 }

// do submits one operation and records what the client learns. It tells whether the
// outcome is known to be that it ran.
func (l *load) do(u *user, op operation) bool {
	patience := clientPatience
	if u.impatient() {
		patience = impatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begin := l.history.now()
	i := l.history.begin(u.id, op)
	a, err := u.client.Do(ctx, op.Encode())
	var unknown *client.UnknownError
	if errors.As(err, &unknown) {
		if u.impatient() {
			return false
		}
		again, cancel := context.WithTimeout(context.Background(), clientPatience)
		defer cancel()
		if a, err = u.client.Outcome(again, unknown.Token); errors.Is(err, client.ErrOutcomeUnknown) {
			return false
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, client.ErrNotSent), errors.Is(err, client.ErrOverloaded), errors.Is(err, client.ErrExpired):
		l.history.never(i)
		return false
	default:
		l.broken("client", "client %d, %v: %v", u.id, op.Op, err)
		return false
	}
	out, err := op.Read(a.Result)
	if err != nil {
		l.broken("result", "client %d: %v", u.id, err)
		return false
	}
	l.history.end(i, out)
	if u.recent = out.Value; op.Kind == chaos.OpPut || out.Swapped {
		u.recent = op.New
	}
	if op.once {
		l.acknowledged(u, op.Key)
	}
	u.after.Store(int64(begin))
	now := int64(l.history.now())
	if before := l.oldest.Swap(now); now-before > l.pause.Load() {
		l.pause.Store(now - before)
	}
	return true
}
