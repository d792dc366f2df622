package chaos

import (
	"encoding/binary"
	"errors"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/bls/roguekey"
	"github.com/parley-bft/parley/crypto/symbolic"
	"github.com/parley-bft/parley/pbft"
)

// Forgery is an attack on the cryptography itself, which a simulation with ideal
// signatures cannot see: a cluster of four with real BLS keys, one of which is not
// what it seems.
type Forgery int

// The forgeries.
const (
	// RogueKey: the traitor's key is one that makes his own signature that of all.
	RogueKey Forgery = iota
	// IdentityKey: the traitor's key adds nothing, so anybody can count its vote.
	IdentityKey
)

func (f Forgery) String() string { return [...]string{"rogue key", "identity key"}[f] }

// RunForgery sets up the cluster, has the traitor show a certificate that honest
// replicas never signed, and reports whether the product takes it. The cluster may
// also refuse the key, which is what it should do.
func RunForgery(f Forgery, seed uint64) *Report {
	r := &Report{Seed: seed, Faults: map[string]int{f.String(): 1}, Sometimes: map[string]int{}}
	const n, traitor = 4, 3
	var members [n]*bls.PrivateKey
	keys, proofs := make([][]byte, n), make([][]byte, n)
	var others []crypto.BLSKey
	for i := range members {
		var s [bls.SeedSize]byte
		binary.BigEndian.PutUint64(s[:], seed)
		s[8] = byte(i)
		members[i] = bls.NewKeyFromSeed(s)
		key, proof := members[i].Public(), members[i].Prove()
		keys[i], proofs[i] = key[:], proof[:]
		if i != traitor {
			others = append(others, key)
		}
	}
	signers := crypto.NewBitmap(n)
	switch f {
	case RogueKey:
		rogue, err := roguekey.New(members[traitor].Public(), others)
		must(err)
		keys[traitor] = rogue[:]
		for i := range members {
			signers.Set(pbft.ReplicaID(i))
		}
	case IdentityKey:
		key, signature := roguekey.Identity()
		keys[traitor], proofs[traitor] = key[:], signature[:]
		for _, i := range []pbft.ReplicaID{0, 1, traitor} {
			signers.Set(i)
		}
	}
	scheme, err := bls.NewScheme(keys, proofs)
	if err != nil {
		if !errors.Is(err, crypto.ErrBadSignature) && !errors.Is(err, crypto.ErrMalformed) {
			r.Violations = append(r.Violations, string(Health)+": "+err.Error())
		}
		r.Sometimes[f.String()+" refused"]++
		return r
	}
	f.show(r, scheme, members[:], signers)
	return r
}

// show has an outsider verify a certificate for a block that does not exist.
func (f Forgery) show(r *Report, scheme crypto.Scheme, members []*bls.PrivateKey, signers crypto.Bitmap) {
	world := symbolic.NewWorld(r.Seed)
	cluster := crypto.Hash("chaos/forgery")
	weights := equalWeights(len(members))
	q, err := pbft.NewQuorumSystem(weights)
	must(err)
	v := pbft.NewVerifier(pbft.VerifierConfig{
		Cluster: cluster, Start: pbft.StartBlock(cluster, 0).Ref(), Quorums: q, Schedule: pbft.NewSchedule(weights),
		Votes: scheme, Checkpoints: scheme, SigningKeys: make([]crypto.PublicKey, len(members)), Requests: world,
		Limits: pbft.Limits{MaxBlockBytes: 1 << 16, MaxBlockRequests: 16, MaxOperationBytes: 1 << 12, Window: 8},
	})
	st := pbft.Statement{Phase: pbft.Commit, Height: 1, Block: crypto.Hash("chaos/forged")}
	ctx := crypto.Context{Kind: st.Phase.Kind(), Cluster: cluster}
	sign := func(i int) []byte { return bls.NewSigner(members[i]).Sign(ctx, st.Append(nil)) }
	c := &pbft.Certificate{Statement: st, Signers: signers}
	who := "all replicas, of whom only the traitor signed"
	if f == RogueKey {
		c.Proof = sign(len(members) - 1)
	} else {
		who = "the traitor, who signed nothing"
		if c.Proof, err = scheme.Aggregate([]crypto.Share{{Signer: 0, Signature: sign(0)}, {Signer: 1, Signature: sign(1)}}); err != nil {
			return
		}
	}
	if err := v.CheckCertificate(c); err == nil {
		r.Violations = append(r.Violations, string(Certificates)+": "+f.String()+": a certificate is taken that names "+who)
	}
}
