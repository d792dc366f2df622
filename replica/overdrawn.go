package replica

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// overdrawn remembers which clients ask for more than their share, so that a flood costs no
// signature checks. When the pool has refused a client's request because the client has
// all the room that is due to it, its further requests are refused with the same reason
// before anything dear is done with them, but for as many as places may have become free:
// one for each of its requests that was answered since, and one more with every
// probePause, because requests leave the pool in other ways too.
//
// Nobody gets in here by what others send in its name. The pool refuses for this reason only a
// client of whom it holds MaxPoolPerClient requests, or a share of a full pool, and each
// of these had a good signature, whichever way it came. Who keeps to what a session may have in
// flight never has so many.
//
// It is safe for concurrent use, and costs one atomic load while nobody is in it.
type overdrawn struct {
	now func() time.Time

	count   atomic.Int32 // of clients
	mu      sync.Mutex
	clients map[crypto.PublicKey]*overdraft
	swept   time.Time
}

// overdraft is one of these clients.
type overdraft struct {
	why    api.Reason
	free   int       // requests that may pass
	probed time.Time // when the last one was let pass for the time that had gone by
	last   time.Time // of the pool's last refusal
}

const (
	// probePause is what refused clients are told to wait for.
	probePause = 100 * time.Millisecond
	// overdrawnFor is for how long a client is remembered after the pool's last refusal.
	overdrawnFor = time.Second
	// maxOverdrawn bounds the clients that are remembered: of others every signature is
	// checked.
	maxOverdrawn = 4096
)

func newOverdrawn(now func() time.Time) *overdrawn {
	return &overdrawn{now: now, clients: make(map[crypto.PublicKey]*overdraft)}
}

// note is told of every refusal by the pool.
func (o *overdrawn) note(client crypto.PublicKey, drop pbft.Drop) {
	why := api.Reason_REASON_BUSY
	switch drop {
	case pbft.DropClientFull:
		why = api.Reason_REASON_CLIENT_BUSY
	case pbft.DropPoolFull: // a client within its share finds room in a full pool too
	default:
		return
	}
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.clients[client]
	if d == nil {
		if !o.hasRoom(now) {
			return
		}
		d = new(overdraft)
		o.clients[client] = d
		o.count.Add(1)
	}
	*d = overdraft{why: why, probed: now, last: now}
}

// hasRoom forgets, if need be and now and then, who was refused long ago.
func (o *overdrawn) hasRoom(now time.Time) bool {
	if len(o.clients) >= maxOverdrawn && now.Sub(o.swept) >= probePause {
		o.swept = now
		for client, d := range o.clients {
			if now.Sub(d.last) >= overdrawnFor {
				o.forget(client)
			}
		}
	}
	return len(o.clients) < maxOverdrawn
}

func (o *overdrawn) forget(client crypto.PublicKey) {
	delete(o.clients, client)
	o.count.Add(-1)
}

// answered is told of the replies of every block: each makes room for another request.
func (o *overdrawn) answered(replies []statemachine.Reply) {
	if o.count.Load() == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range replies {
		if d := o.clients[replies[i].Client]; d != nil {
			d.free++
		}
	}
}

// refuses tells why a further request of a client is refused, unspecified if it is not.
// checked says whether its signature was found good before: such a request costs
// nothing, and may be one that the pool has.
func (o *overdrawn) refuses(client crypto.PublicKey, checked func() bool) api.Reason {
	if o.count.Load() == 0 {
		return api.Reason_REASON_UNSPECIFIED
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.clients[client]
	if d == nil {
		return api.Reason_REASON_UNSPECIFIED
	}
	now := o.now()
	if now.Sub(d.last) >= overdrawnFor {
		o.forget(client)
		return api.Reason_REASON_UNSPECIFIED
	}
	switch {
	case d.free > 0:
		d.free--
	case now.Sub(d.probed) >= probePause:
		d.probed = now
	case checked():
	default:
		return d.why
	}
	return api.Reason_REASON_UNSPECIFIED
}
