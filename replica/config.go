package replica

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cockroachdb/pebble/vfs"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// Config is what a [Server] is made of. Roster, Keys, DataDir and Machine are
// needed; everything else has a default, which a zero field stands for. What all
// replicas must agree on is in the roster's parameters, not here.
type Config struct {
	// Roster is the checked cluster file.
	Roster *roster.Roster
	// Keys are this replica's private keys; they say which member it is.
	Keys *keyfile.Replica
	// DataDir is the folder made by [InitDataDir]. A folder that was not, or that
	// lost its log, makes the replica start as a follower (PROTOCOL 14).
	DataDir string
	// Machine is the application, in its initial state.
	Machine statemachine.StateMachine
	// OpenMachine makes the application in place of Machine, for one that keeps its state in
	// a folder of its own, which it is given: StateDir within DataDir. By then the data
	// folder is locked and known to be this replica's. A machine that is an io.Closer is
	// closed when the server has stopped.
	OpenMachine func(ctx context.Context, dir string) (statemachine.StateMachine, error)
	// Limits of execution: equal at all replicas, see statemachine.Limits. The
	// fields that follow from the cluster's parameters (MaxInFlight, MaxLife,
	// MaxSessions) are always taken from there.
	Limits statemachine.Limits

	// Listen is the address for the other replicas; by default this member's
	// peerAddress of the cluster file. PeerListener, if set, is used in its place.
	Listen       string
	PeerListener net.Listener
	// ClientListen is the address for clients; by default this member's
	// clientAddress. ClientListener, if set, is used in its place.
	ClientListen   string
	ClientListener net.Listener
	// AdminListen is the address for metrics and health, empty for none. It has no
	// authentication: only loopback addresses are accepted unless AdminRemote.
	AdminListen   string
	AdminListener net.Listener
	AdminRemote   bool
	// Pprof adds Go's profiles to the admin listener.
	Pprof bool
	// TraceBlocks is of how many of the last blocks the times of their stages are kept
	// ([Server.Trace], GET /debug/trace): DefaultTraceBlocks, of about 200 bytes each.
	// Negative: none, and no metrics of the stages either.
	TraceBlocks int
	// Traced, if set, is given each block once its replies have left, or were nobody's
	// here: for an exporter of traces. A block whose replies a client did not take is
	// left out. It is called by goroutines of the replica, several at once, and must not
	// block.
	Traced func(BlockTrace)

	// Tick is the unit of the protocol's timeouts: 10 ms.
	Tick time.Duration
	// Timeouts are in ticks; pbft.DefaultTimeouts.
	Timeouts pbft.Timeouts
	// ProgressRTTs makes the progress timeout at least so many round trips to the
	// quorum-th nearest replica: 20.
	ProgressRTTs int

	// Retain is how many blocks below the last stable snapshot stay for peers that
	// lag and for receipts: one checkpoint interval, and at least DefaultRetain, so
	// that a short interval does not discard what was answered a moment ago.
	Retain pbft.Height
	// ReceiptRetain is for how many blocks below the last stable snapshot results
	// stay, for receipts: as many as Retain, which is also the most, because a
	// receipt is made with the block at hand. Negative: none at all.
	ReceiptRetain int64
	// Reserve is how many bytes must stay free on the disk; below, the replica
	// stops before the disk is full: 256 MiB. Negative: no guard. That is for the log; an
	// application on a store has store.Config.Reserve.
	Reserve int64
	// ChunkBytes is the size of a snapshot's chunks: 1 MiB. Equal at all replicas,
	// since the manifest is certified.
	ChunkBytes int
	// ScrubEvery is how often all that the application keeps on the disk is read and held
	// against its digests, if it can be ([statemachine.StoredState]): 7 days. It takes a tenth of one
	// processor while it runs, and the height that it reads is kept meanwhile. Negative: never.
	ScrubEvery time.Duration

	// MaxPoolBytes and MaxPoolPerClient bound the requests waiting here: 64 MiB and
	// 1024.
	MaxPoolBytes     int
	MaxPoolPerClient int
	// ReceiveBytes bounds what was received from one peer and not yet taken: 16 MiB.
	ReceiveBytes int
	// Clients bounds what clients can make this replica hold. A zero field stands
	// for that of DefaultClientLimits, or more if the cluster's requests need it.
	Clients ClientLimits
	// VerifyWorkers is how many goroutines share the verification of one large
	// block: the number of processors.
	VerifyWorkers int

	// LocalClient signs what [Server.Submit] proposes. By default a key made at the
	// start, which works where clients need not be listed.
	LocalClient crypto.KeySigner
	// SubmitLife is for how long from now a request of Submit may be executed: 1
	// min, at most the cluster's MaxRequestLife.
	SubmitLife time.Duration

	Transfer TransferConfig
	Serve    ServeConfig

	// Quarantine names requests that are not to run (statemachine.Executor.Quarantine).
	Quarantine []crypto.Digest

	// Build names the program for people: at most 64 bytes of printable ASCII.
	Build string
	// Logger is slog.Default by default.
	Logger *slog.Logger
	// Now is the clock; time.Now.
	Now func() time.Time

	// trace is the server's; its client-facing side notes what it sees in it.
	trace *tracer
	// between stands between the server and everybody else, in test builds only.
	between interposer
	// freeSpace replaces the question to the system, in tests.
	freeSpace func(string) (uint64, error)
	// disk replaces the files of the database, in tests.
	disk vfs.FS
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// ErrConfig is wrapped by every error of [Config.Validate].
var ErrConfig = fmt.Errorf("replica configuration")

func configError(field string, value any, remedy string) error {
	return fmt.Errorf("%w: %s is %v: %s", ErrConfig, field, value, remedy)
}

// DefaultRetain is the least that Config.Retain is when it is not set.
const DefaultRetain pbft.Height = 1024

// withDefaults must be called on a config that has its Roster.
func (c Config) withDefaults() Config {
	p := &c.Roster.Cluster.Parameters
	d := statemachine.DefaultLimits()
	orDefault(&c.Limits.MaxResultBytes, d.MaxResultBytes)
	orDefault(&c.Limits.MaxReplyBytes, d.MaxReplyBytes)
	orDefault(&c.Limits.MaxCacheBytes, d.MaxCacheBytes)
	orDefault(&c.Limits.MaxOpWork, d.MaxOpWork)
	orDefault(&c.Limits.MaxBlockWork, d.MaxBlockWork)
	c.Limits.MaxInFlight = int(min(p.MaxInFlight, 4096))
	c.Limits.MaxLife = time.Duration(p.MaxRequestLife)
	c.Limits.MaxSessions = int(p.MaxSessions)
	orDefault(&c.Tick, 10*time.Millisecond)
	orDefault(&c.Timeouts, pbft.DefaultTimeouts())
	orDefault(&c.ProgressRTTs, 20)
	orDefault(&c.Retain, max(pbft.Height(p.CheckpointEvery), DefaultRetain))
	orDefault(&c.ReceiptRetain, int64(c.Retain))
	orDefault(&c.Reserve, 256<<20)
	orDefault(&c.ChunkBytes, snapshot.DefaultChunkSize)
	orDefault(&c.ScrubEvery, 7*24*time.Hour)
	orDefault(&c.MaxPoolBytes, max(64<<20, 2*int(p.MaxBlockBytes)))
	orDefault(&c.MaxPoolPerClient, 1024)
	orDefault(&c.ReceiveBytes, 16<<20)
	c.Clients = c.Clients.withDefaults(*p)
	orDefault(&c.TraceBlocks, DefaultTraceBlocks)
	orDefault(&c.SubmitLife, min(time.Minute, time.Duration(p.MaxRequestLife)))
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate returns an error that names the first field that makes no sense, its
// value, and what to set instead. The cluster file and the keys are looked at
// only as far as they must fit each other.
func (c Config) Validate() error {
	switch {
	case c.Roster == nil:
		return configError("Roster", nil, "load the cluster file with roster.Load")
	case c.Keys == nil:
		return configError("Keys", nil, "load the key file with keyfile.LoadReplica")
	case c.DataDir == "":
		return configError("DataDir", `""`, "name the folder that 'parley init' made")
	case c.Machine == nil && c.OpenMachine == nil:
		return configError("Machine", nil, "give the application")
	case c.Machine != nil && c.OpenMachine != nil:
		return configError("OpenMachine", "set, and so is Machine", "give one of them")
	}
	if _, err := c.Roster.FindSelf(c.Keys.Public()); err != nil {
		return fmt.Errorf("%w: Keys: %w", ErrConfig, err)
	}
	if n := c.Roster.Cluster.Parameters.MaxInFlight; n > 4096 {
		return configError("Roster.Cluster.Parameters.MaxInFlight", n, "this program supports up to 4096")
	}
	c = c.withDefaults()
	if err := c.Limits.Validate(); err != nil {
		return fmt.Errorf("%w: Limits: %w", ErrConfig, err)
	}
	if err := c.Timeouts.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := c.Clients.validateFor(c.Roster.Cluster.Parameters); err != nil {
		return fmt.Errorf("%w: Clients: %w", ErrConfig, err)
	}
	switch {
	case c.Tick < time.Millisecond || c.Tick > time.Second:
		return configError("Tick", c.Tick, "set 1ms to 1s")
	case c.ReceiptRetain > int64(c.Retain):
		return configError("ReceiptRetain", c.ReceiptRetain, fmt.Sprintf("must not be above Retain, %d", c.Retain))
	case c.ProgressRTTs < 1:
		return configError("ProgressRTTs", c.ProgressRTTs, "must be at least 1")
	case c.ChunkBytes < snapshot.MinChunkSize || c.ChunkBytes > 8<<20:
		return configError("ChunkBytes", c.ChunkBytes, fmt.Sprintf("set %d to %d, the same at all replicas", snapshot.MinChunkSize, 8<<20))
	case c.ReceiveBytes < 1<<16:
		return configError("ReceiveBytes", c.ReceiveBytes, "must be at least 65536")
	case c.SubmitLife <= 0 || c.SubmitLife > c.Limits.MaxLife:
		return configError("SubmitLife", c.SubmitLife, fmt.Sprintf("set up to the cluster's maxRequestLife, %v", c.Limits.MaxLife))
	case c.VerifyWorkers < 0:
		return configError("VerifyWorkers", c.VerifyWorkers, "must not be negative")
	case c.TraceBlocks > maxTraceBlocks:
		return configError("TraceBlocks", c.TraceBlocks, fmt.Sprintf("set up to %d, or a negative number for none", maxTraceBlocks))
	case c.LocalClient != nil && !c.Roster.Admits(c.LocalClient.Public()):
		return configError("LocalClient", c.LocalClient.Public(), "the cluster file lists its clients and not this one: add its key to clients.keys")
	}
	if c.AdminListen != "" && !c.AdminRemote {
		if err := checkLoopback(c.AdminListen); err != nil {
			return err
		}
	}
	return nil
}

func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return configError("AdminListen", address, "give host:port, such as 127.0.0.1:9090")
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return configError("AdminListen", address, "it shows everything to anybody: use a loopback address, or set AdminRemote if a firewall stands before it")
}

// identity is whose data folder this replica's is.
func (c *Config) identity(self pbft.ReplicaID) Identity {
	return Identity{
		Format: StorageFormat, Cluster: c.Roster.ID, Epoch: pbft.Epoch(c.Roster.Cluster.Epoch),
		Replica: self, Signing: c.Roster.Signing(self),
	}
}

// IdentityOf returns the identity for [InitDataDir] of the member with these keys.
func IdentityOf(r *roster.Roster, keys crypto.MemberKeys) (Identity, error) {
	self, err := r.FindSelf(keys)
	if err != nil {
		return Identity{}, err
	}
	c := Config{Roster: r}
	return c.identity(self), nil
}
