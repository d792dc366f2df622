package store

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
	"github.com/parley-bft/parley/statemachine/stream"
)

// A snapshot either is refused, and then the store is as it was, or makes a state that
// writes the same snapshot. One that names a state comes to that, or says that it is not here.
func FuzzRestore(f *testing.F) {
	before := func(t require.TestingT) *Store { return storeOf(t, memory(0), 1, numbered(3, "before")) }
	here, err := before(f).Digest()
	require.NoError(f, err)
	f.Add(snapshotOf(f, storeOf(f, memory(0), 1, numbered(20, "v"))))
	f.Add(snapshotOf(f, open(f, memory(0))))
	for height := range uint64(3) {
		f.Add(nameOf(f, height, here))
		f.Add(nameOf(f, height, crypto.Digest{1}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := before(t)
		err := restore(s, b)
		r := stream.NewReader(bytes.NewReader(b))
		if r.Uint64() == keptMagic && !errors.Is(err, ErrSnapshot) {
			height, digest := r.Uint64(), crypto.Digest{}
			r.Fixed(digest[:])
			var beginning *beginningError
			switch {
			case height == 0:
				require.ErrorAs(t, err, &beginning)
			case digest == here:
				require.NoError(t, err)
			default:
				require.ErrorIs(t, err, statemachine.ErrStateElsewhere)
			}
			require.Len(t, content(t, s), 3)
			return
		}
		if err != nil {
			require.ErrorIs(t, err, ErrSnapshot)
			require.Len(t, content(t, s), 3)
			return
		}
		require.Equal(t, b, snapshotOf(t, s))
	})
}

// nameOf is the snapshot that names a state.
func nameOf(t require.TestingT, height uint64, digest crypto.Digest) []byte {
	var b bytes.Buffer
	_, err := (&namedState{s: new(Store), height: height, digest: digest}).WriteTo(&b)
	require.NoError(t, err)
	return b.Bytes()
}

// A node decodes to what encodes to it, or not at all.
func FuzzNode(f *testing.F) {
	s := storeOf(f, memory(0), 1, numbered(300, "v"))
	for id, enc := range s.pend.nodes {
		f.Add(enc, id.prefix[:])
	}
	f.Fuzz(func(t *testing.T, enc string, p []byte) {
		var prefix crypto.Digest
		copy(prefix[:], p)
		if len(enc) > 0 {
			prefix = commonPrefix(&prefix, int(enc[0])%64)
		}
		n, err := decodeNode(enc, &prefix)
		if err != nil {
			require.ErrorIs(t, err, errNodeFormat)
			return
		}
		n.hash(nil)
		again, err := decodeNode(string(n.append(nil)), &prefix)
		require.NoError(t, err)
		require.Equal(t, n, again)
	})
}

// What a peer sends as a request or an answer does no harm.
func FuzzSync(f *testing.F) {
	a := storeOf(f, memory(3), 9, numbered(300, "there"))
	d, err := a.Digest()
	require.NoError(f, err)
	q := request{9, d, []ask{{}, {turns: []byte{1}, values: true}, {turns: []byte{1, 2}}}}
	answer, err := a.Serve(q.encode())
	require.NoError(f, err)
	f.Add(q.encode(), answer)
	// The same of a long value: its leaf, and a piece.
	big := string(bytes.Repeat([]byte("long"), proof.PieceBytes/4)) + "!"
	l := storeOf(f, memory(3), 9, model{"long": big})
	d, err = l.Digest()
	require.NoError(f, err)
	for _, x := range []ask{{}, {piece: 2, digest: proof.PieceDigest([]byte("!"))}} {
		q := request{9, d, []ask{x}}
		answer, err := l.Serve(q.encode())
		require.NoError(f, err)
		require.NotEmpty(f, answer)
		f.Add(q.encode(), answer)
	}
	f.Fuzz(func(t *testing.T, q, answer []byte) {
		b, err := a.Serve(q)
		if err != nil {
			require.ErrorIs(t, err, ErrQuery)
		}
		require.Less(t, len(b), 2*answerBytes)
		s := storeOf(t, memory(3), 4, numbered(2, "here"))
		n := 0
		_, err = s.Sync(context.Background(), passing(wants(t, a, peerFunc(func(context.Context, []byte) ([]byte, error) {
			n++
			return answer, nil
		}))))
		require.Error(t, err)
		require.LessOrEqual(t, n, enoughFails)

		// Nor to a comparison, which an answer that is true only for its first parts ends too.
		twin := storeOf(t, memory(3), 9, numbered(2, "here"))
		n = 0
		ds, _, _, err := twin.Compare(context.Background(), passing(wants(t, a, peerFunc(func(context.Context, []byte) ([]byte, error) {
			n++
			return answer, nil
		}))), 5)
		require.Error(t, err)
		require.Empty(t, ds)
		require.LessOrEqual(t, n, enoughFails)
		require.Len(t, content(t, twin), 2)
	})
}

// Records of the database that are damaged are errors.
func FuzzRecords(f *testing.F) {
	h := head{true, false, 7, 3, 9, []seal{{7, 9, nil}, {7, 9, &child{leaf: true, name: "k", place: proof.Path([]byte("k"))}}}, []uint64{5}}
	f.Add(h.encode())
	r := record{value: []byte("v"), height: 3}
	f.Add(r.encode())
	f.Add([]byte(historyName("a\x00b", 7)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHead(b); err == nil {
			require.Equal(t, b, h.encode())
		}
		if r, err := decodeRecord(b); err == nil {
			require.Equal(t, b, r.encode())
		}
		if key, height, err := splitHistoryName(b); err == nil {
			require.Equal(t, string(b), historyName(key, height))
		}
		if j, err := decodeJournal(1, b); err == nil {
			require.LessOrEqual(t, len(j.keys)+len(j.nodes), len(b))
		}
	})
}
