package receipt_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/store"
)

// newState makes the proof of a key of a store with some, certified by these replicas.
func newState(t testing.TB, key string, signers ...crypto.ReplicaID) (*testcluster.Cluster, *receipt.State) {
	c := testcluster.New(t, []uint64{1, 1, 1, 1}, nil)
	cfg := store.DefaultConfig()
	s, err := store.Open(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	b := s.Block()
	for i := range 20 {
		b.Set(fmt.Append(nil, "key", i), fmt.Append(nil, "value", i))
	}
	require.NoError(t, s.Commit(8))
	digest, err := s.Digest()
	require.NoError(t, err)
	v, err := s.At(8)
	require.NoError(t, err)
	p, err := v.Prove([]byte(key))
	require.NoError(t, err)
	st := &receipt.State{
		Header: pbft.Header{Cluster: c.Roster.ID, Epoch: pbft.Epoch(c.File.Epoch), Height: 8, View: 1, Time: 1e18, Checkpoint: true},
		Parts:  receipt.StateParts{App: digest, Sessions: crypto.Digest{1}, Manifest: crypto.Digest{2}},
		Proof:  p,
	}
	st.Certificate = c.Certify(t, pbft.CheckpointStatement{Height: 8, Block: st.Header.Digest(), State: st.Parts.Digest()}, signers...)
	return c, st
}

func TestStateVerifies(t *testing.T) {
	for _, key := range []string{"key7", "nokey"} {
		c, s := newState(t, key, 0, 1, 3)
		require.NoError(t, s.Verify(c.Roster, []byte(key)))
		back, err := receipt.DecodeState(s.Encode())
		require.NoError(t, err)
		require.Equal(t, s.Encode(), back.Encode())
		require.NoError(t, back.Verify(c.Roster, []byte(key)))
		require.Equal(t, key == "key7", back.Proof.Present)
		require.ErrorIs(t, back.Verify(c.Roster, []byte("key8")), receipt.ErrPath, "another key's")
		other := testcluster.New(t, []uint64{1, 1, 1, 1}, func(c *crypto.Cluster) { c.Nonce = crypto.Digest{7} })
		require.ErrorIs(t, back.Verify(other.Roster, []byte(key)), receipt.ErrOtherCluster)
	}
	c, s := newState(t, "key7", 0, 1)
	require.ErrorIs(t, s.Verify(c.Roster, []byte("key7")), receipt.ErrCertificate, "two of four are no quorum")
}

// Every bit of a state's proof matters.
func TestEveryBitOfAStateMatters(t *testing.T) {
	for _, key := range []string{"key7", "nokey"} {
		c, s := newState(t, key, 0, 1, 3)
		good := s.Encode()
		// A bit of the certificate costs milliseconds.
		certificate := bytes.Index(good, s.Certificate.Encode())
		end := certificate + len(s.Certificate.Encode())
		flipBits(t, good, func(bit int) bool {
			return bit < 8*certificate || bit >= 8*end || bit%13 == 0 || !raceDetector && !testing.Short()
		}, func(b []byte) error {
			s, err := receipt.DecodeState(b)
			if err == nil {
				err = s.Verify(c.Roster, []byte(key))
			}
			return err
		})
		for cut := range len(good) {
			_, err := receipt.DecodeState(good[:cut])
			require.Error(t, err)
		}
	}
}

// FuzzDecodeState: what decodes has one encoding, and proves nothing by itself.
func FuzzDecodeState(f *testing.F) {
	c, s := newState(f, "key7", 0, 1, 3)
	good := s.Encode()
	f.Add(good)
	_, none := newState(f, "nokey", 0, 1, 3)
	f.Add(none.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := receipt.DecodeState(b)
		if err != nil {
			return
		}
		require.Equal(t, b, s.Encode())
		if !bytes.Equal(b, good) {
			require.Error(t, s.Verify(c.Roster, []byte("key7")))
		}
	})
}
