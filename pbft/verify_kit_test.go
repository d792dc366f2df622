package pbft

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// kitShareSize is the length of a share of a kitScheme.
const kitShareSize = 32

// kitScheme is a keyed hash in the place of signatures: nobody forges in these
// tests. An aggregate is the list of shares, like that of Ed25519, or their XOR,
// like that of BLS.
type kitScheme struct {
	n      int
	joined bool
	checks *int // counts aggregates that were verified
}

func kitShare(id ReplicaID, c crypto.Context, msg []byte) []byte {
	h := sha256.Sum256(c.AppendMessage([]byte{byte(id >> 8), byte(id)}, msg))
	return h[:]
}

func (s *kitScheme) Name() string { return "kit" }
func (s *kitScheme) Lazy() bool   { return s.joined }

func (s *kitScheme) VerifyShare(c crypto.Context, msg []byte, share crypto.Share) error {
	if int(share.Signer) >= s.n {
		return crypto.ErrUnknownSigner
	}
	if !bytes.Equal(share.Signature, kitShare(share.Signer, c, msg)) {
		return crypto.ErrBadSignature
	}
	return nil
}

func (s *kitScheme) VerifyShares(checks []crypto.ShareCheck) []error {
	errs := make([]error, len(checks))
	for i, c := range checks {
		errs[i] = s.VerifyShare(c.Context, c.Message, c.Share)
	}
	return errs
}

func (s *kitScheme) Aggregate(shares []crypto.Share) ([]byte, error) {
	if err := crypto.CheckOrder(shares, s.n); err != nil {
		return nil, err
	}
	var proof []byte
	if s.joined {
		proof = make([]byte, kitShareSize)
	}
	for _, x := range shares {
		if len(x.Signature) != kitShareSize {
			return nil, &crypto.CulpritError{Signer: x.Signer, Err: crypto.ErrMalformed}
		}
		if !s.joined {
			proof = append(proof, x.Signature...)
			continue
		}
		for i, b := range x.Signature {
			proof[i] ^= b
		}
	}
	return proof, nil
}

func (s *kitScheme) VerifyAggregate(c crypto.Context, msg []byte, signers crypto.Bitmap, proof []byte) error {
	*s.checks++
	if err := signers.Check(s.n); err != nil {
		return err
	}
	var shares []crypto.Share
	for _, id := range signers.IDs() {
		shares = append(shares, crypto.Share{Signer: id, Signature: kitShare(id, c, msg)})
	}
	want, err := s.Aggregate(shares)
	if err != nil || !bytes.Equal(want, proof) {
		return crypto.ErrBadSignature
	}
	return nil
}

// kitRequests stands for Ed25519.
type kitRequests struct{ checked int }

func kitSignature(key crypto.PublicKey, c crypto.Context, msg []byte) (sig crypto.Signature) {
	h := sha256.Sum256(c.AppendMessage(key[:], msg))
	copy(sig[:], h[:])
	copy(sig[32:], key[:])
	return sig
}

func (r *kitRequests) Verify(key crypto.PublicKey, c crypto.Context, msg []byte, sig crypto.Signature) bool {
	r.checked++
	return sig == kitSignature(key, c, msg)
}

func (r *kitRequests) VerifyBatch(items []crypto.Item) []bool {
	ok := make([]bool, len(items))
	for i, it := range items {
		ok[i] = r.Verify(it.Key, it.Context, it.Message, it.Signature)
	}
	return ok
}

type kitSigner struct {
	id     ReplicaID
	member bool // Ed25519 signatures in the place of shares
}

func (s kitSigner) Sign(c crypto.Context, msg []byte) []byte {
	if s.member {
		sig := kitSignature(kitMember(s.id), c, msg)
		return sig[:]
	}
	return kitShare(s.id, c, msg)
}

func kitMember(id ReplicaID) crypto.PublicKey {
	return crypto.PublicKey{0xA0, byte(id >> 8), byte(id)}
}

