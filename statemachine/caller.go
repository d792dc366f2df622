package statemachine

import (
	"context"

	"github.com/parley-bft/parley/crypto"
)

type callerKey struct{}

// WithCaller returns a context that says whose query it is about. The replica's client
// service calls it with the key of the client's TLS certificate.
func WithCaller(ctx context.Context, client crypto.PublicKey) context.Context {
	return context.WithValue(ctx, callerKey{}, client)
}

// CallerFrom returns who sent the query that ctx is about; false if nobody said, as with
// a query that the program itself makes. It is for [Querier.Query]: who may know what may
// depend on the caller, though what is answered to two callers who may must not.
func CallerFrom(ctx context.Context) (client crypto.PublicKey, ok bool) {
	client, ok = ctx.Value(callerKey{}).(crypto.PublicKey)
	return client, ok
}
