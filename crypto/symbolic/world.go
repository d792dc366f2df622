package symbolic

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/parley-bft/parley/crypto"
)

// Name is the scheme's name. No cluster file may use it.
const Name = "symbolic"

// Size is the length of a replica's signature in bytes.
const Size = sha256.Size

// World holds every secret of a simulation, derived from its seed. Only who has
// the World can sign or verify anything. It is safe for concurrent use.
type World struct {
	seed [32]byte

	mu      sync.Mutex
	clients map[crypto.PublicKey]*keyed
}

// NewWorld returns the world of a seed; equal seeds give equal keys.
func NewWorld(seed uint64) *World {
	w := &World{clients: make(map[crypto.PublicKey]*keyed)}
	w.seed = sha256.Sum256(binary.BigEndian.AppendUint64([]byte("parley symbolic world"), seed))
	return w
}

func (w *World) secret(purpose string, number uint64) []byte {
	m := hmac.New(sha256.New, w.seed[:])
	m.Write([]byte(purpose))
	m.Write(binary.BigEndian.AppendUint64(nil, number))
	return m.Sum(nil)
}

// keyed makes tags under one secret: the hash of secret and message. (No HMAC: it
// costs twice as much, and nobody in a simulation computes hashes to extend one.)
type keyed struct{ secret [sha256.Size]byte }

func newKeyed(secret []byte) *keyed { return &keyed{[sha256.Size]byte(secret)} }

func (k *keyed) sum(c crypto.Context, msg []byte) [Size]byte {
	var buf [320]byte // longer messages go to the heap
	return sha256.Sum256(c.AppendMessage(append(buf[:0], k.secret[:]...), msg))
}

// Signer returns the signer of replica id; its signatures have 32 bytes.
func (w *World) Signer(id crypto.ReplicaID) crypto.Signer {
	return signer{newKeyed(w.secret("replica", uint64(id)))}
}

type signer struct{ key *keyed }

func (s signer) Sign(c crypto.Context, msg []byte) []byte {
	tag := s.key.sum(c, msg)
	return tag[:]
}

// Client returns the signer of the simulation's client number n. Its signatures
// have the size of Ed25519's, the second half zero.
func (w *World) Client(n uint64) crypto.KeySigner {
	secret := w.secret("client", n)
	c := client{public: crypto.PublicKey(w.secret("client public key", n)), key: newKeyed(secret)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.clients[c.public]; !known {
		w.clients[c.public] = newKeyed(secret)
	}
	return c
}

type client struct {
	public crypto.PublicKey
	key    *keyed
}

func (c client) Public() crypto.PublicKey { return c.public }

func (c client) Sign(ctx crypto.Context, msg []byte) []byte {
	tag := c.key.sum(ctx, msg)
	return append(tag[:], make([]byte, crypto.SignatureSize-Size)...)
}

var _ crypto.RequestVerifier = (*World)(nil)

// Verify checks a client's signature. A key that [World.Client] never gave out
// has no signatures.
func (w *World) Verify(key crypto.PublicKey, c crypto.Context, msg []byte, sig crypto.Signature) bool {
	w.mu.Lock()
	k := w.clients[key]
	w.mu.Unlock()
	if k == nil {
		return false
	}
	var want crypto.Signature
	tag := k.sum(c, msg)
	copy(want[:], tag[:])
	return want == sig
}

// VerifyBatch checks every item by itself.
func (w *World) VerifyBatch(items []crypto.Item) []bool {
	valid := make([]bool, len(items))
	for i := range items {
		it := &items[i]
		valid[i] = w.Verify(it.Key, it.Context, it.Message, it.Signature)
	}
	return valid
}

// Scheme returns the scheme of replicas 0 to n-1. With lazy the aggregate is the
// sum of the shares (exclusive or; like BLS, shares are then to be checked only
// when the aggregate fails), without it is their list (like Ed25519).
func (w *World) Scheme(n int, lazy bool) (*Scheme, error) {
	if n < 1 || n > crypto.MaxReplicas {
		return nil, fmt.Errorf("symbolic scheme of %d replicas: want 1 to %d", n, crypto.MaxReplicas)
	}
	ids := make([]crypto.ReplicaID, n)
	for i := range ids {
		ids[i] = crypto.ReplicaID(i)
	}
	return w.SchemeOf(ids, lazy)
}

// SchemeOf returns the scheme whose replica i signs with the key of
// World.Signer(keys[i]): for epochs whose members change.
func (w *World) SchemeOf(keys []crypto.ReplicaID, lazy bool) (*Scheme, error) {
	if len(keys) < 1 || len(keys) > crypto.MaxReplicas {
		return nil, fmt.Errorf("symbolic scheme of %d replicas: want 1 to %d", len(keys), crypto.MaxReplicas)
	}
	s := &Scheme{lazy: lazy, keys: make([]*keyed, len(keys))}
	for i, id := range keys {
		s.keys[i] = newKeyed(w.secret("replica", uint64(id)))
	}
	return s, nil
}
