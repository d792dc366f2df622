package system

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/parley-bft/parley/bench/load"
	"github.com/parley-bft/parley/bench/proc"
	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine/kv"
)

// Parley is a cluster of this project's replicas, made by its own command.
type Parley struct {
	processes
	programs *Programs
	cluster  string // its folder
	roster   *roster.Roster
	distinct bool // each client is an identity of its own
	carried  bool // and all are carried by one transport
	// strategies are how replicas betray, by number; none for an honest one.
	strategies map[int]string
}

func startParley(ctx context.Context, cfg Config) (Cluster, error) {
	return NewParley(ctx, cfg, nil)
}

func startParleyDistinct(ctx context.Context, cfg Config) (Cluster, error) {
	p, err := NewParley(ctx, cfg, nil)
	if err == nil {
		p.distinct = true
	}
	return p, err
}

func startParleyCarried(ctx context.Context, cfg Config) (Cluster, error) {
	p, err := NewParley(ctx, cfg, nil)
	if err == nil {
		p.distinct, p.carried = true, true
	}
	return p, err
}

// NewParley makes and starts a cluster of which some replicas betray, each by a
// strategy of package chaos.
func NewParley(ctx context.Context, cfg Config, strategies map[int]string) (*Parley, error) {
	n := cfg.Replicas
	if n == 0 {
		n = 4
	}
	p := &Parley{programs: cfg.Programs, cluster: filepath.Join(cfg.Dir, "cluster"), strategies: strategies}
	p.dir = cfg.Dir
	p.launch = p.start
	args := []string{"init", "--dir", p.cluster, "--replicas", strconv.Itoa(n), "--base-port", strconv.Itoa(ports()), "--open"}
	if cfg.Scheme != "" {
		args = append(args, "--scheme", cfg.Scheme)
	}
	out, err := exec.CommandContext(ctx, cfg.Programs.Parley, args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("parley init: %w: %s", err, out)
	}
	if p.roster, err = roster.Load(filepath.Join(p.cluster, "cluster.json")); err != nil {
		return nil, err
	}
	if err := p.startAll(n); err != nil {
		return nil, err
	}
	return p, p.ready(ctx)
}

// ready waits for the first operation.
func (p *Parley) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	ops, end, err := p.Clients(ctx, 1, 1)
	if err == nil {
		err = ops[0](ctx)
		end()
	}
	if err != nil {
		p.Stop()
		return fmt.Errorf("parley: no first operation: %w", err)
	}
	return nil
}

func (p *Parley) home(i int) string { return filepath.Join(p.cluster, fmt.Sprintf("replica-%d", i)) }

func (p *Parley) start(i int) (*proc.Child, error) {
	if s := p.strategies[i]; s != "" {
		if p.programs.Traitor == "" {
			return nil, errors.New("the test daemon was not built")
		}
		return proc.Start(p.log(i), p.programs.Traitor, "--dir", p.home(i), "--strategy", s)
	}
	return proc.Start(p.log(i), p.programs.Parley, "start", "--dir", p.home(i), "--log-level", "warn")
}

// Betray lets a replica that does not run betray when it is started, or with ""
// no more.
func (p *Parley) Betray(i int, strategy string) {
	if p.strategies == nil {
		p.strategies = make(map[int]string)
	}
	p.strategies[i] = strategy
}

const (
	keys = 10_000
	// valueBytes makes an operation 256 bytes: kind, two lengths, a key of 13.
	valueBytes = 256 - 1 - 4 - 4 - 13
)

// Clients implements Cluster.
func (p *Parley) Clients(ctx context.Context, n, connections int) (ops []load.Op, end func(), err error) {
	if p.distinct {
		connections = n
	}
	var transport *client.Transport
	if p.carried {
		if transport, err = client.NewTransport(client.TransportConfig{Roster: p.roster}); err != nil {
			return nil, nil, err
		}
	}
	clients, err := p.dial(ctx, min(n, connections), transport)
	end = func() {
		for _, c := range clients {
			if c != nil {
				_ = c.Close()
			}
		}
		if transport != nil {
			_ = transport.Close()
		}
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	value := make([]byte, valueBytes)
	_, _ = rand.Read(value)
	for i := range n {
		c := clients[i%len(clients)]
		ops = append(ops, func(ctx context.Context) error {
			_, err := c.Submit(ctx, kv.Put(fmt.Appendf(nil, "bench/%07d", mrand.IntN(keys)), value))
			return err
		})
	}
	return ops, end, nil
}

// dialsAtOnce is below what replicas permit of unfinished handshakes.
const dialsAtOnce = 32

// dial connects n identities, by connections of their own if there is no transport.
// Where it fails some are nil.
func (p *Parley) dial(ctx context.Context, n int, transport *client.Transport) ([]*client.Client, error) {
	clients, errs := make([]*client.Client, n), make([]error, n)
	room := make(chan struct{}, dialsAtOnce)
	var wg sync.WaitGroup
	for i := range n {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			k, err := keyfile.GenerateClient(rand.Reader)
			if err == nil {
				clients[i], err = client.Dial(ctx, client.Config{Roster: p.roster, Key: k.Signing, Transport: transport})
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return clients, errors.Join(errs...)
}

// State is what the replicas say of themselves.
type State struct {
	Primary   int    `json:"primary"`
	View      uint64 `json:"view"`
	Committed uint64 `json:"committed"`
	Executed  uint64 `json:"executed"`
	Reachable int    `json:"reachable"`
}

// State asks the replicas.
func (p *Parley) State(ctx context.Context) (s State, err error) {
	cmd := exec.CommandContext(ctx, p.programs.Parley, "status", "--dir", p.cluster, "--json", "--timeout", "10s")
	var said strings.Builder
	cmd.Stdout = &said
	failed := cmd.Run()
	if err := json.Unmarshal([]byte(said.String()), &s); err != nil {
		return s, errors.Join(fmt.Errorf("parley status: %w", err), failed)
	}
	return s, nil
}

// Leader implements Cluster.
func (p *Parley) Leader(ctx context.Context) (int, error) {
	return await(ctx, "parley's primary", func(ctx context.Context) (int, error) {
		s, err := p.State(ctx)
		if err == nil && s.Primary < 0 {
			err = errors.New("nobody is primary")
		}
		return s.Primary, err
	})
}
