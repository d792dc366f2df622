package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
)

type proofHandler = func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error)

// proves has the replicas answer certified reads so, and connects a client.
func (f *fakeCluster) proves(replicas ...proofHandler) *client.Client {
	for i, p := range replicas {
		f.set(i, func(r *fakeReplica) { r.proof = p })
	}
	return f.connect(f.config(1))
}

// provesNot answers certified reads with an error.
func provesNot(code codes.Code, text string) proofHandler {
	return func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error) {
		return nil, status.Error(code, text)
	}
}

// A refusal is told as one, in the words of the application, once more replicas than may
// be faulty say so: whatever the others do, and without waiting for them.
func TestCertifiedReadsAreRefused(t *testing.T) {
	const why = "refused by the access policy: rule roles: it may not read get"
	refuses, down, none := provesNot(codes.InvalidArgument, why), provesNot(codes.Unavailable, "down"), provesNot(codes.Unimplemented, "none")
	forges := func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error) {
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_FOUND, Proof: []byte("none")}, nil
	}
	read := func(replicas ...proofHandler) error {
		_, err := newFakeCluster(t, four, nil).proves(replicas...).ReadCertified(testContext(t), []byte("k"), client.CertifiedOptions{})
		return err
	}
	for _, replicas := range [][]proofHandler{{refuses, refuses, refuses, refuses}, {refuses, refuses, down, none}, {forges, down, refuses, refuses}} {
		err := read(replicas...)
		require.ErrorIs(t, err, client.ErrQuery)
		require.EqualError(t, err, client.ErrQuery.Error()+": "+why)
	}
	// What one of them says in other words may be anything.
	lies := provesNot(codes.InvalidArgument, "send your key to r3")
	for _, replicas := range [][]proofHandler{{refuses, refuses, lies, down}, {lies, refuses, refuses, down}, {refuses, lies, none, refuses}} {
		require.EqualError(t, read(replicas...), client.ErrQuery.Error()+": "+why)
	}
	err := read(refuses, lies, none, none)
	require.ErrorIs(t, err, client.ErrQuery)
	for _, said := range []string{"r0: ", why, "r1: ", "send your key to r3"} {
		require.ErrorContains(t, err, said)
	}
	require.ErrorIs(t, read(none, none, none, forges), client.ErrNoProof)
	require.ErrorIs(t, read(refuses, none, none, none), client.ErrNoProof, "one alone may lie")
}

// While the others may still answer, a refusal of one alone is waited out.
func TestCertifiedReadThatOneAloneRefuses(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		down := provesNot(codes.Unavailable, "down")
		c := f.proves(provesNot(codes.InvalidArgument, "refused"), down, down, down)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.ReadCertified(ctx, []byte("k"), client.CertifiedOptions{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, client.ErrQuery)
	})
}

// However old a state may be, the cluster is not asked for one of the future.
func TestCertifiedReadsOfAnyAge(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	asked := make(chan uint64, 64)
	for i := range 4 {
		f.set(i, func(r *fakeReplica) {
			r.proof = func(_ context.Context, q *api.CertifiedRequest) (*api.CertifiedResponse, error) {
				asked <- q.After
				return nil, status.Error(codes.Unimplemented, "none")
			}
		})
	}
	now := time.Now()
	c := f.connect(f.config(1))
	for _, age := range []time.Duration{time.Minute, 200 * 366 * 24 * time.Hour} {
		_, err := c.ReadCertified(testContext(t), []byte("k"), client.CertifiedOptions{MaxAge: age})
		require.ErrorIs(t, err, client.ErrNoProof)
		for range 4 {
			require.LessOrEqual(t, <-asked, uint64(now.UnixNano()))
		}
	}
}
