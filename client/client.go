package client

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
)

// Client is a connection to a cluster. It is safe for concurrent use: many
// goroutines that submit at once is what it is made for.
type Client struct {
	cfg     Config
	quorums *pbft.QuorumSystem
	signer  *ed25519.Signer
	context crypto.Context
	epoch   pbft.Epoch
	logger  *slog.Logger

	transport *Transport
	private   bool // nobody else uses it: it ends with the client
	links     []*link

	ctx     context.Context // ends with Close
	cancels context.CancelFunc
	running sync.WaitGroup
	kick    chan struct{}

	closing  sync.Once
	closeErr error

	mu           sync.Mutex
	closed       bool
	fenced       error // ErrSuperseded or ErrOtherEpoch: nothing is sent any more
	waiting      []*Call
	waitingBytes int
	withdrawn    int // finished ones among waiting
	packing      packing
	enough       int // so many operations waiting are worth a look of the loop
	requests     map[pbft.Digest]*pending
	live         int // of those, how many somebody waits for
	operations   int // in these, that somebody waits for
	admission    admission
	numbers      numbers
	gaps         int // requests in a row whose number was gone
	primary      primaryGuess
	patience     patience
	late         lateAnswers
	connected    chan struct{} // closed and replaced when a link comes up
	stats        Stats
}

// Dial checks the configuration and connects. It returns when replicas that weigh
// more than F are connected, or fails with ErrUnavailable and the context's error
// when ctx ends before that; ctx plays no part later. ErrNotAdmitted if the cluster
// file lists its clients and not this one.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg, _ = cfg.carried()
	cfg = cfg.withDefaults()
	public := cfg.Key.Public()
	if !cfg.Roster.Admits(public) {
		return nil, fmt.Errorf("%w: the cluster file does not list key %s: use a key that it lists, or name this one when the cluster is made (parley init --admit)", ErrNotAdmitted, public.Hex())
	}
	quorums, err := pbft.NewQuorumSystem(cfg.Roster.Weights())
	if err != nil {
		return nil, err
	}
	transport, private := cfg.Transport, false
	if transport == nil {
		private = true
		transport, err = NewTransport(TransportConfig{
			Roster: cfg.Roster, Key: cfg.Key, BackoffMin: cfg.BackoffMin, BackoffMax: cfg.BackoffMax, Dial: cfg.Dial, Logger: cfg.Logger,
		})
		if err != nil {
			return nil, err
		}
	}
	first := cfg.FirstSequence
	orDefault(&first, max(1, uint64(pbft.TimeOf(cfg.Now()))))
	c := &Client{
		cfg: cfg, transport: transport, private: private, quorums: quorums, signer: ed25519.NewSigner(cfg.Key), context: cfg.Roster.Context(crypto.KindRequest),
		epoch: pbft.Epoch(cfg.Roster.Cluster.Epoch), logger: cfg.Logger, kick: make(chan struct{}, 1),
		requests:  make(map[pbft.Digest]*pending),
		numbers:   numbers{next: first, window: uint64(cfg.Roster.Cluster.Parameters.MaxInFlight)},
		primary:   newPrimaryGuess(quorums),
		packing:   newPacking(cfg.Linger),
		admission: admission{most: cfg.MaxQueueing},
		connected: make(chan struct{}),
	}
	c.ctx, c.cancels = context.WithCancel(context.Background())
	if err := transport.add(c); err != nil {
		c.cancels()
		if private {
			_ = transport.Close()
		}
		return nil, err
	}
	c.running.Go(c.run)
	if err := c.awaitLinks(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// awaitLinks waits until a blocking set is connected.
func (c *Client) awaitLinks(ctx context.Context) error {
	for {
		c.mu.Lock()
		set := crypto.NewBitmap(len(c.links))
		var missing []string
		for _, l := range c.links {
			if l.up {
				set.Set(l.id)
			} else if l.err != nil {
				missing = append(missing, fmt.Sprintf("%s: %v", l.name, l.err))
			}
		}
		changed := c.connected
		c.mu.Unlock()
		if c.quorums.IsBlocking(set) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: connected are %v, %w; %s", ErrUnavailable, set, context.Cause(ctx), strings.Join(missing, "; "))
		}
	}
}

// Close ends all calls and connections and waits for every goroutine. Calls under
// way end in ErrClosed, and those that were sent in ErrOutcomeUnknown too. It may
// be called more than once.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		for _, call := range c.waiting {
			call.finish(Answer{}, ErrClosed)
		}
		c.waiting, c.waitingBytes, c.withdrawn = nil, 0, 0
		for _, p := range c.requests {
			c.drop(p, ErrClosed)
		}
	}
	c.mu.Unlock()
	c.cancels()
	c.running.Wait()
	c.closing.Do(func() {
		if c.private {
			c.closeErr = c.transport.Close()
		} else {
			c.transport.remove(c)
		}
	})
	return c.closeErr
}

