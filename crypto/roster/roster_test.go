package roster_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/crypto/symbolic"
)

func testCluster(t testing.TB, n int) (*crypto.Cluster, []*keyfile.Replica) {
	c := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "test", Nonce: crypto.Hash("nonce"), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(),
		Clients: crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{{1}}},
	}
	var keys []*keyfile.Replica
	for i := range n {
		source := make([]byte, 96)
		for j := range 3 {
			source[32*j], source[32*j+1] = byte(i), byte(j+1)
		}
		r, err := keyfile.GenerateReplica(bytes.NewReader(source))
		require.NoError(t, err)
		keys = append(keys, r)
		c.Members = append(c.Members, r.Public().Member(fmt.Sprintf("r%d", i),
			fmt.Sprintf("127.0.0.1:%d", 7000+i), fmt.Sprintf("127.0.0.1:%d", 8000+i)))
	}
	return c, keys
}

func TestRoster(t *testing.T) {
	c, keys := testCluster(t, 4)
	path := filepath.Join(t.TempDir(), "cluster.json")
	require.NoError(t, c.Write(path))
	r, err := roster.Load(path)
	require.NoError(t, err)
	require.Equal(t, 4, r.N())
	require.Equal(t, []uint64{1, 1, 1, 1}, r.Weights())
	require.Equal(t, c.ID(), r.ID)
	require.Equal(t, ed25519.Name, r.Votes.Name())
	require.Equal(t, ed25519.Name, r.Messages.Name())
	require.Equal(t, bls.Name, r.Checkpoints.Name())
	require.Equal(t, crypto.Context{Kind: crypto.KindCommit, Cluster: r.ID, Epoch: 1}, r.Context(crypto.KindCommit))
	require.Equal(t, crypto.Context{Kind: crypto.KindRequest, Cluster: r.ID}, r.Context(crypto.KindRequest))
	require.True(t, r.Admits(crypto.PublicKey{1}))
	require.False(t, r.Admits(crypto.PublicKey{2}))

	for i, k := range keys {
		id := crypto.ReplicaID(i)
		self, err := r.FindSelf(k.Public())
		require.NoError(t, err)
		require.Equal(t, id, self)
		require.Equal(t, k.Signing.Public(), r.Signing(id))
		require.Equal(t, fmt.Sprintf("r%d", i), r.Member(id).Name)
		id, ok := r.MemberByTLSKey(k.TLS.Public())
		require.True(t, ok)
		require.Equal(t, self, id)
		_, ok = r.MemberByTLSKey(k.Signing.Public())
		require.False(t, ok)

		// The schemes are over these keys, in this order.
		ctx := r.Context(crypto.KindCheckpoint)
		require.NoError(t, r.Messages.VerifyShare(ctx, nil, crypto.Share{Signer: self, Signature: ed25519.NewSigner(k.Signing).Sign(ctx, nil)}))
		require.NoError(t, r.Checkpoints.VerifyShare(ctx, nil, crypto.Share{Signer: self, Signature: bls.NewSigner(k.BLS).Sign(ctx, nil)}))
	}

	c.VoteScheme = crypto.VoteBLS
	c.Clients = crypto.Clients{Admission: crypto.AdmitOpen}
	r, err = roster.New(c)
	require.NoError(t, err)
	require.Equal(t, bls.Name, r.Votes.Name())
	require.Equal(t, ed25519.Name, r.Messages.Name())
	require.True(t, r.Admits(crypto.PublicKey{2}))
}

func TestFindSelfNamesTheKey(t *testing.T) {
	c, keys := testCluster(t, 2)
	r, err := roster.New(c)
	require.NoError(t, err)
	mine, other := keys[0].Public(), keys[1].Public()

	stranger := mine
	stranger.Signing = crypto.PublicKey{9}
	_, err = r.FindSelf(stranger)
	require.ErrorIs(t, err, roster.ErrNotMember)
	require.ErrorContains(t, err, stranger.Signing.Hex())
	require.ErrorContains(t, err, "use the key file")

	mixed := mine
	mixed.TLS = other.TLS
	_, err = r.FindSelf(mixed)
	require.ErrorIs(t, err, roster.ErrNotMember)
	require.ErrorContains(t, err, `"r0"`)
	require.ErrorContains(t, err, other.TLS.Hex())

	mixed = mine
	mixed.BLS = other.BLS
	_, err = r.FindSelf(mixed)
	require.ErrorIs(t, err, roster.ErrNotMember)
	require.ErrorContains(t, err, "BLS key")
}

// What needs arithmetic to see.
func TestRosterRefusesBadKeys(t *testing.T) {
	negated := func(k crypto.BLSKey) crypto.BLSKey { k[0] ^= 0x20; return k }
	for name, x := range map[string]struct {
		change func(c *crypto.Cluster)
		want   string
	}{
		"structure":       {func(c *crypto.Cluster) { c.Name = "" }, "name"},
		"signing key":     {func(c *crypto.Cluster) { c.Members[1].SigningKey = crypto.PublicKey{0: 2} }, "signing keys: member 1"},
		"small order":     {func(c *crypto.Cluster) { c.Members[1].SigningKey = crypto.PublicKey{31: 0x80} }, "prime-order"},
		"TLS key":         {func(c *crypto.Cluster) { c.Members[1].TLSKey = crypto.PublicKey{0: 2} }, `tlsKey of "r1"`},
		"BLS key":         {func(c *crypto.Cluster) { c.Members[1].BLSKey[95] ^= 1 }, "BLS keys: member 1"},
		"proof":           {func(c *crypto.Cluster) { c.Members[1].BLSProof = c.Members[0].BLSProof }, "member 1: proof of possession"},
		"malformed proof": {func(c *crypto.Cluster) { c.Members[1].BLSProof = crypto.BLSProof{} }, "member 1: proof of possession"},
		"negated BLS key": {func(c *crypto.Cluster) { c.Members[1].BLSKey = negated(c.Members[0].BLSKey) }, "negative"},
		"symbolic":        {func(c *crypto.Cluster) { c.VoteScheme = symbolic.Name }, "simulator only"},
	} {
		c, _ := testCluster(t, 2)
		x.change(c)
		_, err := roster.New(c)
		require.ErrorContains(t, err, x.want, name)
	}
	_, err := roster.Load(filepath.Join(t.TempDir(), "none"))
	require.Error(t, err)
}

// Two rosters that differ in anything but addresses sign in different contexts.
func TestRostersDoNotMix(t *testing.T) {
	c, keys := testCluster(t, 4)
	a, err := roster.New(c)
	require.NoError(t, err)
	other, _ := testCluster(t, 4)
	other.Parameters.Window++
	b, err := roster.New(other)
	require.NoError(t, err)
	share := crypto.Share{Signature: ed25519.NewSigner(keys[0].Signing).Sign(a.Context(crypto.KindCommit), []byte("x"))}
	require.NoError(t, a.Messages.VerifyShare(a.Context(crypto.KindCommit), []byte("x"), share))
	require.ErrorIs(t, b.Messages.VerifyShare(b.Context(crypto.KindCommit), []byte("x"), share), crypto.ErrBadSignature)
}

func TestSimulatorsRoster(t *testing.T) {
	c, _ := testCluster(t, 4)
	w := symbolic.NewWorld(1)
	s, err := w.Scheme(4, true)
	require.NoError(t, err)
	r, err := roster.WithSchemes(c, s, s, s)
	require.NoError(t, err)
	require.Equal(t, symbolic.Name, r.Votes.Name())
	c.Name = ""
	_, err = roster.WithSchemes(c, s, s, s)
	require.Error(t, err)
}