// kitCache is a set of digests in the place of the host's caches.
type kitCache map[Digest]bool

func (c kitCache) Has(key Digest) bool { return c[key] }
func (c kitCache) Add(key Digest)      { c[key] = true }

type kitKnown map[Digest]crypto.Signature

func (k kitKnown) Known(d Digest, sig crypto.Signature) bool {
	return k[d] == sig && k[d] != crypto.Signature{}
}

// kit signs as anybody.
type kit struct {
	VerifierConfig
	v        *Verifier
	scheme   *kitScheme
	requests *kitRequests
	startAt  *Block
}

func newKit(joined bool, weights ...uint64) *kit {
	q, err := NewQuorumSystem(weights)
	if err != nil {
		panic(err)
	}
	k := &kit{requests: new(kitRequests), scheme: &kitScheme{n: len(weights), joined: joined, checks: new(int)}}
	cluster := crypto.Hash("test/cluster")
	k.startAt = StartBlock(cluster, 1)
	k.VerifierConfig = VerifierConfig{
		Cluster: cluster, Epoch: 1, Start: k.startAt.Ref(), Quorums: q, Schedule: NewSchedule(weights),
		Votes: k.scheme, Checkpoints: k.scheme, Requests: k.requests,
		Limits: Limits{MaxBlockBytes: 1 << 16, MaxBlockRequests: 8, MaxOperationBytes: 100, Window: 4},
	}
	for i := range weights {
		k.SigningKeys = append(k.SigningKeys, kitMember(ReplicaID(i)))
	}
	k.build()
	return k
}

func equalWeights(n int) []uint64 {
	w := make([]uint64, n)
	for i := range w {
		w[i] = 1
	}
	return w
}

func newKitOf(n int) *kit { return newKit(false, equalWeights(n)...) }

// build makes the verifier again after the config was changed.
func (k *kit) build() { k.v = NewVerifier(k.VerifierConfig) }

func (k *kit) as(id ReplicaID) Keys {
	return Keys{Self: id, Signing: kitSigner{id, true}, Votes: kitSigner{id, false}, Checkpoints: kitSigner{id, false}}
}

func (k *kit) sign(id ReplicaID, m Message) Message { return Sign(k.Cluster, k.Epoch, m, k.as(id)) }

func (k *kit) primary(v View) ReplicaID { return k.Schedule.Primary(k.Epoch, v) }

// header makes the header of a block on a parent; salt makes siblings differ.
func (k *kit) header(parent *Header, view View, salt int) *Header {
	b := NewBlock(Header{
		Cluster: k.Cluster, Epoch: k.Epoch, Height: parent.Height + 1, View: view, Parent: parent.Digest(),
		Proposer: k.primary(view), Time: Time(salt),
	}, nil)
	return &b.Header
}

func (k *kit) propose(parent *Header, view View, salt int, requests ...*Request) *PrePrepare {
	h := *k.header(parent, view, salt)
	p := &PrePrepare{Block: NewBlock(h, requests)}
	return k.sign(h.Proposer, p).(*PrePrepare)
}

func kitRef(h *Header) BlockRef { return BlockRef{h.Height, h.Digest()} }

func (k *kit) vote(id ReplicaID, st Statement) *Vote {
	return k.sign(id, &Vote{Statement: st, Signer: id}).(*Vote)
}

func (k *kit) statement(p Phase, view View, nv *NewView, block BlockRef) Statement {
	st := Statement{Phase: p, View: view, Height: block.Height, Block: block.Digest}
	if nv != nil {
		st.NewView = nv.Digest()
	}
	return st
}

func (k *kit) certificate(st Statement, ids ...ReplicaID) *Certificate {
	c := &Certificate{Statement: st, Signers: crypto.NewBitmap(k.Quorums.N())}
	var shares []crypto.Share
	for _, id := range ids {
		c.Signers.Set(id)
	}
	for _, id := range c.Signers.IDs() {
		shares = append(shares, crypto.Share{Signer: id, Signature: k.vote(id, st).Signature})
	}
	c.Proof, _ = k.scheme.Aggregate(shares)
	return c
}

