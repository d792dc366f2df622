package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/statemachine/kv"
)

// directory talks to single replicas, one by one: for what needs no agreement. It
// works with any number of replicas down.
type directory struct {
	roster *roster.Roster
	conns  []*grpc.ClientConn
}

const maxAnswer = 72 << 20

// direct prepares connections; they are made when they are used. Nothing is ordered
// under the key, so it may be one that another process uses; one that nobody uses is
// better, since replicas bound the connections under a key.
func (t *target) direct() (*directory, error) {
	ros, err := t.load()
	if err != nil {
		return nil, err
	}
	var key *keyfile.Client
	id, err := t.tryIdentity(ros)
	switch {
	case err != nil:
		return nil, err
	case id != nil:
		key = id.client
		id.close()
	default:
		if key, err = keyfile.LoadClient(cmp.Or(t.key, t.keyPath())); err != nil {
			return nil, err
		}
	}
	return newDirectory(ros, key)
}

func newDirectory(ros *roster.Roster, key *keyfile.Client) (*directory, error) {
	cert, err := tlsid.Certificate(key.Signing)
	if err != nil {
		return nil, err
	}
	d := &directory{roster: ros}
	for i := range ros.N() {
		m := ros.Member(crypto.ReplicaID(i))
		conn, err := grpc.NewClient("passthrough:///"+m.ClientAddress,
			grpc.WithTransportCredentials(credentials.NewTLS(tlsid.ClientConfig(cert, m.TLSKey))),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: 5 * time.Second,
			}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer), grpc.ForceCodecV2(api.Codec())),
			grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
		if err != nil {
			d.close()
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		d.conns = append(d.conns, conn)
	}
	return d, nil
}

func (d *directory) close() {
	for _, c := range d.conns {
		_ = c.Close()
	}
}

func (d *directory) replica(i int) api.ParleyClient { return api.NewParleyClient(d.conns[i]) }

func (d *directory) name(i int) string { return d.roster.Member(crypto.ReplicaID(i)).Name }

// query asks one replica's store as it is.
func (d *directory) query(ctx context.Context, i int, q []byte) (kv.Result, uint64, error) {
	m, err := d.replica(i).Query(ctx, &api.QueryRequest{Query: q})
	if err != nil {
		return kv.Result{}, 0, fmt.Errorf("query %s at %s: %w", d.name(i), d.roster.Member(crypto.ReplicaID(i)).ClientAddress, err)
	}
	r, err := kv.DecodeAnswer(m.Answer)
	if err != nil {
		return kv.Result{}, 0, fmt.Errorf("query %s: %w", d.name(i), err)
	}
	return r, m.Height, r.Err()
}

// status asks one replica where it is.
func (d *directory) status(ctx context.Context, i int) (*api.StatusResponse, error) {
	return d.replica(i).Status(ctx, new(api.StatusRequest))
}
