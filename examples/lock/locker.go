package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine"
)

// What the service says when it refuses; test with errors.Is.
var (
	errHeld    = errors.New("the lock is held")
	errNotHeld = errors.New("the lock is not held under this token")
	errFree    = errors.New("the lock is free")
	errFull    = errors.New("too many leases")
)

// locker is the service as one client sees it. The client's key is the owner of
// the leases.
type locker struct{ client *client.Client }

// acquire takes the lock. If somebody has it, the lease is theirs and the error
// wraps errHeld. Whoever got it knows that it was theirs once; whether it still is,
// the token tells what the lock protects.
func (l locker) acquire(ctx context.Context, name string, length time.Duration) (lease, error) {
	return l.do(ctx, operation{kind: acquire, name: name, lease: length})
}

// renew makes the lease last for length from now, if it has not ended.
func (l locker) renew(ctx context.Context, name string, token uint64, length time.Duration) (lease, error) {
	return l.do(ctx, operation{kind: renew, name: name, token: token, lease: length})
}

// release gives the lock back before its time.
func (l locker) release(ctx context.Context, name string, token uint64) error {
	_, err := l.do(ctx, operation{kind: release, name: name, token: token})
	return err
}

// inspect returns the present lease, or errFree.
func (l locker) inspect(ctx context.Context, name string) (lease, error) {
	return l.do(ctx, operation{kind: inspect, name: name})
}

// await takes the lock as soon as it can be had.
func (l locker) await(ctx context.Context, name string, length time.Duration) (lease, error) {
	for {
		got, err := l.acquire(ctx, name, length)
		if !errors.Is(err, errHeld) {
			return got, err
		}
		// The holder may give it back early, so asking is worth while before the lease
		// ends.
		left := time.Until(time.Unix(0, int64(got.Expires)))
		select {
		case <-time.After(min(max(left, time.Millisecond), 20*time.Millisecond)):
		case <-ctx.Done():
			return lease{}, fmt.Errorf("waiting for lock %q: %w", name, ctx.Err())
		}
	}
}

func (l locker) do(ctx context.Context, o operation) (lease, error) {
	result, err := l.client.Submit(ctx, o.encode())
	if err != nil {
		return lease{}, fmt.Errorf("lock %q: %w", o.name, err)
	}
	var refusal error
	switch result.Code {
	case statemachine.CodeOK:
		if o.kind == release {
			return lease{}, nil
		}
	case codeHeld:
		refusal = errHeld
	case codeNotHeld:
		return lease{}, errNotHeld
	case codeFree:
		return lease{}, errFree
	case codeFull:
		return lease{}, errFull
	default:
		return lease{}, fmt.Errorf("lock %q: %v", o.name, result.Code)
	}
	got, err := decodeLease(result.Data)
	return got, errors.Join(refusal, err)
}
