package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// CertifiedOptions say how old a certified answer may be.
type CertifiedOptions struct {
	// MaxAge bounds the age of the state by its block's time and this machine's clock: so
	// it must allow for what clocks differ, and for how far apart checkpoints are: a second
	// with default parameters. A cluster that executes nothing makes a checkpoint when it
	// is asked for one, which this does; a faulty primary may not. 0 is no bound.
	MaxAge time.Duration
	// MinHeight is a height that the state must have reached: that of an own write, or
	// what [Client.Read] returned. A younger one is waited for as long as ctx permits.
	MinHeight pbft.Height
}

// maxRefreshes is in how many rounds a state is too old before it is given up.
const maxRefreshes = 16

var (
	// ErrTooOld: no replica has a certified state that is new enough.
	ErrTooOld = errors.New("no certified state is new enough")
	// ErrNoProof: no replica proves anything of its state, and asking again is no use.
	ErrNoProof = errors.New("no proof of the state is to be had")
)

// ReadCertified returns what the application's state mapped key to at a checkpoint, as
// one replica proves it: value and absence are true of the state that the proof names,
// whoever sent it, and the proof can be shown to others ([receipt.State.Verify]). It is no
// linearizable read: how much later than that state it is, opts bound. If one replica has
// no proof, or a bad one, another is asked.
//
// Errors: ErrTooOld, with the context's error if it ended; ErrQuery, if more weight than may
// be faulty says that this client may not read the key, under an access policy, or that it
// is none, with the words of the application if as much weight says them alike, and else
// with what each says; ErrNoProof, if the application proves nothing; ErrClosed.
func (c *Client) ReadCertified(ctx context.Context, key []byte, opts CertifiedOptions) (*receipt.State, error) {
	pause := c.cfg.BackoffMin
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var last []string // the problems of the round before
	refreshes := 0    // rounds in which all that was wrong was the age
	ended := func() error {
		return fmt.Errorf("%w: %w; %s", ErrTooOld, context.Cause(ctx), strings.Join(last, "; "))
	}
	for round := 0; ; round++ {
		var problems []string
		old, final := 0, 0
		refusals := newRefusals(c.quorums)
		for i := range c.links {
			l := c.links[(i+round+int(c.signer.Public()[0]))%len(c.links)] // not all clients ask the same one
			s, none, err := c.certifiedFrom(ctx, l, key, opts)
			switch {
			case err == nil && s.Height() >= opts.MinHeight && (opts.MaxAge == 0 || c.cfg.Now().Sub(s.Time()) <= opts.MaxAge):
				return s, nil
			case ctx.Err() != nil:
				return nil, ended()
			case err == nil:
				old++
				err = fmt.Errorf("its state is that of height %d, %v", s.Height(), s.Time().UTC())
			case none:
				final++
				if s := status.Convert(err); s.Code() == codes.InvalidArgument {
					refusals.add(l.id, s.Message())
				}
			}
			problems = append(problems, fmt.Sprintf("%s: %v", l.name, err))
		}
		switch why := strings.Join(problems, "; "); {
		case refusals.stand(): // of those who say so one is honest
			return nil, fmt.Errorf("%w: %s", ErrQuery, refusals.words(why))
		case final == len(c.links):
			return nil, fmt.Errorf("%w: %s", ErrNoProof, why)
		case old > 0 && old+final == len(c.links) && opts.MinHeight == 0:
			// They were asked for a checkpoint, which takes a moment.
			if refreshes++; refreshes > maxRefreshes {
				return nil, fmt.Errorf("%w: %s", ErrTooOld, why)
			}
		}
		last = problems
		timer.Reset(jitter(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ended()
		case <-c.ctx.Done():
			return nil, ErrClosed
		}
		pause = min(2*pause, receiptPause)
	}
}

// certifiedFrom asks one replica and checks what it says. none says that asking it again
// is no use.
func (c *Client) certifiedFrom(ctx context.Context, l *link, key []byte, opts CertifiedOptions) (s *receipt.State, none bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, receiptTimeout)
	defer cancel()
	q := &api.CertifiedRequest{Key: key}
	if opts.MaxAge > 0 {
		q.After = uint64(max(c.cfg.Now().Add(-opts.MaxAge).UnixNano(), 0)) // any will do that is since 1970
	}
	m, err := l.line.api.Certified(ctx, q)
	if err != nil {
		return nil, isFinal(err), err
	}
	switch m.State {
	case api.CertifiedResponse_STATE_FOUND:
	case api.CertifiedResponse_STATE_PRUNED:
		return nil, false, errors.New("the state of its newest certified checkpoint is not there")
	default:
		return nil, false, errors.New("it has no certified state yet")
	}
	if s, err = receipt.DecodeState(m.Proof); err == nil {
		err = s.Verify(c.cfg.Roster, key)
	}
	return s, err != nil, err
}

// refusals are which replicas refuse a question, and in which words. Those of one replica
// may be anything.
type refusals struct {
	quorums *pbft.QuorumSystem
	by      crypto.Bitmap
	alike   map[string]crypto.Bitmap
}

func newRefusals(q *pbft.QuorumSystem) *refusals {
	return &refusals{q, crypto.NewBitmap(q.N()), make(map[string]crypto.Bitmap)}
}

func (r *refusals) add(by pbft.ReplicaID, words string) {
	r.by.Set(by)
	if r.alike[words] == nil {
		r.alike[words] = crypto.NewBitmap(r.quorums.N())
	}
	r.alike[words].Set(by)
}

// stand tells whether an honest replica is among those who refuse.
func (r *refusals) stand() bool { return r.quorums.IsBlocking(r.by) }

// words are those that an honest replica says; all, with who said what, if none are
// certain to be.
func (r *refusals) words(all string) string {
	for words, by := range r.alike {
		if r.quorums.IsBlocking(by) {
			return words
		}
	}
	return all
}
