package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// shaky is a handler with a bug: "split" gives out what is in "pot" in the order in which
// it walks over a map.
type shaky struct{ order []string }

func (h *shaky) Apply(t Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	if string(op.Data) != "split" {
		key, value := op.Data[:1], op.Data[1:]
		t.Set(append([]byte("acc "), key...), value)
		return statemachine.OK(nil)
	}
	in := t.Begin() // as handlers do
	defer in.Discard()
	p := Prefix(in, "acc ")
	for i, name := range h.order { // what ranging over a map comes to
		v, _ := p.Get([]byte(name))
		p.Set([]byte(name), fmt.Append(v, " share ", i))
	}
	p.Commit()
	return statemachine.OK(nil)
}

func (h *shaky) BeginBlock(t Txn, b *statemachine.Block) {
	d, err := StateBefore(Prefix(t, "x"))
	if err != nil {
		panic(err)
	}
	t.Set([]byte("before"), d[:])
}

func (h *shaky) EndBlock(t Txn, b *statemachine.Block) {
	t.Set([]byte("height"), fmt.Append(nil, b.Height))
}

func (h *shaky) Query(context.Context, Reader, []byte) ([]byte, error) { return nil, nil }

func block(height uint64, ops ...string) statemachine.Block {
	b := statemachine.Block{Height: height}
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: []byte(op)})
	}
	return b
}

func machineOf(t testing.TB, c Config, h Handler) *Machine {
	m, err := NewMachine(open(t, c), h)
	require.NoError(t, err)
	return m
}

// Who only lags gets what differs, and does not read what it has; who is repaired does.
func TestSyncStateReadsAllOnlyToRepair(t *testing.T) {
	for _, repair := range []bool{false, true} {
		good, bad := machineOf(t, memory(1), putter{}), machineOf(t, memory(1), putter{})
		for h := uint64(1); h < 4; h++ {
			run(good, h, fmt.Sprintf("key %04dthere", h))
			if run(bad, h, fmt.Sprintf("key %04dthere", h)); h == 2 {
				bad.Digest()
				require.NoError(t, bad.Store().Flush())
				break
			}
		}
		run(good, 3, "key 0003there")
		good.Digest()
		damageValue(t, bad.Store(), "key 0001", flipLast)
		want := targetOf(good, 3, machinePeer(good))
		want.Repair = repair
		stats, err := bad.SyncState(t.Context(), want)
		require.NoError(t, err)
		damages, err := bad.Store().Scrub(t.Context(), 9)
		require.NoError(t, err)
		if repair {
			require.Equal(t, 1, stats.Damaged)
			require.Empty(t, damages.Damages)
		} else {
			require.Zero(t, stats.Damaged)
			require.Len(t, damages.Damages, 1, "it was not looked at")
		}
	}
}

// machinePeer is a replica's application as a peer.
func machinePeer(m *Machine) statemachine.StatePeer {
	return peerFunc(func(_ context.Context, q []byte) ([]byte, error) { return m.ServeState(q) })
}

func targetOf(m *Machine, height uint64, peers ...statemachine.StatePeer) statemachine.StateTarget {
	v, err := m.Store().At(height)
	if err != nil {
		panic(err)
	}
	d, err := v.Digest()
	if err != nil {
		panic(err)
	}
	return statemachine.StateTarget{Height: height, Digest: d, Peers: peers, Repair: true}
}

// Replicas whose handlers walk over a map write different values. The comparison names
// the keys, and the block run again names the operation; the transfer heals.
func TestDivergenceByAMap(t *testing.T) {
	good := machineOf(t, memory(10), &shaky{order: []string{"a", "b", "c"}})
	bad := machineOf(t, memory(10), &shaky{order: []string{"b", "a", "c"}})
	blocks := []statemachine.Block{block(1, "a1", "b2", "c3"), block(2, "d1"), block(3, "a7", "split", "d4"), block(4, "e5")}
	for _, b := range blocks {
		for _, m := range []*Machine{good, bad} {
			m.Apply(b)
			m.Digest()
		}
	}
	require.NotEqual(t, good.Digest(), bad.Digest())
	want := targetOf(good, 3, machinePeer(good))
	before := content(t, bad.Store())
	ds, more, err := bad.CompareState(t.Context(), want, 10)
	require.NoError(t, err)
	require.False(t, more)
	found := map[string]statemachine.StateDifference{}
	for _, d := range ds {
		require.True(t, d.IsHere && d.IsThere && !d.Damaged, "%s", d.Key)
		require.Equal(t, uint64(3), d.Written)
		found[string(d.Key)] = d
	}
	require.Len(t, found, 2)
	require.Equal(t, "7 share 1", string(found["acc a"].Here))
	require.Equal(t, "7 share 0", string(found["acc a"].There))
	require.Equal(t, "2 share 0", string(found["acc b"].Here))

	keys := [][]byte{[]byte("acc b"), []byte("acc a"), []byte("acc d"), []byte("before"), []byte("height"), []byte("none")}
	writes, err := bad.Rerun(t.Context(), blocks[2], keys)
	require.NoError(t, err)
	digest := targetOf(bad, 2).Digest
	require.Equal(t, []statemachine.StateWrite{
		{Key: []byte("before"), Op: -1, Value: digest[:]},
		{Key: []byte("acc a"), Op: 0, Value: []byte("7")},
		{Key: []byte("acc b"), Op: 1, Value: []byte("2 share 0")},
		{Key: []byte("acc a"), Op: 1, Value: []byte("7 share 1")},
		{Key: []byte("acc d"), Op: 2, Value: []byte("4")},
		{Key: []byte("height"), Op: -1, Value: []byte("3")},
	}, writes)
	require.Equal(t, before, content(t, bad.Store()), "nothing was changed")

	stats, err := bad.SyncState(t.Context(), want) // back to 3, from 4
	require.NoError(t, err)
	require.Zero(t, stats.Damaged)
	require.Positive(t, stats.Changed)
	bad.handler.(*shaky).order = []string{"a", "b", "c"}
	bad.Apply(blocks[3])
	require.Equal(t, good.Digest(), bad.Digest())
	require.Equal(t, content(t, good.Store()), content(t, bad.Store()))
}

