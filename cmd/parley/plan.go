package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/replica"
)

// blsFrom is the size of a cluster from which votes are BLS signatures unless the
// operator says otherwise: below, single Ed25519 signatures are cheaper.
const blsFrom = 33

// clusterPlan is what init makes a cluster of.
type clusterPlan struct {
	dir             string
	name            string
	replicas        int
	weights         []uint64
	host            string
	basePort        int
	scheme          string
	checkpointEvery uint64
	window          uint64
	allowDominant   bool
	open            bool // serve any client; else those of clientKeys and admit
	clientKeys      int
	admit           []crypto.PublicKey
	app             string // the application's name
	genesisFile     string // or empty
	policyFile      string // or empty
	application     *crypto.Application
}

// madeCluster is what write made.
type madeCluster struct {
	cluster *crypto.Cluster
}

func (p *clusterPlan) setWeights(text []string) error {
	for _, s := range text {
		w, err := strconv.ParseUint(s, 10, 64)
		if err != nil || w == 0 {
			return fmt.Errorf("%q is no weight: write whole numbers from 1, separated by commas", s)
		}
		p.weights = append(p.weights, w)
	}
	return nil
}

func (p *clusterPlan) setClients(admit []string) error {
	if p.open && len(admit) > 0 {
		return errors.New("--open serves any client, --admit only the listed ones: give one of them")
	}
	for _, s := range admit {
		var k crypto.PublicKey
		if err := k.UnmarshalText([]byte(s)); err != nil {
			return fmt.Errorf("--admit: %q is no public key: write the 64 digits that 'parley keygen' prints", s)
		}
		p.admit = append(p.admit, k)
	}
	return nil
}

// setApplication reads what --app and --genesis name.
func (p *clusterPlan) setApplication() error {
	app, err := findApplication(p.app)
	if err != nil {
		return fmt.Errorf("--app: %w", err)
	}
	p.application = &crypto.Application{Name: app.name}
	if p.genesisFile != "" {
		if p.application.Genesis, err = os.ReadFile(p.genesisFile); err != nil {
			return fmt.Errorf("--genesis: %w", err)
		}
	}
	if p.policyFile != "" {
		if err := p.addPolicy(); err != nil {
			return fmt.Errorf("--policy: %w", err)
		}
	}
	// Better now than when the replicas start.
	policy, _, err := app.readGenesis(p.application.Genesis)
	flag, roles := "--genesis", accessField+".roles"
	if p.policyFile != "" {
		roles = "roles"
		if p.genesisFile == "" || err == nil {
			flag = "--policy"
		}
	}
	// Only here: what a policy says of kinds that there are no more is no reason to stop a
	// cluster that has it.
	if err == nil && policy != nil {
		err = app.policyKinds().Check(roles, policy.Roles)
	}
	if err != nil {
		return fmt.Errorf("%s: application %q: %w", flag, app.name, err)
	}
	return nil
}

// validate says what is wrong with the flags; the cluster's own check says the rest.
func (p *clusterPlan) validate() error {
	if p.replicas < 1 || p.replicas > crypto.MaxReplicas {
		return fmt.Errorf("--replicas is %d: a cluster has 1 to %d, and needs 4 to survive a faulty one", p.replicas, crypto.MaxReplicas)
	}
	if len(p.weights) != 0 && len(p.weights) != p.replicas {
		return fmt.Errorf("--weights names %d weights for %d replicas: give one for each", len(p.weights), p.replicas)
	}
	ports := newPortPlan(p.basePort, p.replicas)
	if p.basePort < 1 || ports.last(p.replicas) > 65535 {
		return fmt.Errorf("--base-port is %d: the replicas use ports up to %d of 65535, give a number from 1 to %d",
			p.basePort, ports.last(p.replicas), 65535-(ports.last(p.replicas)-p.basePort))
	}
	if p.clientKeys < 1 || p.clientKeys > maxSpareKeys {
		return fmt.Errorf("--client-keys is %d: give 1 to %d", p.clientKeys, maxSpareKeys)
	}
	switch p.scheme {
	case "", crypto.VoteEd25519, crypto.VoteBLS:
	default:
		return fmt.Errorf("--scheme is %q: give %s or %s", p.scheme, crypto.VoteEd25519, crypto.VoteBLS)
	}
	if err := p.parameters().Validate(); err != nil {
		return err
	}
	return nil
}

func (p *clusterPlan) parameters() crypto.Parameters {
	q := crypto.DefaultParameters()
	q.CheckpointEvery, q.Window = p.checkpointEvery, p.window
	q.LogMax = 2*q.CheckpointEvery + 2*q.Window
	return q
}

