// Package receipt is proof of a result that needs no trust and no connection:
// who has the cluster file can check, offline and years later, that the cluster
// gave an operation this result.
//
// At each checkpoint a quorum of replicas signs the root of the Merkle tree over
// everything executed since the checkpoint before. A [Receipt] is one leaf of that
// tree, its path to the root and the checkpoint's certificate.
//
//	r, err := receipt.Decode(data)
//	err = receipt.Verify(roster, r)
//
// What is proved is the result of operation Index of the request with a certain
// digest. That digest covers the client's key, the sequence number and all operations
// of the request: a receipt that contains the request ([Receipt.WithRequest]) shows and
// proves those too, and [Receipt.CheckRequest] does with the request at hand.
package receipt

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// Receipt proves what became of one operation. It is immutable once made, by
// [New] or [Decode]; that it exists proves nothing, [Verify] does.
type Receipt struct {
	// Cluster and Epoch say whose certificate it is.
	Cluster crypto.Digest
	Epoch   pbft.Epoch

	// Height is the block in which the request ran, or was turned down.
	Height pbft.Height
	// Request is the digest of what the client signed.
	Request pbft.Digest
	// Status is Executed, or why the request was turned down in that block; then
	// there is neither an operation nor a result.
	Status statemachine.Status

	// Index is the operation's position in its request, from 0.
	Index uint32
	// Body is the request if the receipt contains it, or nil. Its signature is not part
	// of the receipt: that the cluster executed it shows that it was good.
	Body *pbft.Request
	// Result is what the operation came to. Its data is shared: not to be changed.
	Result statemachine.Result

	// Position and Count are the leaf's, Path its siblings from the leaf upwards.
	Position uint32
	Count    uint32
	Path     []crypto.Digest

	// Certificate is the checkpoint's, whose Results is the root.
	Certificate *pbft.CheckpointCertificate
}

// Errors of [Verify], [New] and [Receipt.CheckRequest]; test with errors.Is. Errors of
// [Decode] wrap canon.ErrMalformed.
var (
	// ErrOtherCluster: it was made by another cluster than the roster's.
	ErrOtherCluster = errors.New("receipt of another cluster")
	// ErrOtherEpoch: it was made in another epoch; use that epoch's cluster file.
	ErrOtherEpoch = errors.New("receipt of another epoch")
	// ErrInconsistent: parts of it contradict each other.
	ErrInconsistent = errors.New("receipt contradicts itself")
	// ErrPath: the result is not under the certified root.
	ErrPath = errors.New("receipt's result is not what was certified")
	// ErrCertificate: the checkpoint's certificate proves nothing.
	ErrCertificate = errors.New("receipt's certificate does not verify")
	// ErrOtherRequest: it is about another request or operation.
	ErrOtherRequest = errors.New("receipt of another request")
)

// WithRequest returns a copy that contains the request. It fails with ErrOtherRequest
// unless request is the one that the receipt is about, and ran.
func (r *Receipt) WithRequest(request *pbft.Request) (*Receipt, error) {
	if r.Status != statemachine.Executed {
		return nil, fmt.Errorf("%w: the request did not run (%v), it is no part of the receipt", ErrOtherRequest, r.Status)
	}
	if err := r.CheckRequest(request); err != nil {
		return nil, err
	}
	with := *r
	with.Body = request
	return &with, nil
}

// WithoutRequest returns a copy that does not contain the request: it is smaller, and
// shows of the request no more than its digest.
func (r *Receipt) WithoutRequest() *Receipt {
	without := *r
	without.Body = nil
	return &without
}

// Operation returns the operation if the receipt contains its request.
func (r *Receipt) Operation() (op []byte, ok bool) {
	if r.Body == nil || uint64(r.Index) >= uint64(len(r.Body.Ops)) {
		return nil, false
	}
	return r.Body.Ops[r.Index], true
}

// CheckOperation tells whether the receipt is about op. The error wraps
// ErrOtherRequest; a receipt that does not contain its request does not show that.
func (r *Receipt) CheckOperation(op []byte) error {
	switch is, ok := r.Operation(); {
	case !ok:
		return fmt.Errorf("%w: it contains no operation, only its request's digest %s", ErrOtherRequest, r.Request.Hex())
	case !bytes.Equal(is, op):
		return fmt.Errorf("%w: its operation is another", ErrOtherRequest)
	}
	return nil
}

