package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/parley-bft/parley/statemachine"
)

// post carries a descent's requests to its peers and brings the answers.
type post interface {
	// send begins a try, and says how to call it off.
	send(t *try, req []byte)
	// next waits for an answer; nil says that a tick has passed.
	next() (*answer, error)
	// close calls off everything. When it returns nobody is asking.
	close()
}

func newPost(ctx context.Context, w *descent) post {
	if x := w.want.Exchange; x != nil {
		return &exchangePost{w: w, exchange: x}
	}
	p := &concurrentPost{w: w, answers: make(chan *answer, len(w.peers)), ticks: w.want.ticks}
	p.ctx, p.cancel = context.WithCancel(ctx)
	if p.ticks == nil {
		p.ticker = time.NewTicker(max(w.want.Timeout/ticksPerTimeout, 1))
		p.ticks = p.ticker.C
	}
	return p
}

// concurrentPost asks each peer on a goroutine, which also checks the answer.
type concurrentPost struct {
	w      *descent
	ctx    context.Context
	cancel context.CancelFunc
	// answers has room for one of each peer, so nobody who asks is ever held up.
	answers chan *answer
	asking  sync.WaitGroup
	ticks   <-chan time.Time
	ticker  *time.Ticker // nil in tests, which have ticks of their own
}

func (p *concurrentPost) send(t *try, req []byte) {
	ctx, cancel := context.WithTimeout(p.ctx, p.w.want.Timeout<<t.slow)
	t.cancel = cancel
	p.asking.Go(func() {
		defer cancel()
		b, err := p.w.want.Peers[t.peer].Ask(ctx, req)
		p.answers <- p.w.judge(t, b, err)
	})
}

func (p *concurrentPost) next() (*answer, error) {
	select {
	case a := <-p.answers:
		return a, nil
	case <-p.ticks:
		return nil, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

func (p *concurrentPost) close() {
	p.cancel()
	p.asking.Wait()
	if p.ticker != nil {
		p.ticker.Stop()
	}
}

// exchangePost leaves asking, and time, to a statemachine.StateExchange.
type exchangePost struct {
	w        *descent
	exchange statemachine.StateExchange
	tries    []*try // under way
	off      []*try // called off
}

func (p *exchangePost) send(t *try, req []byte) {
	p.tries = append(p.tries, t)
	t.cancel = func() {
		if i := slices.Index(p.tries, t); i >= 0 {
			p.tries = slices.Delete(p.tries, i, i+1)
			p.off = append(p.off, t)
			p.exchange.CallOff(t.peer)
		}
	}
	p.exchange.Ask(t.peer, req, ticksPerTimeout<<t.slow)
}

func (p *exchangePost) next() (*answer, error) {
	if len(p.off) > 0 {
		t := p.off[0]
		p.off = p.off[1:]
		return p.w.judge(t, nil, context.Canceled), nil
	}
	e, err := p.exchange.Next()
	if err != nil || e.Peer < 0 {
		return nil, err
	}
	i := slices.IndexFunc(p.tries, func(t *try) bool { return t.peer == e.Peer })
	if i < 0 {
		return nil, nil // it was not asked: let time pass
	}
	t := p.tries[i]
	p.tries = slices.Delete(p.tries, i, i+1)
	return p.w.judge(t, e.Answer, e.Err), nil
}

func (p *exchangePost) close() {
	for _, t := range p.tries {
		p.exchange.CallOff(t.peer)
	}
	p.tries = nil
}
