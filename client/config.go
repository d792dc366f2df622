package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/roster"
)

// Config says which cluster to talk to, and as whom. Roster and Key are needed;
// every other field that is zero gets the default named with it.
type Config struct {
	// Roster is the checked cluster file (roster.Load): the replicas, their keys,
	// weights and client addresses, and the limits.
	Roster *roster.Roster
	// Key is this client's private key. It signs the requests and authenticates the
	// connections, or its place on those of Transport. One Client at a time may use it.
	Key *ed25519.PrivateKey

	// Transport, if it is set, carries this client beside others. Roster, Dial and the
	// pauses before dialing are then the transport's: leave them out.
	Transport *Transport

	// Life is for how long from now a request may run, in block time; after it has
	// passed, ErrExpired is possible. At most the cluster's maxRequestLife; by
	// default half of it, 5 minutes at most. It must be longer than clocks differ.
	Life time.Duration

	// Retry is how long a request may stay without an outcome before it goes to all
	// replicas: 500 ms, and up to four times that while outcomes take long anyway. The
	// pause doubles with each further attempt up to MaxRetry, 5 s.
	Retry    time.Duration
	MaxRetry time.Duration

	// Linger is how long an operation waits for others to share a request with, at
	// most, while another request is under way. By default a quarter of the time that
	// outcomes take lately, up to 100 ms; a millisecond as long as none is known.
	Linger time.Duration

	// MaxRequests is how many requests may be under way at once: 16. It must be
	// below the cluster's maxInFlight.
	MaxRequests int
	// BatchOperations and BatchBytes bound what shares a request: by default, and at
	// most, what the cluster permits. A larger operation has a request of its own.
	BatchOperations int
	BatchBytes      int
	// MaxWaiting and MaxWaitingBytes bound the operations that were not sent yet:
	// 65536 and 64 MiB. Beyond, ErrOverloaded.
	MaxWaiting      int
	MaxWaitingBytes int

	// MaxQueueing is how long an operation may wait for others, here and in the cluster:
	// 500 ms. While outcomes take longer, beyond the least that one takes, operations that
	// would wait that long end in ErrOverloaded, most of them at once (see "Overload" in the package's
	// notes), but for 64 at once, or as many as are this client's part of 1024 that all on
	// its Transport may have. With an hour there is no such limit.
	MaxQueueing time.Duration

	// MaxCatchUp is how long one replica may take to name all blocks that a [Watcher] is
	// behind, 48 bytes for each, before another one is asked: 1 minute. All of them together
	// can be checked only, so what one has begun to name nobody else can end. A watcher that is
	// a million blocks behind needs 0.8 MB a second then.
	MaxCatchUp time.Duration

	// FirstSequence is the number of the first request; by default the time in
	// nanoseconds since 1970 (see "Sequence numbers" in the package's notes).
	FirstSequence uint64

	// BackoffMin and BackoffMax bound the pause before a replica is dialed again:
	// 50 ms and 5 s.
	BackoffMin time.Duration
	BackoffMax time.Duration

	// Dial replaces the TCP dialer, for tests and proxies.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Logger gets what an operator may want to know; nothing by default.
	Logger *slog.Logger
	// Now is the clock; time.Now. For pauses and ages only its differences count, for which
	// time.Now has a monotonic reading; for deadlines of requests, [CertifiedOptions.MaxAge]
	// and FirstSequence the time of day.
	Now func() time.Time
}

// ErrConfig is wrapped by every error of [Config.Validate].
var ErrConfig = errors.New("client configuration")

