package replica

import (
	"context"
	"errors"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
	"github.com/parley-bft/parley/transport"
)

// replySink takes what became of clients' requests. Its methods are called by the
// execution goroutine (Deliver) and the protocol goroutine (Refused) and must not
// block: a full queue of one client is that client's loss, it asks again.
type replySink interface {
	// Deliver hands over the replies of the block at height, one for each of its
	// requests and in their order. The slice and what it holds are shared: not to
	// be changed. Blocks come in ascending order.
	Deliver(epoch pbft.Epoch, height pbft.Height, replies []statemachine.Reply)

	// Refused tells that a request was not taken into the pool, or did not stay there
	// (DropDisplaced). It was not executed because of this offer; it may be in the log
	// all the same, through another replica.
	Refused(r *pbft.Request, why pbft.Drop)
}

// backend is what the client-facing side needs of the replica. All methods are
// safe for concurrent use.
type backend interface {
	// Offer hands requests to the protocol goroutine. The caller has checked their
	// signatures and the admission of their clients. It never blocks: requests that
	// find no room are reported to replySink.Refused with DropBound, by the
	// calling goroutine.
	Offer(rs []*pbft.Request)

	// Known tells whether the signature of this very request was checked before, here:
	// a client that waits too long repeats it.
	Known(r *pbft.Request) bool

	// Lookup answers a request that was executed already, from the session table.
	Lookup(client crypto.PublicKey, seq uint64, digest pbft.Digest) (statemachine.Reply, bool)

	// Query asks the application's Querier. The height is one whose state the
	// answer reflects at least.
	Query(ctx context.Context, q []byte) ([]byte, pbft.Height, error)

	// QueryAt asks for the answer from the state after the block at exactly that height.
	// The height that it returns is that one, or with an error the last executed one.
	// Errors: ErrNoHistory, ErrHeightAhead, ErrPruned, and those of Query.
	QueryAt(ctx context.Context, h pbft.Height, q []byte) ([]byte, pbft.Height, error)

	// AwaitExecuted returns when height has been executed here, or ctx ends.
	AwaitExecuted(ctx context.Context, h pbft.Height) error

	// ReadIndex returns the height of the highest certificate that this replica holds,
	// which is not below anything that it helped to commit: what a linearizable read
	// must wait for (PROTOCOL R16). ErrNoReadIndex if it cannot say.
	ReadIndex(ctx context.Context) (pbft.Height, error)

	// Certified returns a proof of what the state at the latest stable checkpoint maps
	// key to. Errors: ErrNoQueries, ErrNotCertified, ErrPruned, ErrStore.
	Certified(ctx context.Context, key []byte) (*receipt.State, error)

	// Refresh asks for a new checkpoint, though nothing was executed since the last. Only
	// the primary makes one.
	Refresh()

	// Links returns which blocks changed something after a position of the feed, up to the
	// latest certified checkpoint and with the proof that these are all, or up to a height
	// that is not 0. Errors: ErrNoQueries, ErrNotCertified, ErrPruned.
	Links(ctx context.Context, after feed.Position, until pbft.Height) (*changedBlocks, error)

	// Pieces returns what those blocks changed. Errors: ErrNoQueries.
	Pieces(ctx context.Context, q *store.PiecesQuery) (*store.FeedAnswer, error)

	// AwaitCertified returns when something can be proved under a checkpoint of that height
	// or above, or ctx ends.
	AwaitCertified(ctx context.Context, h pbft.Height) error

	// ReceiptAt returns what a receipt for one operation of a request is made of.
	// Errors: ErrNoSuchResult, ErrNotCertified, ErrPruned, ErrStore.
	ReceiptAt(ctx context.Context, h pbft.Height, request pbft.Digest, op int) (*receiptParts, error)

	// Status says where the replica is.
	Status() Status
}

