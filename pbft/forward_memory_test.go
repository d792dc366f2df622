package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// A request that came among others in a Forward has memory of its own when it gets to the
// pool: what a pool may hold is counted by the sizes of the requests, and a traitor may
// have put one of a hundred bytes into a message of megabytes.
func TestForwardedRequestsKeepNoMessageAlive(t *testing.T) {
	k := newKitOf(4)
	three := SignedRequest(crypto.PublicKey{1}, 1, 1, 1000, [][]byte{[]byte("a"), {}, []byte("bc")}, func(d Digest) crypto.Signature {
		return kitSignature(crypto.PublicKey{1}, crypto.Context{Kind: crypto.KindRequest, Cluster: k.Cluster}, d[:])
	})
	sent := []*Request{three, k.request(1, 2, "d"), k.request(2, 1, "e")}
	sent[1] = sent[1].WithSignature(sent[0].Signature) // bad
	wire := Encode(k.Epoch, &Forward{Requests: sent})
	_, m, err := Decode(wire)
	require.NoError(t, err)
	v, why := k.v.Verify(2, m)
	require.Equal(t, NoDrop, why)
	require.Equal(t, 1, v.Rejected())
	got := v.Message().(*Forward).Requests
	clear(wire)
	require.Equal(t, []*Request{sent[0], sent[2]}, got)
	for _, r := range got {
		back, err := DecodeRequest(r.Encode())
		require.NoError(t, err)
		require.Equal(t, r, back)
		for i, op := range r.Ops {
			require.Equal(t, len(op), cap(op))
			if len(op) > 0 {
				op[0] ^= 1
				again, err := DecodeRequest(r.Encode())
				require.NoError(t, err)
				require.Equal(t, op, again.Ops[i], "one memory for both forms")
				op[0] ^= 1
			}
		}
	}
}
