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

// keys is how many there are, "key 0" and so on.
const keys = 40

// proved is the proof of a key of a small store, certified by the given signers.
func proved(t testing.TB, c *testcluster.Cluster, key string, signers ...crypto.ReplicaID) *stateproof.Proof {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	for i := range keys {
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

// Every bit of a file matters, whichever it is and whatever is proved.
func TestEveryBitOfAFileMatters(t *testing.T) {
	c := testcluster.New(t, []uint64{1, 1, 1, 1}, nil)
	for _, key := range []string{"key 7", "key 99"} {
		good := proved(t, c, key, 0, 2, 3).Encode()
		for bit := range 8 * len(good) {
			bad := slices.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			_, err := stateproof.Decode(bad)
			require.Error(t, err, "bit %d of the proof of %q", bit, key)
		}
		for cut := range len(good) {
			_, err := stateproof.Decode(good[:cut])
			require.Error(t, err)
		}
		_, err := stateproof.Decode(append(slices.Clone(good), 0))
		require.Error(t, err)
	}
}

// seal puts the digest at the end of a file.
func seal(b []byte) []byte {
	d := crypto.Hash("parley/state-proof", b)
	return append(slices.Clip(b), d[:]...)
}

// Whoever changes a bit and makes the digest of the file anew proves nothing by it: but
// that another key is absent which would be in the same place, if it is.
func TestNoForgery(t *testing.T) {
	c := testcluster.New(t, []uint64{1, 1, 1, 1}, nil)
	for _, key := range []string{"key 7", "key 99"} {
		file := proved(t, c, key, 0, 2, 3)
		sealed := file.Encode()
		good := sealed[:len(sealed)-crypto.DigestSize]
		certificate := file.State.Certificate.Encode()
		from := bytes.Index(good, certificate)
		require.Positive(t, from)
		forged := func(bit int) error {
			bad := slices.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			p, err := stateproof.Decode(seal(bad))
			if err == nil {
				err = stateproof.Verify(c.Roster, p)
			}
			if err == nil && string(p.Key) != key && !p.State.Proof.Present {
				for i := range keys {
					require.NotEqual(t, fmt.Sprint("key ", i), string(p.Key), "it is there")
				}
				return fmt.Errorf("another absent key, %q", p.Key)
			}
			return err
		}
		step := 1
		for bit := 0; bit < 8*len(good); bit += step {
			// A bit of the certificate costs milliseconds; all of them are tried where the
			// proof of a state is tested (package receipt).
			if step = 1; bit/8 >= from && bit/8 < from+len(certificate) {
				step = 61
			}
			require.Error(t, forged(bit), "bit %d of the proof of %q", bit, key)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c := testcluster.New(f, []uint64{1, 1, 1, 1}, nil)
	for _, key := range []string{"key 7", "nothing"} {
		b := proved(f, c, key, 0, 2, 3).Encode()
		f.Add(b[:len(b)-crypto.DigestSize])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := stateproof.Decode(b)
		require.Error(t, err, "a file without its digest")
		b = seal(b)
		if p, err := stateproof.Decode(b); err == nil {
			require.Equal(t, b, p.Encode())
		}
	})
}
