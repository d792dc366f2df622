package crypto

import (
	"fmt"
	"strings"

	"github.com/parley-bft/parley/crypto/canon"
)

// ClusterFormat is the version of the cluster file that this code reads and writes.
const ClusterFormat = 1

// FirstEpoch is the epoch of a new cluster.
const FirstEpoch = 1

// The vote schemes that a cluster file may name.
const (
	VoteEd25519 = "ed25519"
	VoteBLS     = "bls"
)

// Cluster is the cluster file: who the members are, with which keys and weights,
// and the parameters they share. The order of Members defines the ReplicaIDs.
//
// A Cluster that came from [ParseCluster] or [LoadCluster] has passed
// [Cluster.Check]; package roster checks the keys cryptographically too. It is
// not to be changed after that; reading it is safe for concurrent use.
type Cluster struct {
	Format int    `json:"format"`
	Name   string `json:"name"`

	// Nonce is random: two clusters made by the same operator from the same keys
	// still have different ids.
	Nonce Digest `json:"nonce"`

	// Epoch counts the configurations of this cluster, from FirstEpoch.
	Epoch uint64 `json:"epoch"`

	// Origin is the cluster id, given from the second epoch on; in the first the
	// configuration itself defines it.
	Origin *Digest `json:"origin,omitempty"`

	// VoteScheme signs votes: VoteEd25519 or VoteBLS. Checkpoints are always BLS.
	VoteScheme string `json:"voteScheme"`

	Parameters Parameters `json:"parameters"`

	// Application is what the replicas run. Programs that embed a replica and run
	// nothing else may leave it out.
	Application *Application `json:"application,omitempty"`

	// AllowDominant permits members whose weight alone exceeds what the cluster
	// tolerates as faulty. When such a member stops, the cluster stops.
	AllowDominant bool `json:"allowDominant,omitempty"`

	Members []Member `json:"members"`
	Clients Clients  `json:"clients"`
}

// Member is one replica. Its three keys are for three purposes and never the same.
type Member struct {
	Name   string `json:"name"`
	Weight uint64 `json:"weight"`

	SigningKey PublicKey `json:"signingKey"` // votes and messages
	TLSKey     PublicKey `json:"tlsKey"`     // pinned by mutual TLS
	BLSKey     BLSKey    `json:"blsKey"`     // checkpoints, and votes under VoteBLS
	BLSProof   BLSProof  `json:"blsProof"`   // proof of possession of BLSKey

	// Where others reach it, as host:port. Addresses are not part of the
	// cluster's identity: they may be edited on each machine.
	PeerAddress   string `json:"peerAddress"`
	ClientAddress string `json:"clientAddress"`
}

// UnmarshalJSON is the plain decoding with weight 1 where none is given.
func (m *Member) UnmarshalJSON(data []byte) error {
	type plain Member
	p := plain{Weight: 1}
	if err := decodeStrict(data, &p); err != nil {
		return err
	}
	*m = Member(p)
	return nil
}

// How clients are admitted.
const (
	AdmitOpen = "open" // any key; the session table is first come, first served
	AdmitList = "list" // the keys listed
)

// Clients says whose requests the cluster executes.
type Clients struct {
	Admission string      `json:"admission"`
	Keys      []PublicKey `json:"keys,omitempty"`
}

// Admits tells whether a client with that key may submit requests. It searches
// the list: keep a set where it matters.
func (c Clients) Admits(key PublicKey) bool {
	if c.Admission == AdmitOpen {
		return true
	}
	for _, k := range c.Keys {
		if k == key {
			return true
		}
	}
	return false
}

const domainCluster Domain = "parley/v1/cluster"

// AppendCanonical appends the canonical encoding of everything but the addresses:
// what [Cluster.Digest] hashes.
func (c *Cluster) AppendCanonical(b []byte) []byte {
	b = canon.AppendUint32(b, uint32(c.Format))
	b = canon.AppendString(b, c.Name)
	b = append(b, c.Nonce[:]...)
	b = canon.AppendUint64(b, c.Epoch)
	b = canon.AppendBool(b, c.Origin != nil)
	if c.Origin != nil {
		b = append(b, c.Origin[:]...)
	}
	b = canon.AppendString(b, c.VoteScheme)
	b = c.Parameters.append(b)
	b = canon.AppendBool(b, c.AllowDominant)
	b = canon.AppendUint32(b, uint32(len(c.Members)))
	for i := range c.Members {
		m := &c.Members[i]
		b = canon.AppendString(b, m.Name)
		b = canon.AppendUint64(b, m.Weight)
		b = append(b, m.SigningKey[:]...)
		b = append(b, m.TLSKey[:]...)
		b = append(b, m.BLSKey[:]...)
		b = append(b, m.BLSProof[:]...)
	}
	b = canon.AppendString(b, c.Clients.Admission)
	b = canon.AppendUint32(b, uint32(len(c.Clients.Keys)))
	for _, k := range c.Clients.Keys {
		b = append(b, k[:]...)
	}
	b = canon.AppendBool(b, c.Application != nil)
	if c.Application != nil {
		b = c.Application.append(b)
	}
	return b
}

// Digest identifies this configuration: name, nonce, epoch, members, keys,
// weights, parameters, clients, application; not the addresses.
func (c *Cluster) Digest() Digest { return Hash(domainCluster, c.AppendCanonical(nil)) }

// ID is the cluster id that goes into every [Context]: the digest of the first
// epoch's configuration, for all epochs. (A client's request outlives epochs.)
func (c *Cluster) ID() Digest {
	if c.Origin != nil {
		return *c.Origin
	}
	return c.Digest()
}

// Next returns a copy with the next epoch number and the origin filled in, for
// the caller to change and check.
func (c *Cluster) Next() *Cluster {
	next := *c
	id := c.ID()
	next.Origin = &id
	next.Epoch++
	next.Members = append([]Member(nil), c.Members...)
	next.Clients.Keys = append([]PublicKey(nil), c.Clients.Keys...)
	return &next
}

// TotalWeight returns the sum of the members' weights.
func (c *Cluster) TotalWeight() uint64 {
	var w uint64
	for i := range c.Members {
		w += c.Members[i].Weight
	}
	return w
}

// FaultyWeight returns F: the weight that may be Byzantine, floor((W-1)/3).
func (c *Cluster) FaultyWeight() uint64 {
	if w := c.TotalWeight(); w > 0 {
		return (w - 1) / 3
	}
	return 0
}

// Warnings returns what an operator should be told about a configuration that is
// valid all the same.
func (c *Cluster) Warnings() []string {
	var warnings []string
	f := c.FaultyWeight()
	if f == 0 {
		warnings = append(warnings, fmt.Sprintf(
			"%d members of total weight %d tolerate no faulty member at all: use four or more",
			len(c.Members), c.TotalWeight()))
	}
	if f > 0 {
		var dominant []string
		for i := range c.Members {
			if c.Members[i].Weight > f {
				dominant = append(dominant, c.Members[i].Name)
			}
		}
		if len(dominant) > 0 {
			warnings = append(warnings, fmt.Sprintf(
				"members %s weigh more than the %d that may fail: each of them alone can stop the cluster",
				strings.Join(dominant, ", "), f))
		}
	}
	if c.Clients.Admission == AdmitOpen {
		warnings = append(warnings, "clients are not listed: anybody can fill the session table")
	}
	return warnings
}
