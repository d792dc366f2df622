package replica

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// dripping has one peer give a true part of the state at one height now and then, and the
// others nothing, once replica 3 has begun to ask for it.
type dripping struct {
	c      *storedCluster
	height uint64 // the first that is asked for
	silent bool   // the others do not even say that they have nothing
	of     map[uint64]uint64
	drips  int
	next   int64 // when the traitor gives the next part
}

func (d *dripping) tamper(m simMail) []byte {
	epoch, msg, err := pbft.Decode(m.raw)
	require.NoError(d.c.t, err)
	switch msg := msg.(type) {
	case *pbft.GetState:
		h := binary.BigEndian.Uint64(msg.Request[1:])
		if d.height == 0 {
			d.height = h
		}
		d.of[msg.ID] = h
		if h == d.height && m.to == 1 {
			// The first part is all that it hears of: after the height and the digest the number of
			// asks, then of each whether values are wanted, the turns and a piece.
			const head = 1 + 8 + 32
			one := append(append([]byte(nil), msg.Request[:head]...), 0, 0, 0, 1)
			ask := msg.Request[head+4:]
			one = append(one, ask[:3+ask[1]]...)
			return pbft.Encode(epoch, &pbft.GetState{ID: msg.ID, Request: one})
		}
	case *pbft.State:
		if m.to != 3 || d.of[msg.ID] != d.height {
			break
		}
		switch now := d.c.now.UnixMilli(); {
		case m.from == 1 && now >= d.next:
			d.next = now + 400 // of the 640 that it has
			d.drips++
			return m.raw
		case m.from == 1, d.silent:
			return nil
		}
		return pbft.Encode(epoch, &pbft.State{ID: msg.ID})
	}
	return m.raw
}

// A peer that gives true parts of a state just in time, one after the other, does not keep a
// replica from going over to a later one when the others have discarded it:
//
//  1. replica 3 asks for the state of a snapshot, and only a traitor gives any of it
//  2. the others go on, and certify later snapshots
//  3. replica 3 gets the state of one of these
//
// In one case it lacks blocks, so the core wants a later snapshot; in the other it has all of
// them, and only its state is gone.
func TestSimDrippingPeerIsLeftForALaterState(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for _, silent := range []bool{false, true} {
			t.Run(fmt.Sprintf("state lost %v, others silent %v", lost, silent), func(t *testing.T) {
				c := newStoredCluster(t, 36)
				if lost {
					c.run("first", 20)
					c.core.Retain = 200 // from now on blocks stay
					for i := range c.sims {
						c.end(i, false)
						c.begin(i)
					}
					c.run("second", 3)
					c.end(3, false)
					c.disks[3].snaps = NewMemorySnapshots(1 << 10)
				} else {
					c.away()
				}
				d := &dripping{c: c, silent: silent, of: map[uint64]uint64{}}
				c.tamper = d.tamper
				c.begin(3)
				c.until("it waits for parts", 1000, func() bool { return d.drips > 1 })
				require.True(t, c.sims[3].Waits())
				others := func() pbft.Height { return c.sims[0].Node().Core().SnapshotHeight() }
				for i := 0; uint64(others()) < d.height+2*uint64(c.core.CheckpointEvery); i++ {
					require.Less(t, i, 100)
					r := c.request(fmt.Sprint("more ", i))
					c.last = r.Digest()
					for _, s := range c.sims {
						s.Offer([]*pbft.Request{r})
					}
					c.until("the others have executed it", 1000, func() bool {
						_, ok := c.sims[0].Executor().Lookup(c.client.Public(), c.seq, c.last)
						return ok
					})
				}
				c.until("replica 3 has a later state", 1000, c.level)
				require.Equal(t, 1, c.synced)
				require.Greater(t, uint64(c.syncedAt), d.height)
				require.Empty(t, c.liars)
				c.same()
				c.run("after", 3)
				c.same()
			})
		}
	}
}
