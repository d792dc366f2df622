package client

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/client/answers"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// receive takes a message of one replica. Nothing in it is believed.
func (l *line) receive(m *api.ReplicaMessage) {
	l.address(m)
	for i := 0; i < len(m.Replies); {
		// Those of one client are taken together.
		k, end := l.links[i], i+1
		for end < len(m.Replies) && l.links[end] == k {
			end++
		}
		if k != nil {
			k.replies(m.Replies[i:end])
		}
		i = end
	}
	rest := l.links[len(m.Replies):]
	for i, r := range m.Refusals {
		if k := rest[i]; k != nil {
			k.refusal(r)
		}
	}
	rest = rest[len(m.Refusals):]
	for i, a := range m.Attached {
		if k := rest[i]; k != nil {
			k.attached(a.Reason, m.Primary)
		}
	}
	clear(l.links)
}

// address finds out for whom the entries of a message are, and passes on whom the
// replica takes for the primary, if that is new.
func (l *line) address(m *api.ReplicaMessage) {
	var all []*link
	l.mu.Lock()
	l.links = l.links[:0]
	for _, r := range m.Replies {
		l.links = append(l.links, l.clients[r.Identity])
	}
	for _, r := range m.Refusals {
		l.links = append(l.links, l.clients[r.Identity])
	}
	for _, a := range m.Attached {
		k := l.clients[a.Identity]
		if k != nil && k.asked {
			k.asked = false
		} else {
			k = nil // nobody asked, or it was answered
		}
		l.links = append(l.links, k)
	}
	changed := m.Primary != l.primary
	if changed {
		l.primary = m.Primary
		for _, k := range l.clients {
			all = append(all, k)
		}
	}
	l.mu.Unlock()
	if changed {
		l.transport.choose()
	}
	for _, k := range all {
		k.client.mu.Lock()
		k.client.hint(l.id, m.Primary)
		k.client.mu.Unlock()
	}
}

// hint notes whom a replica takes for the primary. The mutex is held.
func (c *Client) hint(from pbft.ReplicaID, primary uint32) {
	c.primary.hint(from, pbft.ReplicaID(min(primary, crypto.MaxReplicas)))
}

// replies takes replies that are said to be to requests of ours.
func (k *link) replies(list []*api.Reply) {
	c, l := k.client, k.line
	c.mu.Lock()
	l.heard = l.heard[:0]
	for _, r := range list {
		// What is not found is known by now, or nothing of ours.
		if p := c.find(r.Request); p != nil {
			l.heard = append(l.heard, heard{request: p, message: r})
		}
	}
	c.mu.Unlock()
	for i := range l.heard {
		l.heard[i].understand(c.epoch) // hashes the results: not under the mutex
	}
	if len(l.heard) > 0 {
		c.mu.Lock()
		for i := range l.heard {
			c.hear(k.id, &l.heard[i])
		}
		c.mu.Unlock()
		clear(l.heard)
	}
}

// find returns the request under way with that digest, with the mutex held.
func (c *Client) find(digest []byte) *pending {
	if len(digest) != crypto.DigestSize {
		c.stats.Strange++
		return nil
	}
	return c.requests[pbft.Digest(digest)]
}

// heard is what a replica said about a request under way.
type heard struct {
	request *pending
	message *api.Reply
	reply   statemachine.Reply // without the results: they are decoded if they are true
	key     crypto.Digest
	strange bool // it can be no reply to the request
}

// understand fills in the rest of h from its message.
func (h *heard) understand(epoch pbft.Epoch) {
	p, m := h.request, h.message
	if m.Outcome < api.Outcome_OUTCOME_EXECUTED || m.Outcome > api.Outcome_OUTCOME_QUARANTINED {
		h.strange = true // and it may not fit a Status
		return
	}
	h.reply = statemachine.Reply{
		Client: p.request.Client, Seq: m.Seq, Request: p.digest, Height: m.Height, Status: statemachine.Status(m.Outcome),
	}
	switch {
	case !answers.FitsEncoded(p.request, &h.reply, m.Results):
		h.strange = true
	case pbft.Epoch(m.Epoch) != epoch:
		// Counted in other weights than ours; all that it can tell is that.
		h.key = crypto.Hash("parley/client/other-epoch")
	default:
		h.key = answers.KeyOf(&h.reply, m.Results)
	}
}

// hear counts what a replica said. The mutex is held.
func (c *Client) hear(from pbft.ReplicaID, h *heard) {
	p := h.request
	if !h.strange && p.heard.IsZero() {
		p.heard = c.cfg.Now()
	}
	switch {
	case h.strange:
		c.stats.Strange++
		c.distrust(p)
	case c.requests[p.digest] != p: // its outcome became known meanwhile
	case !p.said.Hear(c.quorums, from, h.key):
		if p.said.Others(h.key) > 0 {
			c.distrust(p)
		}
	case pbft.Epoch(h.message.Epoch) != c.epoch:
		c.fence(ErrOtherEpoch)
		c.drop(p, ErrOtherEpoch)
	default:
		if h.reply.Status.Ran() {
			h.reply.Results, _ = statemachine.DecodeResults(h.message.Results, len(p.request.Ops))
		}
		c.settle(p, &h.reply, h.key)
	}
}

// distrust has the other replicas asked for their replies at once: what was heard of a
// request shows that somebody lies, or that one of them is behind. The mutex is held.
func (c *Client) distrust(p *pending) {
	if p.attempts == 1 && c.requests[p.digest] == p {
		p.lacking, p.next = true, c.cfg.Now()
		c.wake()
	}
}

