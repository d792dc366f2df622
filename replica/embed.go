package replica

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine"
)

// LocalConfig is what [StartLocal] needs: Dir and NewMachine, or OpenMachine; all else
// has a default, which a zero field stands for.
type LocalConfig struct {
	// Dir holds keys, cluster file and data of all replicas, laid out as by 'parley
	// init'. It is filled if it has no cluster file; otherwise the cluster in it goes
	// on where it stopped.
	Dir string
	// Replicas is how many: 4, or as many as the cluster in Dir has.
	Replicas int
	// NewMachine makes the application of one replica, in its initial state.
	NewMachine func() statemachine.StateMachine
	// OpenMachine, in its place, makes one that keeps its state on the disk: see
	// [Config.OpenMachine].
	OpenMachine func(ctx context.Context, dir string) (statemachine.StateMachine, error)
	// Parameters are those of a new cluster: crypto.DefaultParameters. A cluster that
	// is in Dir already has its own.
	Parameters *crypto.Parameters
	// Edit may change the configuration of replica i before it starts.
	Edit func(i int, cfg *Config)
	// Logger gets what the replicas log: nothing by default.
	Logger *slog.Logger
}

// Validate returns an error that names the first field that makes no sense, its
// value, and what to set instead. It wraps ErrConfig.
func (c LocalConfig) Validate() error {
	switch {
	case c.Dir == "":
		return configError("Dir", `""`, "name a folder for the cluster")
	case c.Replicas < 0 || c.Replicas > crypto.MaxReplicas:
		return configError("Replicas", c.Replicas, fmt.Sprintf("set 1 to %d; 4 survive a faulty one", crypto.MaxReplicas))
	case c.NewMachine == nil && c.OpenMachine == nil:
		return configError("NewMachine", nil, "give a function that returns the application in its initial state")
	case c.NewMachine != nil && c.OpenMachine != nil:
		return configError("OpenMachine", "set, and so is NewMachine", "give one of them")
	}
	return nil
}

// LocalCluster is a whole cluster in one process, on loopback addresses, with
// everything else as in a real one: keys, mutual TLS, a disk for each replica. It
// is for examples, for tests of applications, and for trying things out; one
// process on one machine is no protection from faults.
type LocalCluster struct {
	// Roster is the cluster file as it is now: clients dial by it.
	Roster *roster.Roster
	// Servers are the replicas, by their ids.
	Servers []*Server
}

// The names within Dir: those of 'parley init'.
const (
	localCluster = "cluster.json"
	localKey     = "key.json"
	localData    = "data"
)

func localReplica(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("replica-%d", i)) }

// closeGrace is how long clients may take to leave a [LocalCluster] that closes.
const closeGrace = 2 * time.Second

// StartLocal starts a cluster in this process, a new one if cfg.Dir has none. The
// ports are free ones, others at every start; the cluster file in Dir names them.
// As with [Start], ctx bounds the start only.
//
// Errors: ErrConfig, those of [Start], keyfile.ErrExists if Dir has keys and no cluster
// file.
func StartLocal(ctx context.Context, cfg LocalConfig) (_ *LocalCluster, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	file := filepath.Join(cfg.Dir, localCluster)
	description, err := crypto.LoadCluster(file)
	if errors.Is(err, fs.ErrNotExist) {
		description, err = describeLocal(cfg)
	}
	if err != nil {
		return nil, err
	}
	if n := len(description.Members); cfg.Replicas != 0 && cfg.Replicas != n {
		return nil, configError("Replicas", cfg.Replicas, fmt.Sprintf("the cluster in %s has %d: name another folder for another cluster", cfg.Dir, n))
	}
	var doors localDoors
	defer func() {
		if err != nil {
			doors.close()
		}
	}()
	if err := doors.open(description.Members); err != nil {
		return nil, err
	}
	c := new(LocalCluster)
	if c.Roster, err = roster.New(description); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for i := range c.Roster.N() {
		s, err := c.start(ctx, cfg, i, &doors)
		if err != nil {
			return nil, fmt.Errorf("replica %d of the cluster in %s: %w", i, cfg.Dir, err)
		}
		c.Servers = append(c.Servers, s)
	}
	// Last: whoever else uses the folder was found by the locks of the data.
	if err := description.Write(file); err != nil {
		return nil, err
	}
	return c, nil
}

