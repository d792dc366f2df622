package system

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/kv"
)

// Flood is a client with a key of its own that sends requests of one operation to every
// replica, at a rate, and heeds no refusal: not the client library, which would.
type Flood struct {
	Sent, Ran, Refused atomic.Int64 // requests, each counted at every replica

	cancel  context.CancelFunc
	running sync.WaitGroup
	conns   []*grpc.ClientConn
}

// floodLife is how long its requests may run.
const floodLife = 2 * time.Minute

// Flood starts one. The requests of so long are signed before it begins, because the
// signer shares the processors with those who are measured; then they are repeated.
func (p *Parley) Flood(ctx context.Context, perSecond float64, lasting time.Duration) (*Flood, error) {
	k, err := keyfile.GenerateClient(rand.Reader)
	if err != nil {
		return nil, err
	}
	requests := p.floodRequests(k, max(1, int(perSecond*lasting.Seconds())))
	certificate, err := tlsid.Certificate(k.Signing)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &Flood{cancel: cancel}
	for id := range p.roster.N() {
		m := p.roster.Member(crypto.ReplicaID(id))
		conn, err := grpc.NewClient("passthrough:///"+m.ClientAddress,
			grpc.WithTransportCredentials(credentials.NewTLS(tlsid.ClientConfig(certificate, m.TLSKey))),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.ForceCodecV2(api.Codec())))
		if err != nil {
			f.Stop()
			return nil, err
		}
		f.conns = append(f.conns, conn)
		stream, err := api.NewParleyClient(conn).Session(ctx)
		if err != nil {
			f.Stop()
			return nil, fmt.Errorf("flood replica %d: %w", id, err)
		}
		f.running.Go(func() { f.send(ctx, stream, requests, perSecond) })
		f.running.Go(func() { f.receive(stream) })
	}
	return f, nil
}

func (p *Parley) floodRequests(k *keyfile.Client, n int) [][]byte {
	value := make([]byte, valueBytes)
	_, _ = rand.Read(value)
	signer, context := ed25519.NewSigner(k.Signing), p.roster.Context(crypto.KindRequest)
	first, deadline := uint64(time.Now().UnixNano()), pbft.TimeOf(time.Now().Add(floodLife))
	requests := make([][]byte, n)
	for i := range requests {
		seq := first + uint64(i)
		op := kv.Put(fmt.Appendf(nil, "bench/%07d", mrand.IntN(keys)), value)
		requests[i] = pbft.SignedRequest(signer.Public(), seq, seq, deadline, [][]byte{op}, func(d pbft.Digest) crypto.Signature {
			s, _ := crypto.SignatureOf(signer.Sign(context, d[:]))
			return s
		}).Encode()
	}
	return requests
}

// floodPause is how often it sends what is due.
const floodPause = 2 * time.Millisecond

func (f *Flood) send(ctx context.Context, stream grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage], requests [][]byte, perSecond float64) {
	began, next := time.Now(), 0
	ticker := time.NewTicker(floodPause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		// What a replica does not read in time is not sent later: that would be no rate.
		due := int(time.Since(began).Seconds() * perSecond)
		n := min(due-next, api.MaxRequests)
		m := &api.ClientMessage{}
		for i := due - n; i < due; i++ {
			m.Requests = append(m.Requests, requests[i%len(requests)])
		}
		next = due
		if n > 0 && stream.Send(m) != nil {
			return
		}
		f.Sent.Add(int64(n))
	}
}

func (f *Flood) receive(stream grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage]) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return
		}
		f.Ran.Add(int64(len(m.Replies)))
		f.Refused.Add(int64(len(m.Refusals)))
	}
}

// Stop ends it.
func (f *Flood) Stop() {
	f.cancel()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.running.Wait()
}
