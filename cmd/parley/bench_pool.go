package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
)

// benchPool is the connections of a benchmark. It only grows, so that the points of a
// sweep share them.
type benchPool struct {
	bench      *bench
	roster     *roster.Roster
	transports []*client.Transport
	clients    []*client.Client
	identities []*identity // reserved key files
}

const (
	// dialsAtOnce keeps a benchmark below what replicas permit of unfinished handshakes.
	dialsAtOnce = 32
	// maxBenchWaiting bounds the operations that wait in all connections together,
	// when an open loop asks for more than the cluster does.
	maxBenchWaiting = 1 << 17
)

// get returns n connections.
func (p *benchPool) get(ctx context.Context, n int) ([]*client.Client, error) {
	if p.roster == nil {
		ros, err := p.bench.load()
		if err != nil {
			return nil, err
		}
		p.roster = ros
	}
	if missing := n - len(p.clients); missing > 0 {
		if err := p.dial(ctx, missing); err != nil {
			return nil, err
		}
	}
	return p.clients[:n], nil
}

func (p *benchPool) dial(ctx context.Context, n int) error {
	ctx, cancel := p.bench.dialPatience(ctx, n)
	defer cancel()
	made := make([]*client.Client, n)
	var group errgroup.Group
	group.SetLimit(dialsAtOnce)
	for i := range made {
		k, err := p.key(ctx, len(p.clients)+i)
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		t, err := p.transport(len(p.clients)+i, k)
		if err != nil {
			group.Go(func() error { return err })
			break
		}
		group.Go(func() (err error) {
			made[i], err = client.Dial(ctx, client.Config{Roster: p.roster, Key: k.Signing, Transport: t, MaxQueueing: p.bench.maxQueueing, MaxWaiting: max(1024, min(65536, maxBenchWaiting/n))})
			return err
		})
	}
	err := group.Wait()
	for _, c := range made {
		if c != nil {
			p.clients = append(p.clients, c)
		}
	}
	return err
}

// transport is what carries the i-th connection, with its key if it is the first that
// it carries; nil if it has connections of its own.
func (p *benchPool) transport(i int, k *keyfile.Client) (*client.Transport, error) {
	if p.bench.transports == 0 {
		return nil, nil
	}
	if i < p.bench.transports {
		t, err := client.NewTransport(client.TransportConfig{Roster: p.roster, Key: k.Signing})
		if err != nil {
			return nil, err
		}
		p.transports = append(p.transports, t)
	}
	return p.transports[i%p.bench.transports], nil
}

// key is the key of the i-th connection. Of an open cluster's any but the first is
// made for the moment, where others are listed they are those beside --key.
func (p *benchPool) key(ctx context.Context, i int) (*keyfile.Client, error) {
	if p.roster.Cluster.Clients.Admission == crypto.AdmitOpen && (i > 0 || p.bench.identities == "distinct") {
		return keyfile.GenerateClient(rand.Reader)
	}
	if i > 0 && (p.bench.key != "" || i >= maxSpareKeys) {
		return nil, fmt.Errorf("this cluster serves only listed clients, and %s: use fewer connections, or measure a cluster made with --open", p.why(i))
	}
	if i > 0 { // without patience: what is not there now will not come
		id, err := p.bench.tryIdentity(p.roster)
		switch {
		case err != nil:
			return nil, err
		case id == nil:
			return nil, fmt.Errorf("this cluster serves only listed clients, and beside %s there are keys for %d connections that no other process uses: use fewer connections, or measure a cluster made with --open",
				p.bench.keyPath(), i)
		}
		p.identities = append(p.identities, id)
		return id.client, nil
	}
	id, err := p.bench.identity(ctx, p.roster)
	if err != nil {
		return nil, err
	}
	p.identities = append(p.identities, id)
	return id.client, nil
}

func (p *benchPool) why(i int) string {
	if p.bench.key != "" {
		return "--key names one key"
	}
	return fmt.Sprintf("at most %d of their keys are looked for", i)
}

func (p *benchPool) close() {
	for _, c := range p.clients {
		_ = c.Close()
	}
	for _, t := range p.transports {
		_ = t.Close()
	}
	for _, id := range p.identities {
		id.close()
	}
}