func (k *kit) checkpointCertificate(st CheckpointStatement, ids ...ReplicaID) *CheckpointCertificate {
	c := &CheckpointCertificate{CheckpointStatement: st, Signers: crypto.NewBitmap(k.Quorums.N())}
	var shares []crypto.Share
	for _, id := range ids {
		c.Signers.Set(id)
		v := k.sign(id, &CheckpointVote{CheckpointStatement: st, Signer: id}).(*CheckpointVote)
		shares = append(shares, crypto.Share{Signer: id, Signature: v.Signature})
	}
	c.Proof, _ = k.scheme.Aggregate(shares)
	return c
}

// claimOf is the claim of somebody whose highest certificate is high, or who has none.
func (k *kit) claimOf(id ReplicaID, view View, high *Certificate) SignedClaim {
	return k.viewChange(id, view, high).SignedClaim
}

func (k *kit) viewChange(id ReplicaID, view View, high *Certificate) *ViewChange {
	c := Claim{View: view, High: Rank{0, k.Start.Height}, Block: k.Start.Digest}
	if high != nil {
		c = Claim{View: view, High: high.Rank(), Block: high.Block, Phase: high.Phase}
	}
	return k.sign(id, &ViewChange{SignedClaim: SignedClaim{Claim: c, Signer: id}, Certificate: high}).(*ViewChange)
}

func (k *kit) newView(view View, top *Certificate, claims ...SignedClaim) *NewView {
	return k.sign(k.primary(view), &NewView{View: view, Claims: claims, Certificate: top}).(*NewView)
}

func (k *kit) request(client byte, seq uint64, op string) *Request {
	r := NewRequest(crypto.PublicKey{client}, seq, 1, 1000, [][]byte{[]byte(op)})
	d := r.Digest()
	return r.WithSignature(kitSignature(r.Client, crypto.Context{Kind: crypto.KindRequest, Cluster: k.Cluster}, d[:]))
}

// chain makes n headers above a parent.
func (k *kit) chain(parent *Header, view View, salt, n int) []Header {
	out := make([]Header, n)
	for i := range out {
		out[i] = *k.header(parent, view, salt)
		parent = &out[i]
	}
	return out
}

func ids(list ...int) []ReplicaID {
	out := make([]ReplicaID, len(list))
	for i, x := range list {
		out[i] = ReplicaID(x)
	}
	return out
}

func setOf(n int, members ...ReplicaID) crypto.Bitmap {
	b := crypto.NewBitmap(n)
	for _, id := range members {
		b.Set(id)
	}
	return b
}

// kitHistory keeps everything.
type kitHistory struct {
	headers  map[Digest]*Header
	newViews map[Digest]*NewView
	commits  []*Certificate
}

func newKitHistory() *kitHistory {
	return &kitHistory{headers: map[Digest]*Header{}, newViews: map[Digest]*NewView{}}
}

func (h *kitHistory) add(things ...any) {
	for _, x := range things {
		switch x := x.(type) {
		case []Header:
			for i := range x {
				h.headers[x[i].Digest()] = &x[i]
			}
		case *Header:
			h.headers[x.Digest()] = x
		case *NewView:
			h.newViews[x.Digest()] = x
		case *Certificate:
			h.commits = append(h.commits, x)
		default:
			panic(fmt.Sprintf("kitHistory: %T", x))
		}
	}
}

func (h *kitHistory) Header(d Digest) *Header   { return h.headers[d] }
func (h *kitHistory) NewView(d Digest) *NewView { return h.newViews[d] }

func (h *kitHistory) Commits(low, high Height) (found []*Certificate) {
	for _, c := range h.commits {
		if c.Height >= low && c.Height <= high {
			found = append(found, c)
		}
	}
	return found
}
