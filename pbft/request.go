package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Request is what a client signs: one or more operations under one sequence
// number. It is immutable once made; [NewRequest] and [DecodeRequest] are the
// only ways to make one.
type Request struct {
	// Client is the Ed25519 key that signed it.
	Client crypto.PublicKey
	// Seq is the client's number for this request, from 1.
	Seq uint64
	// Low is the lowest sequence number whose answer the client still wants:
	// results below it may be forgotten. Invariant of an honest client: Low <= Seq.
	Low uint64
	// Deadline is the block time after which the request must not be executed.
	Deadline Time
	// Ops are the operations, executed in order.
	Ops [][]byte
	// Signature is over [Request.Digest], kind crypto.KindRequest.
	Signature crypto.Signature

	raw    []byte
	digest Digest
}

const (
	domainRequest = crypto.Domain("parley/request")
	// MaxOpsPerRequest bounds the operations in one request.
	MaxOpsPerRequest  = 65536
	requestFixedSize  = 32 + 8 + 8 + 8
	signatureSize     = 64
	minRequestSize    = requestFixedSize + 4 + signatureSize
	maxOperationBytes = 1 << 28
)

// NewRequest returns an unsigned request; [Request.WithSignature] completes it
// with the signature over [Request.Digest].
func NewRequest(client crypto.PublicKey, seq, low uint64, deadline Time, ops [][]byte) *Request {
	return SignedRequest(client, seq, low, deadline, ops, func(Digest) crypto.Signature { return crypto.Signature{} })
}

// SignedRequest returns a request with the signature that sign makes of its digest.
// It copies the operations, and keeps nothing of ops.
func SignedRequest(client crypto.PublicKey, seq, low uint64, deadline Time, ops [][]byte, sign func(Digest) crypto.Signature) *Request {
	size := minRequestSize
	for _, op := range ops {
		size += 4 + len(op)
	}
	b := make([]byte, 0, size)
	b = append(b, client[:]...)
	b = canon.AppendUint64(b, seq)
	b = canon.AppendUint64(b, low)
	b = canon.AppendUint64(b, uint64(deadline))
	b = canon.AppendUint32(b, uint32(len(ops)))
	r := &Request{Client: client, Seq: seq, Low: low, Deadline: deadline, Ops: make([][]byte, len(ops))}
	for i, op := range ops {
		b = canon.AppendBytes(b, op)
		r.Ops[i] = b[len(b)-len(op) : len(b) : len(b)]
	}
	r.digest = crypto.Hash(domainRequest, b)
	r.Signature = sign(r.digest)
	r.raw = append(b, r.Signature[:]...)
	return r
}

// WithSignature returns r with the client's signature.
func (r *Request) WithSignature(sig crypto.Signature) *Request {
	s := *r
	s.Signature = sig
	s.raw = append([]byte(nil), r.raw...)
	copy(s.raw[len(s.raw)-signatureSize:], sig[:])
	return &s
}

// apart returns r in memory of its own, so that keeping it keeps nothing else alive of
// the message that it came in.
func (r *Request) apart() *Request {
	s := *r
	s.raw = append(make([]byte, 0, len(r.raw)), r.raw...)
	s.Ops = make([][]byte, len(r.Ops))
	at := len(s.raw) - signatureSize // behind the last operation
	for i := len(r.Ops) - 1; i >= 0; i-- {
		s.Ops[i] = s.raw[at-len(r.Ops[i]) : at : at]
		at -= len(r.Ops[i]) + 4
	}
	return &s
}

// Digest is the hash of everything in r but the signature: what the client
// signed, and what replies and receipts are bound to.
func (r *Request) Digest() Digest { return r.digest }

// Size is the length of the encoding in bytes.
func (r *Request) Size() int { return len(r.raw) }

// Encode returns the canonical encoding. The caller must not change it.
func (r *Request) Encode() []byte { return r.raw }

func (r *Request) String() string {
	return fmt.Sprintf("request %v/%d low:%d ops:%d", r.Client, r.Seq, r.Low, len(r.Ops))
}

// DecodeRequest reads what [Request.Encode] wrote. The request aliases b.
// It checks structure only; [Verifier] checks the signature.
func DecodeRequest(b []byte) (*Request, error) {
	rd := canon.NewReader(b)
	r := readRequest(rd)
	if err := rd.Close(); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return r, nil
}

func readRequest(rd *canon.Reader) *Request {
	before := rd.Rest()
	r := new(Request)
	rd.Copy(r.Client[:])
	r.Seq = rd.Uint64()
	r.Low = rd.Uint64()
	r.Deadline = Time(rd.Uint64())
	n := rd.Count(MaxOpsPerRequest, 4)
	if n > 0 {
		r.Ops = make([][]byte, n)
	}
	for i := range r.Ops {
		r.Ops[i] = rd.Bytes(maxOperationBytes)
	}
	signed := len(before) - rd.Len()
	rd.Copy(r.Signature[:])
	if rd.Err() != nil {
		return nil
	}
	if r.Seq == 0 {
		rd.Fail("request with sequence number 0")
		return nil
	}
	if n == 0 {
		rd.Fail("request without operations")
		return nil
	}
	r.raw = before[: signed+signatureSize : signed+signatureSize]
	r.digest = crypto.Hash(domainRequest, before[:signed])
	return r
}
