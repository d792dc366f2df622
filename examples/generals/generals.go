package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// generals is how many there are: the fewest that can bear one traitor.
const generals = 4

var names = [generals]string{"Aurelia", "Bohemund", "Cyrus", "Dido"}

// camp is what does not change from scene to scene: who the generals are.
type camp struct {
	roster  *roster.Roster
	quorums *pbft.QuorumSystem
	keys    [generals]*keyfile.Replica
	// commander is the primary of the first view.
	commander int
}

// newCamp makes real keys, from a fixed source so that a story can be told again.
// Never do that where it matters.
func newCamp() (*camp, error) {
	source := rand.NewChaCha8(sha256.Sum256([]byte("generals")))
	c := new(camp)
	file := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "generals", Nonce: crypto.Hash("example/generals"), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(), Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	for i := range c.keys {
		var err error
		if c.keys[i], err = keyfile.GenerateReplica(source); err != nil {
			return nil, err
		}
		// Messengers need no addresses; the cluster file does.
		member := c.keys[i].Public().Member(strings.ToLower(names[i]), fmt.Sprintf("tent-%d:1", i), fmt.Sprintf("tent-%d:2", i))
		file.Members = append(file.Members, member)
	}
	var err error
	if c.roster, err = roster.New(file); err != nil {
		return nil, err
	}
	c.commander = int(pbft.NewSchedule(c.roster.Weights()).Primary(crypto.FirstEpoch, 0))
	c.quorums, err = pbft.NewQuorumSystem(c.roster.Weights())
	return c, err
}

// orderKey is what a general signs orders with, as a client of the cluster.
func (c *camp) orderKey(i int) crypto.KeySigner { return ed25519.NewSigner(c.keys[i].Signing) }

// order is a signed order. All of a general's orders have the number 1: of two that
// contradict each other the log executes one at most.
func (c *camp) order(by int, said string, deadline pbft.Time) *pbft.Request {
	key := c.orderKey(by)
	r := pbft.NewRequest(key.Public(), 1, 1, deadline, [][]byte{[]byte(said)})
	digest := r.Digest()
	signature, _ := crypto.SignatureOf(key.Sign(c.roster.Context(crypto.KindRequest), digest[:]))
	return r.WithSignature(signature)
}

// signing are a general's keys as a replica.
func (c *camp) signing(i int) pbft.Keys {
	signer := ed25519.NewSigner(c.keys[i].Signing)
	return pbft.Keys{Self: pbft.ReplicaID(i), Signing: signer, Votes: signer, Checkpoints: bls.NewSigner(c.keys[i].BLS)}
}

// verifier checks everything that reaches general i.
func (c *camp) verifier(i int, start pbft.BlockRef) *pbft.Verifier {
	keys := make([]crypto.PublicKey, generals)
	for j := range keys {
		keys[j] = c.roster.Signing(pbft.ReplicaID(j))
	}
	p := &c.roster.Cluster.Parameters
	return pbft.NewVerifier(pbft.VerifierConfig{
		Self: pbft.ReplicaID(i), Cluster: c.roster.ID, Epoch: crypto.FirstEpoch, Start: start,
		Quorums: c.quorums, Schedule: pbft.NewSchedule(c.roster.Weights()),
		Votes: c.roster.Votes, Checkpoints: c.roster.Checkpoints,
		SigningKeys: keys, Requests: ed25519.NewVerifier(64),
		Limits: pbft.Limits{
			MaxBlockBytes: int(p.MaxBlockBytes), MaxBlockRequests: int(p.MaxBlockRequests),
			MaxOperationBytes: int(p.MaxOperationBytes), Window: pbft.Height(p.Window),
		},
	})
}

// core is the configuration of the protocol for general i.
func (c *camp) core(i int) pbft.Config {
	p := &c.roster.Cluster.Parameters
	return pbft.Config{
		Self: pbft.ReplicaID(i), Cluster: c.roster.ID, Epoch: crypto.FirstEpoch,
		Quorums: c.quorums, Start: pbft.StartBlock(c.roster.ID, crypto.FirstEpoch),
		Window: pbft.Height(p.Window), CheckpointEvery: pbft.Height(p.CheckpointEvery), LogMax: pbft.Height(p.LogMax),
		Retain: pbft.Height(p.CheckpointEvery), MaxBlockBytes: int(p.MaxBlockBytes), MaxBlockRequests: int(p.MaxBlockRequests),
		MaxOperationBytes: int(p.MaxOperationBytes), MinCheckpointGap: time.Duration(p.MinCheckpointGap),
		MaxAhead: time.Duration(p.MaxAhead), MaxPoolBytes: 1 << 20, MaxPoolPerClient: 64, Timeouts: pbft.DefaultTimeouts(),
	}
}

// limits are those of execution.
func (c *camp) limits() statemachine.Limits {
	p := &c.roster.Cluster.Parameters
	l := statemachine.DefaultLimits()
	l.MaxInFlight, l.MaxLife, l.MaxSessions = int(p.MaxInFlight), time.Duration(p.MaxRequestLife), int(p.MaxSessions)
	return l
}

// general makes the replica of general i; send carries off what it says.
func (c *camp) general(i int, send func(to pbft.ReplicaID, raw []byte)) (replica.SimConfig, *order) {
	application := &order{commander: c.orderKey(c.commander).Public()}
	core := c.core(i)
	return replica.SimConfig{
		Core: core, Verifier: c.verifier(i, core.Start.Ref()), Keys: c.signing(i), Limits: c.limits(), Machine: application,
		Store: replica.NewMemoryStore(), Snapshots: replica.NewMemorySnapshots(1 << 20), Voter: true,
		Send: send,
	}, application
}