// settle acts on a reply that is true. The mutex is held.
func (c *Client) settle(p *pending, r *statemachine.Reply, key crypto.Digest) {
	if others := p.said.Others(key); others > 0 {
		c.stats.Disagreement += uint64(others)
		c.transport.disappointed(func(id pbft.ReplicaID) bool { said := p.said.Of(id); return !said.IsZero() && said != key })
	}
	switch answers.Of(r.Status) {
	case answers.Ran:
		c.gaps = 0
		now := c.cfg.Now()
		c.patience.took(min(p.heard.Sub(p.sent), c.cfg.MaxRetry)) // Outcome may ask hours later
		if p.numbered {
			c.admission.few = fewOf(int(c.transport.carried.Load()))
			c.admission.outcome(now, now.Sub(p.came), len(p.request.Ops), c.waitingCalls()+c.operations-p.live)
			c.refuseExcess(c.admission.excess(c.waitingCalls() + c.operations - p.live))
			c.packing.outcome(now, p.live, c.numbers.operations()-p.live, c.patience.usual)
		}
		if p.attempts == 1 {
			c.primary.delivers(p.target)
		}
		c.succeed(p, r)
	case answers.Never:
		c.stats.Outcomes++
		for _, call := range p.calls {
			if call != nil {
				call.finish(Answer{}, ErrExpired)
			}
		}
		c.late.put(p, r)
		c.drop(p, ErrExpired) // none is left to be told; it only forgets
	case answers.Again:
		// Nothing is consumed: try again, later and everywhere.
		p.reason = &RejectedError{Status: r.Status, Height: pbft.Height(r.Height)}
		p.forgetAnswers()
		p.next = c.cfg.Now().Add(jitter(p.pause))
	default:
		if p.numbered {
			c.gone(r.Status)
		}
		c.drop(p, &RejectedError{Status: r.Status, Height: pbft.Height(r.Height)})
	}
	c.wake()
}

// succeed hands out the results.
func (c *Client) succeed(p *pending, r *statemachine.Reply) {
	c.stats.Outcomes++
	if p.live < len(p.calls) {
		c.late.put(p, r)
	}
	for i, call := range p.calls {
		if call != nil {
			call.finish(answerOf(r, i), nil)
		}
	}
	c.leave(p, p.live)
	c.forget(p)
}

func answerOf(r *statemachine.Reply, op int) Answer {
	return Answer{Result: r.Results[op], Ref: Ref{Height: pbft.Height(r.Height), Request: r.Request, Op: op}}
}

// gone notes that a number of ours cannot be used any more. One may have been
// lost to a long wait; two in a row, or one that somebody else used, mean that
// there is another client with our key, and it is the later one.
func (c *Client) gone(why statemachine.Status) {
	if why == statemachine.Quarantined {
		return
	}
	if c.gaps++; c.gaps >= 2 || why == statemachine.Conflict {
		c.fence(fmt.Errorf("%w: number %d of key %s is taken", ErrSuperseded, c.numbers.next-1, c.signer.Public()))
	}
}

// fence lets nothing be sent any more.
func (c *Client) fence(err error) {
	if c.fenced != nil {
		return
	}
	c.fenced = err
	for _, call := range c.waiting {
		call.finish(Answer{}, err)
	}
	c.waiting, c.waitingBytes, c.withdrawn = nil, 0, 0
}

func (k *link) refusal(m *api.Refusal) {
	c := k.client
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Refusals++
	p := c.find(m.Request)
	if p == nil || p.live == 0 {
		return
	}
	switch m.Reason {
	case api.Reason_REASON_BUSY, api.Reason_REASON_CLIENT_BUSY, api.Reason_REASON_UNAVAILABLE:
		p.refused[k.id] = m.Reason
		p.reason = &RefusedError{m.Reason}
		if p.attempts == 1 && p.target == k.id {
			hint := time.Duration(m.RetryAfterMs) * time.Millisecond
			p.next = c.cfg.Now().Add(jitter(min(max(hint, 10*time.Millisecond), c.cfg.MaxRetry)))
			c.wake()
		}
	case api.Reason_REASON_MALFORMED, api.Reason_REASON_BAD_SIGNATURE, api.Reason_REASON_FOREIGN_CLIENT,
		api.Reason_REASON_NOT_ADMITTED, api.Reason_REASON_TOO_LARGE, api.Reason_REASON_EXPIRED:
		if p.isRefused(c.quorums, k.id, m.Reason) {
			c.drop(p, &RefusedError{m.Reason})
			c.wake()
		}
	default:
		c.stats.Strange++
	}
}

// lateAnswers remembers outcomes that came when nobody waited any more, for
// [Client.Outcome]. It is bounded; the oldest go first.
type lateAnswers struct {
	byDigest map[pbft.Digest]*statemachine.Reply
	order    []*statemachine.Reply
	bytes    int
}

const (
	maxLateAnswers = 1024
	maxLateBytes   = 16 << 20
)

func replyBytes(r *statemachine.Reply) int {
	n := 256
	for i := range r.Results {
		n += 32 + len(r.Results[i].Data)
	}
	return n
}

func (a *lateAnswers) put(p *pending, r *statemachine.Reply) {
	if a.byDigest == nil {
		a.byDigest = make(map[pbft.Digest]*statemachine.Reply)
	}
	if a.byDigest[p.digest] != nil {
		return
	}
	kept := *r
	a.byDigest[p.digest] = &kept
	a.order = append(a.order, &kept)
	a.bytes += replyBytes(&kept)
	for len(a.order) > maxLateAnswers || a.bytes > maxLateBytes {
		oldest := a.order[0]
		a.order[0] = nil
		a.order = a.order[1:]
		a.bytes -= replyBytes(oldest)
		delete(a.byDigest, oldest.Request)
	}
}
