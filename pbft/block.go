package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Header is what a block's digest covers.
type Header struct {
	Cluster    Digest
	Epoch      Epoch
	Height     Height
	View       View // in which it was proposed; a vote's view may be higher
	Parent     Digest
	Payload    Digest // over the requests, in order, with their signatures
	Proposer   ReplicaID
	Time       Time
	Checkpoint bool // the primary asks for a checkpoint here (PROTOCOL R15)
}

const (
	domainBlock   = crypto.Domain("parley/block")
	domainPayload = crypto.Domain("parley/payload")
	headerSize    = 32 + 8 + 8 + 8 + 32 + 32 + 2 + 8 + 1
)

// Append appends the canonical encoding.
func (h *Header) Append(b []byte) []byte {
	b = append(b, h.Cluster[:]...)
	b = canon.AppendUint64(b, uint64(h.Epoch))
	b = canon.AppendUint64(b, uint64(h.Height))
	b = canon.AppendUint64(b, uint64(h.View))
	b = append(b, h.Parent[:]...)
	b = append(b, h.Payload[:]...)
	b = canon.AppendUint16(b, uint16(h.Proposer))
	b = canon.AppendUint64(b, uint64(h.Time))
	return canon.AppendBool(b, h.Checkpoint)
}

func readHeader(r *canon.Reader) (h Header) {
	r.Copy(h.Cluster[:])
	h.Epoch = Epoch(r.Uint64())
	h.Height = Height(r.Uint64())
	h.View = View(r.Uint64())
	r.Copy(h.Parent[:])
	r.Copy(h.Payload[:])
	h.Proposer = ReplicaID(r.Uint16())
	h.Time = Time(r.Uint64())
	h.Checkpoint = r.Bool()
	return h
}

// DecodeHeader reads what [Header.Append] wrote.
func DecodeHeader(b []byte) (Header, error) {
	r := canon.NewReader(b)
	h := readHeader(r)
	if err := r.Close(); err != nil {
		return Header{}, fmt.Errorf("header: %w", err)
	}
	return h, nil
}

// Digest is the digest of the block.
func (h *Header) Digest() Digest {
	var buf [headerSize]byte
	return crypto.Hash(domainBlock, h.Append(buf[:0]))
}

// Block is a header and the requests it orders. It is immutable once made.
type Block struct {
	Header
	Requests []*Request

	raw    []byte
	digest Digest
	// signed is raw and behind it, in the same memory, the signature that the block came
	// with, zeros for one made here: what the log keeps of it.
	signed []byte
}

// payloadDigest hashes the requests' digests and signatures: the bodies were
// hashed once already, when the requests were decoded.
func payloadDigest(requests []*Request) Digest {
	const item = crypto.DigestSize + signatureSize
	b := make([]byte, 0, 4+item*len(requests))
	b = canon.AppendUint32(b, uint32(len(requests)))
	for _, r := range requests {
		b = append(b, r.digest[:]...)
		b = append(b, r.Signature[:]...)
	}
	return crypto.Hash(domainPayload, b)
}

// NewBlock makes a block: it fills in the header's payload digest.
func NewBlock(h Header, requests []*Request) *Block {
	h.Payload = payloadDigest(requests)
	size := headerSize + 4
	for _, r := range requests {
		size += r.Size()
	}
	b := &Block{Header: h, Requests: requests, signed: make([]byte, 0, size+signatureSize)}
	b.signed = b.Header.Append(b.signed)
	b.signed = canon.AppendUint32(b.signed, uint32(len(requests)))
	for _, r := range requests {
		b.signed = append(b.signed, r.raw...)
	}
	b.signed = b.signed[:size+signatureSize]
	b.raw = b.signed[:size:size]
	b.digest = b.Header.Digest()
	return b
}

// Digest is the digest of the header, and through it of everything in the block.
func (b *Block) Digest() Digest { return b.digest }

// Ref names the block.
func (b *Block) Ref() BlockRef { return BlockRef{b.Height, b.digest} }

// Size is the length of the encoding in bytes.
func (b *Block) Size() int { return len(b.raw) }

// Encode returns the canonical encoding. The caller must not change it.
func (b *Block) Encode() []byte { return b.raw }

func (b *Block) String() string {
	return fmt.Sprintf("block %d:%v view:%d requests:%d", b.Height, b.digest, b.View, len(b.Requests))
}

// DecodeBlock reads what [Block.Encode] wrote and checks that the payload is the
// one the header names. The block aliases enc.
func DecodeBlock(enc []byte) (*Block, error) {
	r := canon.NewReader(enc)
	b := readBlock(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	return b, nil
}

func readBlock(r *canon.Reader) *Block {
	before := r.Rest()
	b := &Block{Header: readHeader(r)}
	n := r.Count(1<<20, minRequestSize)
	if n > 0 {
		b.Requests = make([]*Request, n)
	}
	for i := range b.Requests {
		if b.Requests[i] = readRequest(r); r.Err() != nil {
			return nil
		}
	}
	if r.Err() != nil {
		return nil
	}
	used := len(before) - r.Len()
	b.raw = before[:used:used]
	if got := payloadDigest(b.Requests); got != b.Payload {
		r.Fail("payload digest %v, header says %v", got, b.Payload)
		return nil
	}
	b.digest = b.Header.Digest()
	return b
}

// StartBlock returns the block that the first epoch of a cluster starts from:
// height 0, no parent, no requests. Nobody signs it and everybody has it.
func StartBlock(cluster Digest, epoch Epoch) *Block {
	return NewBlock(Header{Cluster: cluster, Epoch: epoch}, nil)
}