// Errors of backend.ReceiptAt; test with errors.Is.
var (
	// ErrNoSuchResult: the block at that height has no such request or operation.
	ErrNoSuchResult = errors.New("no such result")
	// ErrNotCertified: no checkpoint that covers the height is certified yet.
	ErrNotCertified = errors.New("not certified yet")
	// ErrPruned: what the receipt is made of has been discarded here.
	ErrPruned = errors.New("discarded")
)

// frontend is the client-facing side: it listens for clients, offers their
// requests to the backend and sends them what the replySink's methods bring.
type frontend interface {
	replySink
	// start begins to listen. It is called once the replica has recovered.
	start(b backend) error
	// stop ends all connections, within ctx if they end by themselves, and returns
	// when no goroutine of the frontend runs any more. Neither method of the
	// replySink is called afterwards.
	stop(ctx context.Context) error
	// clientCounters returns what was counted so far.
	clientCounters() ClientCounters
}

// newFrontend makes the client-facing side of a server. It is nil where that side
// is not part of the program.
var newFrontend func(cfg *Config) (frontend, error)

// interposer stands between a server and everybody else. Nothing sets one but what
// is built with the tag chaos: there a traitor's keys are in a real process.
type interposer interface {
	// handler takes what arrives from peers in the server's place. It is called once
	// the server has recovered.
	handler(s *Server) transport.Handler
	// transport takes what the server sends to peers.
	transport(t transport.Transport) transport.Transport
	// frontend takes what the server answers clients, and what they ask.
	frontend(s *Server, f frontend) frontend
}

// receiptParts is everything that proves one result.
type receiptParts struct {
	Epoch       pbft.Epoch
	Certificate *pbft.CheckpointCertificate // its Results is the tree's root
	Leaf        receipttree.Leaf
	Body        *pbft.Request // the leaf's, if it ran
	Status      statemachine.Status
	Index       int // of the leaf
	Count       int // of leaves
	Path        []crypto.Digest
}

// Status says where a replica is. It is a snapshot.
type Status struct {
	Cluster  crypto.Digest  `json:"cluster"`
	Epoch    pbft.Epoch     `json:"epoch"`
	Replica  pbft.ReplicaID `json:"replica"`
	Name     string         `json:"name"`
	Build    string         `json:"build,omitempty"`
	View     pbft.View      `json:"view"`
	Primary  pbft.ReplicaID `json:"primary"`
	Entered  bool           `json:"entered"` // the view's NewView is known here
	Open     bool           `json:"open"`    // the view has committed its base
	Suspects bool           `json:"suspects"`
	Follower bool           `json:"follower"` // signs nothing: rejoining after a lost disk

	Committed pbft.Height `json:"committed"`
	Executed  pbft.Height `json:"executed"`
	Stable    pbft.Height `json:"stable"`
	Oldest    pbft.Height `json:"oldest"` // lowest block that peers can get here
	Snapshot  pbft.Height `json:"snapshot"`
	Pool      int         `json:"pool"` // requests waiting

	// Transfer is the checkpoint that a state transfer is under way to, 0 if none,
	// and how much of it is here.
	Transfer       pbft.Height `json:"transfer,omitempty"`
	TransferChunks int         `json:"transferChunks,omitempty"`
	TransferTotal  int         `json:"transferTotal,omitempty"`

	Peers []PeerInfo `json:"peers"`
	// Halted says why the replica does not serve, empty if it does: it has failed, or its
	// state is not the certified one and is being repaired.
	Halted string `json:"halted,omitempty"`
	// Diverged is the checkpoint at which the state here was found to be another than the
	// certified one, 0 if it is not.
	Diverged pbft.Height `json:"diverged,omitempty"`
	// Split is a checkpoint for which no certificate can exist, since the replicas came to
	// different states, 0 if there is none.
	Split pbft.Height `json:"split,omitempty"`
}

// PeerInfo is the link to one peer.
type PeerInfo struct {
	Replica   pbft.ReplicaID `json:"replica"`
	Address   string         `json:"address,omitempty"`
	Connected bool           `json:"connected"`
	RTTMicros int64          `json:"rttMicros,omitempty"`
	LastError string         `json:"lastError,omitempty"`
}
