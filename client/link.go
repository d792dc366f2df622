package client

import (
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/pbft"
)

// link is a client's place on the line to one replica.
type link struct {
	client   *Client
	line     *line
	id       pbft.ReplicaID
	name     string
	identity uint32 // what the client is called there

	// Guarded by the client's mutex.
	up  bool
	err error // why the last session ended

	// Guarded by the line's mutex.
	queue []*pbft.Request
	asked bool        // to be attached, and not answered yet
	again *time.Timer // to ask again, after a refusal
}

// rest ends the attaching, with the line's mutex held: nothing is asked any more in the
// session that it was for.
func (k *link) rest() {
	k.asked = false
	if k.again != nil {
		k.again.Stop()
		k.again = nil
	}
}

// send queues a request. The client's mutex is held.
func (k *link) send(r *pbft.Request) { k.line.send(k, r) }

// cameUp tells the client that the replica can be used.
func (k *link) cameUp(primary uint32) {
	c := k.client
	c.mu.Lock()
	defer c.mu.Unlock()
	k.up, k.err = true, nil
	c.stats.Connects++
	c.hint(k.id, primary)
	now := c.cfg.Now()
	for _, p := range c.requests {
		switch {
		case p.live == 0:
		case p.attempts == 0:
			p.next = now
		default:
			k.send(p.request) // its reply may have been given while we were away
		}
	}
	close(c.connected)
	c.connected = make(chan struct{})
	c.wake()
}

// down tells the client that the replica cannot be used: what was sent only there, and
// what a favourite was to answer, goes to everybody at once.
func (k *link) down(err error, favourite bool) {
	c := k.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.up && !c.closed {
		c.logger.Info("session ended", "replica", k.name, "error", err)
		now := c.cfg.Now()
		for _, p := range c.requests {
			if p.attempts == 1 && (p.target == k.id || favourite) {
				p.next = now
			}
		}
		c.wake()
	}
	k.up, k.err = false, err
	close(c.connected)
	c.connected = make(chan struct{})
}

// attached tells the client what became of its attachment.
func (k *link) attached(why api.Reason, primary uint32) {
	if why == api.Reason_REASON_UNSPECIFIED {
		k.cameUp(primary)
		return
	}
	k.down(&RefusedError{why}, false)
	k.line.attachAgain(k)
}
