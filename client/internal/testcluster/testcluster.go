// Package testcluster makes small clusters with real keys for the tests of this
// folder. The keys are the same in every run.
package testcluster

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
)

// Cluster is a cluster file, its roster and everybody's private keys.
type Cluster struct {
	File     *crypto.Cluster
	Roster   *roster.Roster
	Replicas []*keyfile.Replica
}

// New makes a cluster of members with these weights. edit, if not nil, may change
// the file before the roster is made of it; without edit the cluster is shared and
// not to be changed.
func New(t testing.TB, weights []uint64, edit func(*crypto.Cluster)) *Cluster {
	t.Helper()
	if edit != nil {
		return build(t, weights, edit)
	}
	known.Lock()
	defer known.Unlock()
	name := fmt.Sprint(weights)
	if known.clusters[name] == nil {
		known.clusters[name] = build(t, weights, nil)
	}
	return known.clusters[name]
}

// known keeps the clusters that nobody edits: checking proofs of possession costs
// most of a short test.
var known = struct {
	sync.Mutex
	clusters map[string]*Cluster
}{clusters: make(map[string]*Cluster)}

func build(t testing.TB, weights []uint64, edit func(*crypto.Cluster)) *Cluster {
	t.Helper()
	source := rand.NewChaCha8([32]byte{1})
	c := &Cluster{File: &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "test", Nonce: crypto.Digest{1}, Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(),
		Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}}
	for i, w := range weights {
		keys, err := keyfile.GenerateReplica(source)
		require.NoError(t, err)
		public := keys.Public()
		c.Replicas = append(c.Replicas, keys)
		c.File.Members = append(c.File.Members, crypto.Member{
			Name: fmt.Sprintf("r%d", i), Weight: w,
			SigningKey: public.Signing, TLSKey: public.TLS, BLSKey: public.BLS, BLSProof: public.Proof,
			PeerAddress: fmt.Sprintf("127.0.0.1:%d", 17000+i), ClientAddress: fmt.Sprintf("127.0.0.1:%d", 18000+i),
		})
	}
	if edit != nil {
		edit(c.File)
	}
	r, err := roster.New(c.File)
	require.NoError(t, err)
	c.Roster = r
	return c
}

// ClientKey returns a client's private key; equal numbers give equal keys.
func ClientKey(number byte) *ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([32]byte{0xc1, number})
}

// Certify makes the certificate of a checkpoint by these replicas.
func (c *Cluster) Certify(t testing.TB, s pbft.CheckpointStatement, signers ...crypto.ReplicaID) *pbft.CheckpointCertificate {
	t.Helper()
	context := c.Roster.Context(crypto.KindCheckpoint)
	set := crypto.NewBitmap(c.Roster.N())
	var shares []crypto.Share
	for _, id := range signers {
		set.Set(id)
		shares = append(shares, crypto.Share{Signer: id, Signature: bls.NewSigner(c.Replicas[id].BLS).Sign(context, s.Append(nil))})
	}
	proof, err := c.Roster.Checkpoints.Aggregate(shares)
	require.NoError(t, err)
	return &pbft.CheckpointCertificate{CheckpointStatement: s, Signers: set, Proof: proof}
}
