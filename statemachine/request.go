package statemachine

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// Request is a client's request as the executor needs it: authentic, and not yet
// known to be fit for execution.
type Request struct {
	Client crypto.PublicKey
	// Seq is the client's number of the request, from 1.
	Seq uint64
	// Low is the lowest number whose answer the client still wants. Above Seq it
	// counts as Seq.
	Low uint64
	// Deadline is the block time after which the request must not run.
	Deadline Time
	// Digest identifies everything that the client signed.
	Digest crypto.Digest
	Ops    [][]byte
}

// RequestBlock is a committed block.
type RequestBlock struct {
	Height uint64
	Time   Time
	Digest crypto.Digest
	// Checkpoint asks for a [CheckpointInfo] after this block.
	Checkpoint bool
	Requests   []Request
}

// Status says what became of a request. The numbers are part of receipts.
type Status uint8

const (
	// Executed: its operations ran in this block.
	Executed Status = 1
	// Duplicate: it ran in an earlier block (or earlier in this one); these are the
	// results of then.
	Duplicate Status = 2
	// Expired: block time is past its deadline. It has never run and never will.
	Expired Status = 3
	// Conflict: another request of the client with the same number has run. This
	// one never will, as long as the session lives.
	Conflict Status = 4
	// Window: its number is too far above what the client has answers for. Not
	// consumed: it may run later.
	Window Status = 5
	// Busy: the session table is full of clients that cannot be forgotten yet. Not
	// consumed.
	Busy Status = 6
	// Forgotten: its number has been used or given up (through Low), or its
	// session has been evicted after its deadline. Whether it ran is not known here
	// any more. It will not run in this session, nor ever after its deadline.
	Forgotten Status = 7
	// Early: its deadline is further off than MaxLife. Not consumed: it may run
	// when the deadline is nearer.
	Early Status = 8
	// Quarantined: the operators excluded it (see [Executor.Quarantine]). Not
	// consumed.
	Quarantined Status = 9
)

// String names the status.
func (s Status) String() string {
	names := [...]string{"", "executed", "duplicate", "expired", "conflict", "window", "busy", "forgotten", "early", "quarantined"}
	if s == 0 || int(s) >= len(names) {
		return fmt.Sprintf("status %d", uint8(s))
	}
	return names[s]
}

// Ran tells whether the reply carries the results of an execution.
func (s Status) Ran() bool { return s == Executed || s == Duplicate }

// Definite tells whether the status settles for good what became of the request:
// it ran, or it never has and never will.
func (s Status) Definite() bool { return s.Ran() || s == Expired }

// Reply is the answer to one request.
type Reply struct {
	Client  crypto.PublicKey
	Seq     uint64
	Request crypto.Digest
	Status  Status
	// Results has one result for each operation if [Status.Ran], and is nil
	// otherwise. It is shared with the executor's cache: not to be changed.
	Results []Result
	// Height is the block in which the request first ran, or in which it was turned
	// down.
	Height uint64
	// Leaf is the position of the request's first leaf among the leaves of the next
	// checkpoint (its operations' leaves follow one another; a request that did not
	// run has one), or -1 in an answer of [Executor.Lookup].
	Leaf int
}

// ReceiptLeaf returns the leaf that the request's block put into the tree of
// results for its operation number index; or, if the request was turned down, for the
// request (index is not used). A reply with status Duplicate stands for the execution
// that it repeats. It panics if a request that ran has no such operation.
func (r *Reply) ReceiptLeaf(index int) receipttree.Leaf {
	if !r.Status.Ran() {
		return receipttree.Leaf{Height: r.Height, Request: r.Request, Status: uint8(r.Status)}
	}
	return receiptLeaf(r.Height, &r.Request, index, &r.Results[index])
}

// receiptLeaf is the leaf of an operation that ran.
func receiptLeaf(height uint64, request *crypto.Digest, index int, r *Result) receipttree.Leaf {
	return receipttree.Leaf{
		Height: height, Request: *request, Status: uint8(Executed),
		Index: uint32(index), Code: uint32(r.Code), Result: r.Data,
	}
}

const domainReply = crypto.Domain("parley/reply")

// Digest is what replicas must agree on for a client to accept the reply. It is
// equal for Executed and Duplicate: whichever a replica sends, the outcome is the
// same.
func (r *Reply) Digest() crypto.Digest {
	status := r.Status
	if status == Duplicate {
		status = Executed
	}
	b := make([]byte, 0, 32+8+32+1+8+4+len(r.Results)*(4+crypto.DigestSize))
	b = append(b, r.Client[:]...)
	b = canon.AppendUint64(b, r.Seq)
	b = append(b, r.Request[:]...)
	b = canon.AppendUint8(b, uint8(status))
	b = canon.AppendUint64(b, r.Height)
	b = canon.AppendUint32(b, uint32(len(r.Results)))
	for i := range r.Results {
		d := receipttree.ResultDigest(r.Results[i].Data)
		b = canon.AppendUint32(b, uint32(r.Results[i].Code))
		b = append(b, d[:]...)
	}
	return crypto.Hash(domainReply, b)
}
