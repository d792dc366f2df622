package registry

import (
	"context"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Submitter puts operations into the log: a client.Client, or a replica's own server.
type Submitter interface {
	Submit(ctx context.Context, op []byte) (statemachine.Result, error)
}

// Do submits an operation and returns its result. The error is that of the submitter, or
// of [Result.Err]: the operation was rejected, and changed nothing.
func Do(ctx context.Context, s Submitter, o Operation) (*Result, error) {
	return submit(ctx, s, Encode(o))
}

// DoSigned is Do for an envelope.
func DoSigned(ctx context.Context, s Submitter, e *signed.Envelope) (*Result, error) {
	return submit(ctx, s, EncodeSigned(e))
}

func submit(ctx context.Context, s Submitter, op []byte) (*Result, error) {
	res, err := s.Submit(ctx, op)
	if err != nil {
		return nil, err
	}
	r, err := DecodeResult(res)
	if err != nil {
		return nil, err
	}
	return r, r.Err()
}
