package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
)

// Submitter has operations ordered and executed: a *replica.Server, which signs with a
// key of its own and whose answer is that of this replica after a quorum has committed,
// or a client of the cluster. The operations run together and in order.
type Submitter interface {
	SubmitAll(ctx context.Context, ops [][]byte) ([]statemachine.Result, error)
}

// Config is what an endpoint is made of. Machine is needed, everything else has a
// default, which a zero field stands for.
type Config struct {
	// Machine is the replica's, for reads.
	Machine *contract.Machine
	// Caller is whose reads these are under an access policy (contract.NewGuarded): what
	// that key may read, whoever reaches the endpoint may. A transaction is its sender's.
	Caller crypto.PublicKey
	// Submit takes transactions. Without it the endpoint only reads.
	Submit Submitter

	// Serving, if not nil, says why the state is not to be read now: it is wrong, or not all
	// of it is here (replica.Server.Serving). Requests and new connections are refused then,
	// and transactions that wait here are given up.
	Serving func() error
	// Interrupted, if not nil, returns a channel that is closed when the state that can be
	// read becomes another one (replica.Server.Interrupted): WebSockets that are open then
	// are cut, and filters forgotten. It is asked for before Serving.
	Interrupted func() <-chan struct{}
	// Behind, if not nil, says up to which block the replica has executed, which is the
	// highest that it knows of, and whether that is more than is always under way
	// (replica.Server.Behind): for eth_syncing, which is false without it.
	Behind func(ctx context.Context) (executed, known uint64, behind bool)

	// Listen is the address, 127.0.0.1:8545 by default. Whoever reaches it can use it:
	// only loopback addresses are accepted unless Remote. Listener, if set, is used in
	// its place.
	Listen   string
	Remote   bool
	Listener net.Listener
	// Hosts are the names by which requests may call the endpoint beside IP addresses and
	// localhost: it refuses others, which a page in a browser may have been led to.
	Hosts []string
	// Origins are the web pages that may use the endpoint, over HTTP and WebSocket, beside
	// those that come from the same place as it (a proxy in front of both): such as
	// https://wallet.example, or "*" for all. None by default: otherwise any page that a
	// user of this machine looks at could send transactions that a wallet has signed, and
	// read the chain.
	Origins []string

	// Read bounds what one read costs.
	Read contract.ReadLimits
	// MaxConnections is how many there are at once: 256. MaxBodyBytes bounds a request:
	// 1 MiB. MaxBatch is how many calls it contains at most, and MaxAnswerBytes what their
	// answers have together: 100 and 16 MiB.
	MaxConnections int
	MaxBodyBytes   int
	MaxBatch       int
	MaxAnswerBytes int
	// MaxFilters is how many filters clients may have: 1024. They are dropped FilterLife
	// after their last use: 5 min. MaxSubscriptions is how many subscriptions one
	// connection may have: 100.
	MaxFilters       int
	FilterLife       time.Duration
	MaxSubscriptions int

	// MaxWaiting is how many transactions wait here, MaxWaitingPerSender how many of one
	// account: 4096 and 64. Gap is how long one waits for those before it: 10 s.
	MaxWaiting          int
	MaxWaitingPerSender int
	Gap                 time.Duration
	// MaxRequestBytes is the size of the largest request that the cluster takes, which
	// transactions of an account share: 256 KiB, the default of clusters.
	MaxRequestBytes int

	// Version is what web3_clientVersion says.
	Version string
	// Logger is slog.Default by default.
	Logger *slog.Logger
}

// ErrConfig is wrapped by every error about a configuration.
var ErrConfig = errors.New("endpoint configuration")

// DefaultListen is the port that Ethereum's tools expect.
const DefaultListen = "127.0.0.1:8545"

func orDefault[T comparable](field *T, v T) {
	var zero T
	if *field == zero {
		*field = v
	}
}

func (c Config) filled() Config {
	orDefault(&c.Listen, DefaultListen)
	orDefault(&c.MaxConnections, 256)
	orDefault(&c.MaxBodyBytes, 1<<20)
	orDefault(&c.MaxBatch, 100)
	orDefault(&c.MaxAnswerBytes, 16<<20)
	orDefault(&c.MaxFilters, 1024)
	orDefault(&c.FilterLife, 5*time.Minute)
	orDefault(&c.MaxSubscriptions, 100)
	orDefault(&c.MaxWaiting, 4096)
	orDefault(&c.MaxWaitingPerSender, 64)
	orDefault(&c.Gap, 10*time.Second)
	orDefault(&c.MaxRequestBytes, 256<<10)
	orDefault(&c.Version, "parley")
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate names the first field that makes no sense, its value and the remedy.
func (c Config) Validate() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("%w: %s is %v: %s", ErrConfig, field, value, remedy)
	}
	if c.Machine == nil {
		return bad("Machine", nil, "give the replica's machine")
	}
	if (c.Serving == nil) != (c.Interrupted == nil) {
		return bad("Interrupted", "given without Serving, or the other way round", "give both, or neither")
	}
	f := c.filled()
	for _, n := range []struct {
		name  string
		value int
	}{
		{"MaxConnections", f.MaxConnections}, {"MaxBodyBytes", f.MaxBodyBytes}, {"MaxBatch", f.MaxBatch},
		{"MaxAnswerBytes", f.MaxAnswerBytes}, {"MaxFilters", f.MaxFilters}, {"MaxWaiting", f.MaxWaiting},
		{"MaxWaitingPerSender", f.MaxWaitingPerSender}, {"MaxRequestBytes", f.MaxRequestBytes},
		{"FilterLife", int(f.FilterLife)}, {"Gap", int(f.Gap)}, {"MaxSubscriptions", f.MaxSubscriptions},
	} {
		if n.value < 1 {
			return bad(n.name, n.value, "set a positive number, or 0 for the default")
		}
	}
	if err := f.parseNames(); err != nil {
		return err
	}
	if c.Listener != nil || c.Remote {
		return nil
	}
	host, _, err := net.SplitHostPort(f.Listen)
	if err != nil {
		return bad("Listen", f.Listen, "write host:port")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return bad("Listen", f.Listen, "name a loopback address; whoever reaches the endpoint can use it, so anything else must be allowed with Remote")
	}
	return nil
}
