package registry

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/store"
)

// gets counts what is read of a state by key.
type gets struct {
	store.Reader
	n map[string]int
}

func (g *gets) Get(key []byte) ([]byte, bool) {
	g.n[string(key)]++
	return g.Reader.Get(key)
}

// A page has up to a thousand entries, and each is judged by what is known of the keys that
// signed it: that is looked up once, whoever lists them.
func TestListsLookKeysUpOnce(t *testing.T) {
	w := newWorld(t, Genesis{})
	w.twoOf("board", ann, bob, cem, signed.Threshold{})
	w.doSigned(ann, &CreateCollection{As: "board", Name: "c"}, bob)
	w.doSigned(ann, &SetAuthority{As: "board", Collection: "c", Authority: "board", Topics: []string{AnyTopic}}, bob)
	w.doSigned(ann, &CreateRecord{As: "board", Collection: "c", ID: "1"}, bob)
	for i := range 20 {
		w.doSigned(ann, &UpdateRecord{As: "board", Collection: "c", ID: "1", Data: fmt.Append(nil, i)}, []who{bob, cem}[i%2])
		w.doSigned(ann, &Attest{As: "board", Collection: "c", ID: "1", Topic: "seen", Statement: fmt.Append(nil, i)}, []who{bob, cem}[i%2])
	}
	w.doSigned(ann, &RevokeKey{Party: "board", Key: cem.Public()}, bob)
	h, err := New(chain, Genesis{})
	require.NoError(t, err)
	v, err := w.m.Store().Last()
	require.NoError(t, err)
	for _, o := range []Operation{&ListVersions{Collection: "c", ID: "1"}, &ListAttestations{Collection: "c", ID: "1"}} {
		g := &gets{v, map[string]int{}}
		_, err := h.read(g, Encode(o))
		require.NoError(t, err)
		require.NotEmpty(t, g.n)
		for key, n := range g.n {
			require.Equal(t, 1, n, "%T reads %q", o, key)
		}
		require.Contains(t, g.n, string(partyKey("board")))
		require.Contains(t, g.n, string(revokedKey(ann.Public())))
	}
}