// CheckRequest tells whether the receipt is about request: then what it proves
// holds for that client and sequence number. The error wraps ErrOtherRequest.
func (r *Receipt) CheckRequest(request *pbft.Request) error {
	if d := request.Digest(); d != r.Request {
		return fmt.Errorf("%w: it is about request %s, this one is %s", ErrOtherRequest, r.Request.Hex(), d.Hex())
	}
	if r.Status != statemachine.Executed {
		return nil
	}
	if uint64(r.Index) >= uint64(len(request.Ops)) {
		return fmt.Errorf("%w: it is about operation %d, the request has %d", ErrOtherRequest, r.Index, len(request.Ops))
	}
	return nil
}

// leaf is the leaf that the fields stand for.
func (r *Receipt) leaf() receipttree.Leaf {
	l := receipttree.Leaf{Height: uint64(r.Height), Request: r.Request, Status: uint8(r.Status)}
	if r.Status == statemachine.Executed {
		l.Index, l.Code, l.Result = r.Index, uint32(r.Result.Code), r.Result.Data
	}
	return l
}

// check looks for contradictions that need no keys.
func (r *Receipt) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInconsistent, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Certificate == nil:
		return bad("no certificate")
	case r.Status < statemachine.Executed || r.Status > statemachine.Quarantined:
		return bad("status %d", r.Status)
	case r.Status != statemachine.Executed && (r.Body != nil || r.Index != 0 || r.Result.Code != 0 || len(r.Result.Data) != 0):
		return bad("an operation or result of a request that did not run")
	case r.Body != nil && r.Body.Digest() != r.Request:
		return bad("request and its digest")
	case r.Body != nil && uint64(r.Index) >= uint64(len(r.Body.Ops)):
		return bad("operation %d of %d", r.Index, len(r.Body.Ops))
	case r.Height == 0 || r.Height > r.Certificate.Height:
		return bad("height %d under a checkpoint at %d", r.Height, r.Certificate.Height)
	case r.Position >= r.Count:
		return bad("leaf %d of %d", r.Position, r.Count)
	}
	return nil
}

// Verify returns nil if the members of ros, in its epoch, certified exactly what
// the receipt says. It needs no connection and trusts nothing but ros. It costs
// about 3 ms for the signature.
func Verify(ros *roster.Roster, r *Receipt) error {
	if r.Cluster != ros.ID {
		return fmt.Errorf("%w: it is of %s, the roster is of %s", ErrOtherCluster, r.Cluster.Hex(), ros.ID.Hex())
	}
	if uint64(r.Epoch) != ros.Cluster.Epoch {
		return fmt.Errorf("%w: it is of epoch %d, the roster of epoch %d", ErrOtherEpoch, r.Epoch, ros.Cluster.Epoch)
	}
	if err := r.check(); err != nil {
		return err
	}
	leaf := r.leaf()
	if !receipttree.Verify(r.Certificate.Results, leaf.Digest(), int(r.Position), int(r.Count), r.Path) {
		return fmt.Errorf("%w: leaf %d of %d is not under root %s", ErrPath, r.Position, r.Count, r.Certificate.Results.Hex())
	}
	return VerifyCertificate(ros, r.Certificate)
}

// VerifyCertificate checks the certificate of a checkpoint; the error wraps ErrCertificate.
func VerifyCertificate(ros *roster.Roster, c *pbft.CheckpointCertificate) error {
	if err := c.Signers.Check(ros.N()); err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	quorums, err := pbft.NewQuorumSystem(ros.Weights())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if !quorums.IsQuorum(c.Signers) {
		return fmt.Errorf("%w: the signers %v weigh %d, a quorum weighs %d", ErrCertificate, c.Signers, quorums.WeightOf(c.Signers), quorums.QuorumWeight())
	}
	if err := ros.Checkpoints.VerifyAggregate(ros.Context(crypto.KindCheckpoint), c.CheckpointStatement.Append(nil), c.Signers, c.Proof); err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return nil
}