// describeLocal makes the keys and data folders of a new cluster, and its cluster
// file: with that, the folder is complete.
func describeLocal(cfg LocalConfig) (*crypto.Cluster, error) {
	n, p := cfg.Replicas, crypto.DefaultParameters()
	orDefault(&n, 4)
	if cfg.Parameters != nil {
		p = *cfg.Parameters
	}
	c := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "local", Epoch: crypto.FirstEpoch, VoteScheme: crypto.VoteEd25519,
		Parameters: p, Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	if _, err := rand.Read(c.Nonce[:]); err != nil {
		return nil, err
	}
	public := make([]crypto.MemberKeys, n)
	for i := range n {
		folder := localReplica(cfg.Dir, i)
		keys, err := keyfile.GenerateReplica(rand.Reader)
		if err != nil {
			return nil, err
		}
		if err := keys.Write(filepath.Join(folder, localKey)); err != nil {
			return nil, err
		}
		public[i] = keys.Public()
		// Any two that differ: the start gives real ones.
		c.Members = append(c.Members, public[i].Member(filepath.Base(folder), fmt.Sprintf("127.0.0.1:%d", 2*i+1), fmt.Sprintf("127.0.0.1:%d", 2*i+2)))
	}
	r, err := roster.New(c)
	if err != nil {
		return nil, err
	}
	for i := range n {
		id, err := IdentityOf(r, public[i])
		if err != nil {
			return nil, err
		}
		if err := InitDataDir(filepath.Join(localReplica(cfg.Dir, i), localData), id); err != nil {
			return nil, err
		}
	}
	return c, c.Write(filepath.Join(cfg.Dir, localCluster))
}

func (c *LocalCluster) start(ctx context.Context, cfg LocalConfig, i int, doors *localDoors) (*Server, error) {
	folder := localReplica(cfg.Dir, i)
	keys, err := keyfile.LoadReplica(filepath.Join(folder, localKey))
	if err != nil {
		return nil, err
	}
	one := Config{
		Roster: c.Roster, Keys: keys, DataDir: filepath.Join(folder, localData), OpenMachine: cfg.OpenMachine,
		PeerListener: doors.peers[i], ClientListener: doors.clients[i], Logger: cfg.Logger,
	}
	if cfg.NewMachine != nil {
		one.Machine = cfg.NewMachine()
	}
	if one.Logger == nil {
		one.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Edit != nil {
		cfg.Edit(i, &one)
	}
	return Start(ctx, one)
}

// Close stops all replicas and returns when none of their goroutines runs any
// more. The folder stays, for the next [StartLocal]. A second call returns the same
// as the first.
func (c *LocalCluster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	errs := make([]error, len(c.Servers))
	var all sync.WaitGroup
	for i, s := range c.Servers {
		all.Go(func() { errs[i] = s.Stop(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// localDoors are the listeners of all replicas, made before any of them starts so
// that each knows where the others are.
type localDoors struct {
	peers, clients []net.Listener
}

// open listens for every member and writes the addresses into it.
func (d *localDoors) open(members []crypto.Member) error {
	for i := range members {
		peer, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listener for replicas: %w", err)
		}
		d.peers, members[i].PeerAddress = append(d.peers, peer), peer.Addr().String()
		door, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listener for clients: %w", err)
		}
		d.clients, members[i].ClientAddress = append(d.clients, door), door.Addr().String()
	}
	return nil
}

// close closes what no replica has taken over; closing twice does no harm.
func (d *localDoors) close() {
	for _, l := range append(d.peers, d.clients...) {
		_ = l.Close()
	}
}
