package replica

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// askMore fills up the requests under way.
func (t *transfer) askMore() {
	if t.wait > 0 {
		return
	}
	switch t.phase {
	case transferManifest:
		// Two at once: one peer that keeps silent costs nothing.
		for len(t.asked) < 2 {
			p, ok := t.choose(1)
			if !ok {
				return
			}
			t.ask(p, 0, &pbft.GetManifest{Height: t.bundle.Height()})
		}
	case transferChunks:
		for len(t.missing) > 0 && len(t.asked)+t.checking < t.cfg.InFlight {
			p, ok := t.choose(t.cfg.PerPeer)
			if !ok {
				break
			}
			i := t.missing[len(t.missing)-1]
			t.missing = t.missing[:len(t.missing)-1]
			t.ask(p, i, &pbft.GetChunk{Height: t.bundle.Height(), Index: i})
		}
		if t.got == t.total {
			t.phase, t.superseding = transferInstalling, false
			t.n.host.Install(t.bundle)
		}
	}
}

func (t *transfer) ask(p pbft.ReplicaID, index uint32, m pbft.Message) {
	t.peers[p].asked++
	t.asked = append(t.asked, ask{peer: p, index: index, left: t.cfg.Deadline << t.slow})
	t.n.host.Send(p, m)
}

// choose returns the peer to ask next: one that never sent anything wrong before
// one that did, then the one with the fewest failures, then the least busy one.
func (t *transfer) choose(limit int) (best pbft.ReplicaID, ok bool) {
	worse := func(a, b *transferPeer) bool {
		switch {
		case a.poisoned != b.poisoned:
			return a.poisoned
		case a.failures != b.failures:
			return a.failures > b.failures
		}
		return a.asked > b.asked
	}
	honest := false // somebody who was never wrong could be asked, now or later
	n := len(t.peers)
	for k := range n {
		id := pbft.ReplicaID((t.turn + k) % n)
		p := &t.peers[id]
		if id == t.n.cfg.Core.Self {
			continue
		}
		honest = honest || !p.poisoned && p.pause == 0
		if p.asked >= limit || p.pause > 0 {
			continue
		}
		if !ok || worse(&t.peers[best], p) {
			best, ok = id, true
		}
	}
	if ok && honest && t.peers[best].poisoned {
		return 0, false // wait for one that is busy
	}
	t.turn = (int(best) + 1) % n
	return best, ok
}

// answered finds and removes what a peer was asked for.
func (t *transfer) answered(from pbft.ReplicaID, index uint32) bool {
	for i, a := range t.asked {
		if a.peer == from && a.index == index {
			t.asked = append(t.asked[:i], t.asked[i+1:]...)
			t.peers[from].asked--
			return true
		}
	}
	return false
}

// absent notes that a peer says it does not have what it was asked for.
func (t *transfer) absent(from pbft.ReplicaID, index uint32) {
	t.peers[from].pause, t.peers[from].absent = t.cfg.Pause, true
	if t.gone() {
		t.n.core.TransferUnserved(t.bundle, &t.n.out)
	}
	t.again(index)
	t.askMore()
}

// gone tells whether nobody who can be relied on may have the snapshot any more: peers
// keep the last ones only, and each can lose them. A traitor that says so by itself must
// not make a transfer begin anew whenever a later snapshot is certified.
func (t *transfer) gone() bool {
	q := t.n.cfg.Core.Quorums
	left := crypto.NewBitmap(q.N())
	for i := range t.peers {
		if id := pbft.ReplicaID(i); id != t.n.cfg.Core.Self && !t.peers[i].absent {
			left.Set(id)
		}
	}
	return !q.IsBlocking(left)
}

func (t *transfer) poison(from pbft.ReplicaID) { t.peers[from].poisoned = true }
