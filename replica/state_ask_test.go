package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// An answer counts if it is that of the peer that was asked; an ask that is lost is
// repeated, and nothing stays when it is over.
func TestStateAsks(t *testing.T) {
	type sent struct {
		to pbft.ReplicaID
		m  *pbft.GetState
	}
	messages := make(chan sent, 16)
	stop := make(chan struct{})
	require.NotEqual(t, newStateAsks(stop).next, newStateAsks(stop).next)
	a := &stateAsks{stop: stop, send: func(to pbft.ReplicaID, m pbft.Message) { messages <- sent{to, m.(*pbft.GetState)} }}
	type result struct {
		b   []byte
		err error
	}
	ask := func(ctx context.Context, of pbft.ReplicaID) <-chan result {
		done := make(chan result, 1)
		go func() {
			b, err := statePeer{a, of}.Ask(ctx, []byte("which part"))
			done <- result{b, err}
		}()
		return done
	}
	done := ask(context.Background(), 2)
	first := <-messages
	require.Equal(t, pbft.ReplicaID(2), first.to)
	require.Equal(t, append([]byte{askState}, "which part"...), first.m.Request)
	again := <-messages // the first was lost
	require.Equal(t, first, again)
	a.answered(1, &pbft.State{ID: again.m.ID, Data: []byte("somebody else's")})
	a.answered(2, &pbft.State{ID: again.m.ID + 7, Data: []byte("nobody asked for it")})
	a.answered(2, &pbft.State{ID: again.m.ID, Data: []byte("the part")})
	a.answered(2, &pbft.State{ID: again.m.ID, Data: []byte("to the repeated one")})
	r := <-done
	require.NoError(t, r.err)
	require.Equal(t, "the part", string(r.b))

	ctx, cancel := context.WithCancel(context.Background())
	done = ask(ctx, 1)
	<-messages
	cancel()
	require.ErrorIs(t, (<-done).err, context.Canceled)

	_, err := a.ask(context.Background(), 1, make([]byte, pbft.MaxStateRequest+1))
	require.ErrorContains(t, err, "travel")

	done = ask(context.Background(), 3)
	<-messages
	close(stop)
	require.ErrorIs(t, (<-done).err, errStopping)
	require.Empty(t, a.open)
}

// What a peer asks for is answered, or not, whatever it is.
func FuzzServeState(f *testing.F) {
	r := &runner{}
	p := receipt.StateParts{App: crypto.Hash("a"), Sessions: crypto.Hash("s"), Manifest: crypto.Hash("m")}
	r.seals.add(1, p)
	d := p.Digest()
	f.Add(append([]byte{askParts}, d[:]...))
	f.Add([]byte{askParts, 1})
	f.Add([]byte{askState, 1, 2, 3})
	f.Add([]byte{9})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := r.serveState(&journal{}, b)
		if err != nil {
			require.Empty(t, answer)
			return
		}
		if len(answer) > 0 {
			got, ok := decodeParts(answer)
			require.True(t, ok)
			require.Equal(t, p, got)
			require.Equal(t, d, got.Digest())
		}
	})
}

func FuzzDecodeParts(f *testing.F) {
	f.Add(encodeParts(receipt.StateParts{App: crypto.Hash("a")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := decodeParts(b); ok {
			require.Equal(t, b, encodeParts(p))
		}
	})
}

// FuzzDecodeServedManifest: what peers get as a manifest.
func FuzzDecodeServedManifest(f *testing.F) {
	m, err := snapshot.Build(7, bytes.NewReader(make([]byte, 5000)), 1<<10)
	require.NoError(f, err)
	f.Add(encodeManifest(&statemachine.Header{AppDigest: crypto.Hash("a")}, m))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeManifest(b)
		if err != nil {
			return
		}
		h := statemachine.Header{AppDigest: p.app, SessionsDigest: p.sessions}
		require.Equal(t, b, encodeManifest(&h, p.Manifest))
	})
}

// headerChunk is the first chunk of an executor's snapshot in which the application's bytes
// begin at at.
func headerChunk(t require.TestingT, at uint64) []byte {
	snap, err := statemachine.NewExecutor(&journal{}, statemachine.DefaultLimits()).Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = snap.WriteTo(&b)
	require.NoError(t, err)
	first := b.Bytes()
	h, err := statemachine.ReadHeader(bytes.NewReader(first))
	require.NoError(t, err)
	i := bytes.Index(first, binary.BigEndian.AppendUint64(nil, h.AppAt))
	binary.BigEndian.PutUint64(first[i:], at)
	return first
}

func TestPartChunks(t *testing.T) {
	m, err := snapshot.Build(7, bytes.NewReader(make([]byte, 5000)), 1<<10)
	require.NoError(t, err)
	manifest := encodeManifest(&statemachine.Header{}, m)
	for at, want := range map[uint64]int{1: 1, 1 << 10: 1, 1<<10 + 1: 2, 5000: 5, 1 << 60: 5, ^uint64(0): 5} {
		require.Equal(t, want, PartChunks(manifest, headerChunk(t, at)), at)
	}
	require.Zero(t, PartChunks(manifest, []byte("no header")))
	require.Zero(t, PartChunks([]byte("no manifest"), headerChunk(t, 1)))
}

func FuzzPartChunks(f *testing.F) {
	m, err := snapshot.Build(7, bytes.NewReader(make([]byte, 5000)), 1<<10)
	require.NoError(f, err)
	manifest := encodeManifest(&statemachine.Header{}, m)
	f.Add(headerChunk(f, 1500))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, first []byte) {
		n := PartChunks(manifest, first)
		require.True(t, n >= 0 && n <= len(m.Chunks))
	})
}

// Many who weigh little may all be traitors, where a few who weigh much cannot be.
func TestWhoMayAllLie(t *testing.T) {
	weights, ids, light := []uint64{25, 25, 25}, []pbft.ReplicaID{1, 2}, []int{}
	for i := range 25 {
		weights = append(weights, 1)
		ids = append(ids, pbft.ReplicaID(3+i))
		light = append(light, 2+i)
	}
	q, err := pbft.NewQuorumSystem(weights)
	require.NoError(t, err)
	lie := mayAllLie(q, ids)
	require.True(t, lie(nil))
	require.True(t, lie(light))
	require.True(t, lie([]int{0}))
	require.True(t, lie(append([]int{0}, light[:8]...)))
	require.False(t, lie(append([]int{0}, light[:9]...)))
	require.False(t, lie([]int{0, 1}))
}