// write makes the cluster's folder. It overwrites nothing. What it made is left
// behind if it fails half way: keys are never deleted by a program.
func (p *clusterPlan) write() (*madeCluster, error) {
	for _, path := range []string{clusterFilePath(p.dir), filepath.Join(p.dir, clientKeyName), replicaDir(p.dir, 0)} {
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("%s exists already: init overwrites nothing; name another folder with --dir, or start what is there", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	c := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: p.name, Epoch: crypto.FirstEpoch, VoteScheme: p.scheme,
		Parameters: p.parameters(), AllowDominant: p.allowDominant, Application: p.application,
		Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	if c.VoteScheme == "" {
		c.VoteScheme = crypto.VoteEd25519
		if p.replicas >= blsFrom {
			c.VoteScheme = crypto.VoteBLS
		}
	}
	if _, err := rand.Read(c.Nonce[:]); err != nil {
		return nil, err
	}
	clients, err := p.clients(c)
	if err != nil {
		return nil, err
	}
	gateways, err := p.gateways(c)
	if err != nil {
		return nil, err
	}
	if err := enrol(c.Application, clients, gateways); err != nil {
		return nil, err
	}
	ports := newPortPlan(p.basePort, p.replicas)
	keys := make([]*keyfile.Replica, p.replicas)
	for i := range keys {
		if keys[i], err = keyfile.GenerateReplica(rand.Reader); err != nil {
			return nil, err
		}
		m := keys[i].Public().Member(replicaName(i), p.address(ports.peer(i)), p.address(ports.client(i)))
		if len(p.weights) > 0 {
			m.Weight = p.weights[i]
		}
		c.Members = append(c.Members, m)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	ros, err := roster.New(c)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	for i, k := range keys {
		dir := replicaDir(p.dir, i)
		if err := k.Write(filepath.Join(dir, replicaKeyName)); err != nil {
			return nil, err
		}
		local := defaultLocalConfig()
		if app, err := findApplication(applicationName(c)); err == nil && app.stored() {
			local.State = defaultStateConfig()
		}
		local.AdminListen = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.admin(i)))
		if i < len(gateways) {
			local.ContractListen, local.ContractKey = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.rpc(i))), gatewayKeyName
			if err := gateways[i].Write(filepath.Join(dir, gatewayKeyName)); err != nil {
				return nil, err
			}
		}
		if err := local.write(replicaConfigPath(dir)); err != nil {
			return nil, err
		}
		id, err := replica.IdentityOf(ros, k.Public())
		if err != nil {
			return nil, err
		}
		if err := replica.InitDataDir(filepath.Join(dir, dataDirName), id); err != nil {
			return nil, err
		}
	}
	for i, k := range clients {
		if err := k.Write(spareKeyPath(filepath.Join(p.dir, clientKeyName), i+1)); err != nil {
			return nil, err
		}
	}
	// Last: a folder with a cluster file is complete.
	if err := c.Write(clusterFilePath(p.dir)); err != nil {
		return nil, err
	}
	return &madeCluster{cluster: c}, nil
}

// clients makes the clients' keys and says in the cluster file whom it admits.
func (p *clusterPlan) clients(c *crypto.Cluster) (keys []*keyfile.Client, err error) {
	n := p.clientKeys
	if p.open {
		n = 1 // more are made when they are needed
	} else {
		c.Clients = crypto.Clients{Admission: crypto.AdmitList, Keys: slices.Clone(p.admit)}
	}
	for range n {
		k, err := keyfile.GenerateClient(rand.Reader)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
		if !p.open {
			c.Clients.Keys = append(c.Clients.Keys, k.Signing.Public())
		}
	}
	return keys, nil
}

// gateways makes the keys by which the replicas' JSON-RPC has transactions ordered, and
// admits them.
func (p *clusterPlan) gateways(c *crypto.Cluster) (keys []*keyfile.Client, err error) {
	if p.application == nil || p.application.Name != contractApplication.name {
		return nil, nil
	}
	for range p.replicas {
		k, err := keyfile.GenerateClient(rand.Reader)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
		if !p.open {
			c.Clients.Keys = append(c.Clients.Keys, k.Signing.Public())
		}
	}
	return keys, nil
}

// warnOpen says loudly what --open means.
func warnOpen(out io.Writer, c *crypto.Cluster) {
	if c.Clients.Admission == crypto.AdmitOpen {
		fmt.Fprintln(out, "WARNING: this cluster is open: whoever reaches its client addresses may read and change everything.")
	}
}

func (p *clusterPlan) address(port int) string {
	return net.JoinHostPort(p.host, strconv.Itoa(port))
}
