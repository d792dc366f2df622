package roster

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/bls"
	"github.com/parley-bft/parley/crypto/ed25519"
)

// Roster is a cluster file that has passed every check, with the schemes over
// its members' keys. It is immutable and safe for concurrent use.
type Roster struct {
	// Cluster is the file; not to be changed.
	Cluster *crypto.Cluster

	// ID is the cluster id that goes into every context.
	ID crypto.Digest

	// Messages signs what is not a vote (PrePrepare, ViewChange, NewView, ...):
	// Ed25519 over the signing keys.
	Messages crypto.Scheme

	// Votes signs Prepare and Commit, as the file names it.
	Votes crypto.Scheme

	// Checkpoints signs checkpoints: always BLS.
	Checkpoints crypto.Scheme

	weights []uint64
	byTLS   map[crypto.PublicKey]crypto.ReplicaID
	clients map[crypto.PublicKey]struct{} // nil when any key is admitted
}

// ErrNotMember is wrapped by the errors of [Roster.FindSelf].
var ErrNotMember = errors.New("keys do not belong to a member of the cluster")

// Load reads a cluster file and checks everything: the format, the values, the
// keys and the proofs of possession (about 5 ms a member).
func Load(path string) (*Roster, error) {
	c, err := crypto.LoadCluster(path)
	if err != nil {
		return nil, err
	}
	r, err := New(c)
	if err != nil {
		return nil, fmt.Errorf("cluster file %s: %w", path, err)
	}
	return r, nil
}

// New checks a cluster as [Load] does. It is also how a configuration that the
// cluster itself adopts for its next epoch is checked: the result depends on c alone.
func New(c *crypto.Cluster) (*Roster, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	n := len(c.Members)
	signing := make([]crypto.PublicKey, n)
	tls := make([]crypto.PublicKey, n)
	keys, proofs := make([][]byte, n), make([][]byte, n)
	for i := range c.Members {
		m := &c.Members[i]
		signing[i], tls[i] = m.SigningKey, m.TLSKey
		keys[i], proofs[i] = m.BLSKey[:], m.BLSProof[:]
		if err := ed25519.CheckKey(m.TLSKey); err != nil {
			return nil, fmt.Errorf("cluster %q: tlsKey of %q: %w", c.Name, m.Name, err)
		}
	}
	messages, err := ed25519.NewScheme(signing)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: signing keys: %w", c.Name, err)
	}
	checkpoints, err := bls.NewScheme(keys, proofs)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: BLS keys: %w", c.Name, err)
	}
	var votes crypto.Scheme = messages
	if c.VoteScheme == crypto.VoteBLS {
		votes = checkpoints
	}
	return assemble(c, messages, votes, checkpoints), nil
}

// WithSchemes builds a roster over other schemes than the cluster names. It is
// for simulators (package symbolic): the members' keys are not looked at, so
// nothing that came from a file may pass through here.
func WithSchemes(c *crypto.Cluster, messages, votes, checkpoints crypto.Scheme) (*Roster, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return assemble(c, messages, votes, checkpoints), nil
}

func assemble(c *crypto.Cluster, messages, votes, checkpoints crypto.Scheme) *Roster {
	r := &Roster{
		Cluster: c, ID: c.ID(),
		Messages: messages, Votes: votes, Checkpoints: checkpoints,
		weights: make([]uint64, len(c.Members)),
		byTLS:   make(map[crypto.PublicKey]crypto.ReplicaID, len(c.Members)),
	}
	for i := range c.Members {
		r.weights[i] = c.Members[i].Weight
		r.byTLS[c.Members[i].TLSKey] = crypto.ReplicaID(i)
	}
	if c.Clients.Admission == crypto.AdmitList {
		r.clients = make(map[crypto.PublicKey]struct{}, len(c.Clients.Keys))
		for _, k := range c.Clients.Keys {
			r.clients[k] = struct{}{}
		}
	}
	return r
}

// N returns the number of members.
func (r *Roster) N() int { return len(r.weights) }

// Weights returns a copy of the members' weights, by ReplicaID.
func (r *Roster) Weights() []uint64 { return append([]uint64(nil), r.weights...) }

// Member returns a member, not to be changed. It panics when id is not below N.
func (r *Roster) Member(id crypto.ReplicaID) *crypto.Member { return &r.Cluster.Members[id] }

// Signing returns a member's signing key. It panics when id is not below N.
func (r *Roster) Signing(id crypto.ReplicaID) crypto.PublicKey {
	return r.Cluster.Members[id].SigningKey
}

// Context returns the context of a signature of this cluster and epoch; for
// requests the epoch is zero.
func (r *Roster) Context(kind crypto.Kind) crypto.Context {
	c := crypto.Context{Kind: kind, Cluster: r.ID, Epoch: r.Cluster.Epoch}
	if kind == crypto.KindRequest {
		c.Epoch = 0
	}
	return c
}

// MemberByTLSKey returns the member that a TLS connection belongs to.
func (r *Roster) MemberByTLSKey(key crypto.PublicKey) (crypto.ReplicaID, bool) {
	id, ok := r.byTLS[key]
	return id, ok
}

// Admits tells whether the cluster executes that client's requests.
func (r *Roster) Admits(client crypto.PublicKey) bool {
	if r.clients == nil {
		return true
	}
	_, ok := r.clients[client]
	return ok
}

// FindSelf returns which member has these keys. If none has all of them, the
// error wraps ErrNotMember and says which key is wrong and what to do.
func (r *Roster) FindSelf(keys crypto.MemberKeys) (crypto.ReplicaID, error) {
	const remedy = "use the key file that the cluster file was made from, or change the cluster's configuration"
	for i := range r.Cluster.Members {
		m := &r.Cluster.Members[i]
		if m.SigningKey != keys.Signing {
			continue
		}
		switch {
		case m.TLSKey != keys.TLS:
			return 0, fmt.Errorf("%w: member %q has our signing key but TLS key %s, the key file has %s: %s",
				ErrNotMember, m.Name, m.TLSKey.Hex(), keys.TLS.Hex(), remedy)
		case m.BLSKey != keys.BLS:
			return 0, fmt.Errorf("%w: member %q has our signing key but BLS key %s.., the key file has %s..: %s",
				ErrNotMember, m.Name, m.BLSKey, keys.BLS, remedy)
		}
		return crypto.ReplicaID(i), nil
	}
	return 0, fmt.Errorf("%w: no member of cluster %q (epoch %d) has signing key %s: %s",
		ErrNotMember, r.Cluster.Name, r.Cluster.Epoch, keys.Signing.Hex(), remedy)
}
