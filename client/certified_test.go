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

// A refusal is told as one, in the words of the application, once more replicas than may
// be faulty say so: whatever the others do, and without waiting for them.
func TestCertifiedReadsAreRefused(t *testing.T) {
	const why = "refused by the access policy: rule roles: it may not read get"
	says := func(code codes.Code, text string) func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error) {
		return func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error) {
			return nil, status.Error(code, text)
		}
	}
	refuses, down, none := says(codes.InvalidArgument, why), says(codes.Unavailable, "down"), says(codes.Unimplemented, "none")
	forges := func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error) {
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_FOUND, Proof: []byte("none")}, nil
	}
	type handler = func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error)
	read := func(ctx context.Context, replicas ...handler) error {
		f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
		for i, p := range replicas {
			f.set(i, func(r *fakeReplica) { r.proof = p })
		}
		_, err := f.connect(f.config(1)).ReadCertified(ctx, []byte("k"), client.CertifiedOptions{})
		return err
	}
	for _, replicas := range [][]handler{{refuses, refuses, refuses, refuses}, {refuses, refuses, down, none}, {forges, down, refuses, refuses}} {
		err := read(testContext(t), replicas...)
		require.ErrorIs(t, err, client.ErrQuery)
		require.EqualError(t, err, client.ErrQuery.Error()+": "+why)
	}
	require.ErrorIs(t, read(testContext(t), none, none, none, forges), client.ErrNoProof)
	require.ErrorIs(t, read(testContext(t), refuses, none, none, none), client.ErrNoProof, "one alone may lie")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := read(ctx, refuses, down, down, down)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, client.ErrQuery)
}