// refuse tells why nothing can be sent now, with the mutex held.
func (c *Client) refuse(ctx context.Context, call *Call) error {
	limit, size := int(c.cfg.Roster.Cluster.Parameters.MaxOperationBytes), len(call.op)
	switch {
	case c.closed:
		return ErrClosed
	case c.fenced != nil:
		return c.fenced
	case size > limit:
		return &TooLargeError{Size: size, Limit: limit}
	case ctx.Err() != nil:
		return notSent(context.Cause(ctx))
	case c.waitingCalls() >= c.cfg.MaxWaiting || c.waitingBytes+size > c.cfg.MaxWaitingBytes:
		return c.overloaded(0, max(c.patience.usual, c.cfg.Retry)/2)
	case !c.admission.admits(call.came, c.waitingCalls()+c.operations):
		return c.overloaded(max(c.admission.limit, c.admission.freeze), c.admission.retryAfter())
	}
	return nil
}

func (c *Client) overloaded(limit int, again time.Duration) error {
	c.stats.Overloaded++
	return &OverloadedError{
		Waiting: c.waitingCalls(), WaitingBytes: c.waitingBytes, UnderWay: c.operations, Limit: limit, RetryAfter: jitter(again),
	}
}

// refuseExcess ends so many operations, the latest, as far as they were not sent yet. The
// mutex is held.
func (c *Client) refuseExcess(n int) {
	for ; n > 0 && len(c.waiting) > 0; n-- {
		last := len(c.waiting) - 1
		call := c.waiting[last]
		c.waiting[last], c.waiting = nil, c.waiting[:last]
		if call.finished {
			c.withdrawn--
			n++
			continue
		}
		c.waitingBytes -= len(call.op)
		call.finish(Answer{}, c.overloaded(c.admission.limit, c.admission.retryAfter()))
	}
}

func (c *Client) waitingCalls() int { return len(c.waiting) - c.withdrawn }

func notSent(cause error) error { return fmt.Errorf("%w: %w", ErrNotSent, cause) }

// wake makes the loop look at everything again.
func (c *Client) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// cancel ends a call whose context has ended.
func (c *Client) cancel(call *Call, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.finished {
		return
	}
	p := call.request
	if p == nil {
		call.finish(Answer{}, notSent(cause))
		c.waitingBytes -= len(call.op)
		if c.withdrawn++; c.withdrawn > len(c.waiting)/2 {
			c.waiting = slices.DeleteFunc(c.waiting, func(w *Call) bool { return w.finished })
			c.withdrawn = 0
		}
		return
	}
	p.calls[call.index] = nil
	c.leave(p, 1)
	if p.live == 0 && p.attempts == 0 {
		// Nobody has seen it, and now nobody ever will. (What shares it with others
		// that still wait goes out with them.)
		c.forget(p)
		call.finish(Answer{}, notSent(cause))
		return
	}
	if p.reason != nil {
		cause = fmt.Errorf("%w; the last thing heard: %w", cause, p.reason)
	}
	call.finish(Answer{}, &UnknownError{Token: Token{p.request, call.index}, Reason: cause})
	if p.live == 0 && !p.numbered {
		c.forget(p)
	}
	// A numbered one that nobody waits for stays: the outcome may still come, and
	// its number holds the low-water mark so that the answer can be asked for.
	c.wake()
}

// drop ends all calls of a request without an outcome.
func (c *Client) drop(p *pending, reason error) {
	for i, call := range p.calls {
		switch {
		case call == nil:
		case p.attempts == 0:
			call.finish(Answer{}, reason)
		default:
			call.finish(Answer{}, &UnknownError{Token: Token{p.request, i}, Reason: reason})
		}
	}
	c.leave(p, p.live)
	c.forget(p)
}

// join notes that n more callers wait for a request, leave that n do not any more.
func (c *Client) join(p *pending, n int) {
	if p.live == 0 {
		c.live++
	}
	p.live += n
	c.operations += n
}

func (c *Client) leave(p *pending, n int) {
	if n == 0 {
		return
	}
	p.live -= n
	c.operations -= n
	if p.live == 0 {
		c.live--
	}
}

// forget removes a request.
func (c *Client) forget(p *pending) {
	delete(c.requests, p.digest)
	c.numbers.remove(p)
}

// Stats are what a Client has seen. All but those of now only grow.
type Stats struct {
	Requests     uint64 // signed and sent
	Operations   uint64 // in them
	Retries      uint64 // further attempts
	Outcomes     uint64 // requests whose outcome became known
	Refusals     uint64 // heard from replicas
	Overloaded   uint64 // operations refused here (OverloadedError)
	Disagreement uint64 // answers that contradict the outcome
	Strange      uint64 // messages that make no sense
	Connects     uint64 // sessions opened
	Reads        uint64 // begun by Read
	ReadsLogged  uint64 // of those, that ended in the log
	UnderWay     int    // requests without an outcome, now
	Limit        int    // operations that may be without an outcome, now; 0: no limit (Config.MaxQueueing)
	Connected    int    // replicas, now
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.UnderWay, s.Limit = len(c.requests), c.admission.limit
	for _, l := range c.links {
		if l.up {
			s.Connected++
		}
	}
	return s
}