func configError(field string, value any, format string, args ...any) error {
	return fmt.Errorf("%w: %s is %v: %s", ErrConfig, field, value, fmt.Sprintf(format, args...))
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func orDefaultDial(dial *func(ctx context.Context, address string) (net.Conn, error)) {
	if *dial == nil {
		*dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
}

// carried returns the configuration with what the transport decides.
func (c Config) carried() (Config, error) {
	t := c.Transport
	if t == nil {
		return c, nil
	}
	if c.Roster != nil && c.Roster.ID != t.cfg.Roster.ID {
		return c, configError("Roster", c.Roster.ID.Hex(), "the transport is one to cluster %s: leave Roster out", t.cfg.Roster.ID.Hex())
	}
	c.Roster, c.Dial, c.BackoffMin, c.BackoffMax = t.cfg.Roster, t.cfg.Dial, t.cfg.BackoffMin, t.cfg.BackoffMax
	return c, nil
}

// withDefaults needs the Roster.
func (c Config) withDefaults() Config {
	p := &c.Roster.Cluster.Parameters
	orDefault(&c.Life, min(time.Duration(p.MaxRequestLife)/2, 5*time.Minute))
	orDefault(&c.Retry, 500*time.Millisecond)
	orDefault(&c.MaxRetry, max(5*time.Second, c.Retry))
	orDefault(&c.MaxRequests, min(16, int(p.MaxInFlight)-1))
	orDefault(&c.BatchOperations, int(p.MaxRequestOperations))
	orDefault(&c.BatchBytes, int(p.MaxOperationBytes))
	orDefault(&c.MaxWaiting, 65536)
	orDefault(&c.MaxWaitingBytes, max(64<<20, int(p.MaxOperationBytes)))
	orDefault(&c.MaxQueueing, 500*time.Millisecond)
	orDefault(&c.MaxCatchUp, time.Minute)
	orDefault(&c.BackoffMin, 50*time.Millisecond)
	orDefault(&c.BackoffMax, max(5*time.Second, c.BackoffMin))
	orDefaultDial(&c.Dial)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate checks the configuration with its defaults filled in. Every error
// wraps [ErrConfig] and names the field, its value and the remedy.
func (c Config) Validate() error {
	c, err := c.carried()
	switch {
	case err != nil:
		return err
	case c.Roster == nil:
		return configError("Roster", nil, "load the cluster file with roster.Load")
	case c.Key == nil:
		return configError("Key", nil, "load a key file with keyfile.LoadClient, and use its Signing")
	}
	c = c.withDefaults()
	p := &c.Roster.Cluster.Parameters
	for _, f := range []struct {
		name      string
		value     int
		low, high int
	}{
		{"MaxRequests", c.MaxRequests, 1, int(p.MaxInFlight) - 1},
		{"BatchOperations", c.BatchOperations, 1, int(p.MaxRequestOperations)},
		{"BatchBytes", c.BatchBytes, 1, int(p.MaxOperationBytes)},
		{"MaxWaiting", c.MaxWaiting, 1, 1 << 24},
		{"MaxWaitingBytes", c.MaxWaitingBytes, int(p.MaxOperationBytes), 1 << 40},
	} {
		if f.value < f.low || f.value > f.high {
			return configError(f.name, f.value, "set %d to %d", f.low, f.high)
		}
	}
	for _, f := range []struct {
		name      string
		value     time.Duration
		low, high time.Duration
	}{
		{"Life", c.Life, time.Millisecond, time.Duration(p.MaxRequestLife)},
		{"Retry", c.Retry, time.Millisecond, time.Hour},
		{"MaxRetry", c.MaxRetry, c.Retry, time.Hour},
		{"Linger", c.Linger, 0, time.Hour},
		{"MaxQueueing", c.MaxQueueing, time.Millisecond, time.Hour},
		{"MaxCatchUp", c.MaxCatchUp, time.Millisecond, 24 * time.Hour},
		{"BackoffMin", c.BackoffMin, time.Millisecond, time.Minute},
		{"BackoffMax", c.BackoffMax, c.BackoffMin, time.Hour},
	} {
		if f.value < f.low || f.value > f.high {
			return configError(f.name, f.value, "set %v to %v", f.low, f.high)
		}
	}
	return checkAddresses(c.Roster)
}

func checkAddresses(r *roster.Roster) error {
	for i := range r.Cluster.Members {
		m := &r.Cluster.Members[i]
		if _, _, err := net.SplitHostPort(m.ClientAddress); err != nil {
			return configError(fmt.Sprintf("Roster: clientAddress of %q", m.Name), m.ClientAddress, "write host:port into the cluster file")
		}
	}
	return nil
}
