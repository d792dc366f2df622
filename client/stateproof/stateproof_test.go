package stateproof_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/client/stateproof"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// proved is the proof of a key of a small store, certified by the given signers.
func proved(t testing.TB, c *testcluster.Cluster, key string, signers ...crypto.ReplicaID) *stateproof.Proof {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for i := range 40 {
		s.Block().Set(fmt.Append(nil, "key ", i), fmt.Append(nil, "value ", i))
	}
	require.NoError(t, s.Commit(8))
	app, err := s.Digest()
	require.NoError(t, err)
	v, err := s.At(8)
	require.NoError(t, err)
	state, err := v.Prove([]byte(key))
	require.NoError(t, err)
	st := &receipt.State{
		Header: pbft.Header{Cluster: c.Roster.ID, Epoch: pbft.Epoch(c.File.Epoch), Height: 8, View: 1, Time: 1e18, Checkpoint: true},
		Parts:  receipt.StateParts{App: app, Sessions: crypto.Digest{3}, Manifest: crypto.Digest{4}},
		Proof:  state,
	}
	st.Certificate = c.Certify(t, pbft.CheckpointStatement{
		Height: 8, Block: st.Header.Digest(), State: st.Parts.Digest(), Results: crypto.Digest{2},
	}, signers...)
	return stateproof.Of([]byte(key), st)
}

func TestVerify(t *testing.T) {
	c := testcluster.New(t, []uint64{1, 1, 1, 1}, nil)
	for key, want := range map[string]string{"key 7": "value 7", "key 99": ""} {
		p := proved(t, c, key, 0, 2, 3)
		b := p.Encode()
		p, err := stateproof.Decode(b)
		require.NoError(t, err)
		require.Equal(t, b, p.Encode())
		require.NoError(t, stateproof.Verify(c.Roster, p))
		v, present := p.Value()
		require.Equal(t, want != "", present)
		require.Equal(t, want, string(v))

		// Every bit matters; those of the certificate cost milliseconds each.
		certificate := p.State.Certificate.Encode()
		from := bytes.Index(b, certificate)
		step := 1
		for bit := 0; bit < 8*len(b); bit += step {
			if step = 1; bit/8 >= from && bit/8 < from+len(certificate) {
				step = 61
			}
			bad := slices.Clone(b)
			bad[bit/8] ^= 1 << (bit % 8)
			q, err := stateproof.Decode(bad)
			if err == nil {
				err = stateproof.Verify(c.Roster, q)
			}
			if err == nil { // another key that is absent for the same reason
				require.False(t, q.State.Proof.Present, "bit %d", bit)
				require.NotEqual(t, key, string(q.Key), "bit %d", bit)
			}
		}
	}
	// Not by too few, not of another cluster, key, state or epoch.
	require.ErrorIs(t, stateproof.Verify(c.Roster, proved(t, c, "key 1", 0, 2)), receipt.ErrCertificate)
	p := proved(t, c, "key 1", 0, 1, 2)
	p.State.Header.Cluster[0] ^= 1
	require.ErrorIs(t, stateproof.Verify(c.Roster, p), receipt.ErrOtherCluster)
	p = proved(t, c, "key 1", 0, 1, 2)
	p.State.Header.Epoch++
	require.ErrorIs(t, stateproof.Verify(c.Roster, p), receipt.ErrOtherEpoch)
	p = proved(t, c, "key 1", 0, 1, 2)
	p.State.Parts.Sessions[0] ^= 1
	require.ErrorIs(t, stateproof.Verify(c.Roster, p), receipt.ErrInconsistent)
	p = proved(t, c, "key 1", 0, 1, 2)
	p.Key = []byte("key 2")
	require.ErrorIs(t, stateproof.Verify(c.Roster, p), proof.ErrInvalid)
}

func FuzzDecode(f *testing.F) {
	c := testcluster.New(f, []uint64{1, 1, 1, 1}, nil)
	f.Add(proved(f, c, "key 7", 0, 2, 3).Encode())
	f.Add(proved(f, c, "nothing", 0, 2, 3).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := stateproof.Decode(b); err == nil {
			require.Equal(t, b, p.Encode())
		}
	})
}