// hurried is a context that leaves no time for what takes long: half of what is left is over.
type hurried struct {
	context.Context
	asked int
}

func (h *hurried) Deadline() (time.Time, bool) {
	if h.asked++; h.asked == 1 {
		return time.Unix(1, 0), true
	}
	return time.Now().Add(time.Hour), true
}

// Where there is no time to read all of a large state, what differs is named all the same.
func TestComparisonInAHurry(t *testing.T) {
	good := machineOf(t, memory(10), &shaky{order: []string{"a", "b", "c"}})
	bad := machineOf(t, memory(10), &shaky{order: []string{"b", "a", "c"}})
	for _, b := range []statemachine.Block{block(1, "a1", "b2", "c3"), block(2, "a7", "split", "d4")} {
		for _, m := range []*Machine{good, bad} {
			m.Apply(b)
			m.Digest()
		}
	}
	damageValue(t, bad.Store(), "acc d", flipLast)
	for ctx, damaged := range map[context.Context]bool{t.Context(): true, &hurried{Context: t.Context()}: false} {
		ds, more, err := bad.CompareState(ctx, targetOf(good, 2, machinePeer(good)), 10)
		require.NoError(t, err)
		require.False(t, more)
		found := map[string]bool{}
		for _, d := range ds {
			found[string(d.Key)] = d.Damaged
		}
		want := map[string]bool{"acc a": false, "acc b": false}
		if damaged {
			want["acc d"] = true
		}
		require.Equal(t, want, found)
	}
}

// damageValue changes a stored value beneath the tree.
func damageValue(t require.TestingT, s *Store, key string, twist func(b []byte) []byte) {
	require.NoError(t, s.Flush())
	name := lastKey(key)
	v, err := s.db.get(name)
	require.NoError(t, err)
	require.NotNil(t, v, "%s", key)
	b := s.db.newBatch()
	if v = twist(v); v == nil {
		b.delete(name)
	} else {
		b.set(name, v)
	}
	require.NoError(t, b.write(true))
	require.NoError(t, s.forget())
}

func flipLast(b []byte) []byte { b[len(b)-1] ^= 1; return b }

// A value that the disk changed makes the next operation on it write something wrong.
// The comparison names both keys and says which one the disk changed; the block run again
// names the operation.
func TestDivergenceByTheDisk(t *testing.T) {
	order := []string{"a"}
	good, bad := machineOf(t, memory(10), &shaky{order: order}), machineOf(t, memory(10), &shaky{order: order})
	ms := []*Machine{good, bad}
	run := func(b statemachine.Block) {
		for _, m := range ms {
			m.Apply(b)
			m.Digest()
		}
	}
	run(block(1, "a1", "b2", "c3"))
	run(block(2, "d4"))
	damageValue(t, bad.Store(), "acc a", flipLast)
	damageValue(t, bad.Store(), "acc c", flipLast)
	split := block(3, "d5", "split")
	run(split)
	run(block(4, "e6"))
	want := targetOf(good, 3, machinePeer(good))
	ds, more, err := bad.CompareState(t.Context(), want, 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, ds, 2)
	for _, d := range ds {
		switch string(d.Key) {
		case "acc a":
			require.Equal(t, statemachine.StateDifference{
				Key: []byte("acc a"), Here: []byte("0 share 0"), There: []byte("1 share 0"), IsHere: true, IsThere: true, Written: 3,
			}, d)
		case "acc c":
			require.Equal(t, statemachine.StateDifference{
				Key: []byte("acc c"), Here: []byte("2"), There: []byte("3"), IsHere: true, IsThere: true, Damaged: true, Written: 1,
			}, d)
		default:
			t.Fatalf("%s", d.Key)
		}
	}
	writes, err := bad.Rerun(t.Context(), split, [][]byte{[]byte("acc a"), []byte("acc c")})
	require.NoError(t, err)
	require.Equal(t, []statemachine.StateWrite{{Key: []byte("acc a"), Op: 1, Value: []byte("0 share 0")}}, writes)

	stats, err := bad.SyncState(t.Context(), targetOf(good, 4, machinePeer(good)))
	require.NoError(t, err)
	require.Equal(t, 1, stats.Damaged)
	require.Equal(t, content(t, good.Store()), content(t, bad.Store()))
	r, err := bad.Store().Scrub(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, r.Damages)
	run(block(5, "split", "f1"))
	require.Equal(t, good.Digest(), bad.Digest())
}
