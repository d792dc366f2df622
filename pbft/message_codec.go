package pbft

import (
	"bytes"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Encode returns the wire form of m: its kind, the epoch, its fields. The epoch
// is in front so that a message of another epoch can be told apart before
// anything in it is looked at.
func Encode(epoch Epoch, m Message) []byte {
	b := make([]byte, 0, sizeHint(m))
	b = append(b, byte(m.Kind()))
	b = canon.AppendUint64(b, uint64(epoch))
	return m.append(b)
}

// envelopeSize is what Encode puts in front of every message.
const envelopeSize = 1 + 8

// refSize is how many bytes appendRef writes.
const refSize = 8 + 32

// sizeHint is how many bytes Encode writes, or where that is hard to tell about so
// many: what is encoded waits in queues, and unused room waits with it.
func sizeHint(m Message) int {
	switch m := m.(type) {
	case *Vote:
		return envelopeSize + statementSize + 2 + 4 + len(m.Signature)
	case *CheckpointVote:
		return envelopeSize + checkpointStatementSize + 2 + 4 + len(m.Signature)
	case *Certificate:
		return envelopeSize + m.size()
	case *Bundle:
		return envelopeSize + m.size()
	case *ViewChange:
		return envelopeSize + signedClaimSize + optionalSize(m.Certificate)
	case *NewView:
		return envelopeSize + m.size()
	case *Status:
		return envelopeSize + statusSize
	case *Heartbeat:
		return envelopeSize + 8 + refSize + 2*8
	case *GetBlocks:
		return envelopeSize + 2*8 + 32
	case *GetManifest, *GetChunk:
		return envelopeSize + 8 + 4
	case *PrePrepare:
		return envelopeSize + m.Size() + signatureSize
	case *Blocks:
		n := 4096
		for _, b := range m.Blocks {
			n += b.Size() + signatureSize
		}
		return n
	case *Forward:
		n := 16
		for _, r := range m.Requests {
			n += r.Size()
		}
		return n
	case *Chunk:
		return 64 + len(m.Data)
	case *Manifest:
		return 64 + len(m.Data)
	case *GetState:
		return envelopeSize + 8 + 4 + len(m.Request)
	case *State:
		return envelopeSize + 8 + 4 + len(m.Data)
	}
	return 512
}

// Decode reads what [Encode] wrote. The message aliases b, which must not be
// changed afterwards. Decode checks structure and limits; the [Verifier] checks
// signatures and membership.
func Decode(b []byte) (Epoch, Message, error) {
	r := canon.NewReader(b)
	kind := MessageKind(r.Uint8())
	epoch := Epoch(r.Uint64())
	m := readMessage(kind, r)
	if err := r.Close(); err != nil {
		return 0, nil, fmt.Errorf("%v: %w", kind, err)
	}
	return epoch, m, nil
}

// KindOf is the kind of what [Encode] wrote, zero if there is nothing. Whether it can
// be decoded is not looked at.
func KindOf(b []byte) MessageKind {
	if len(b) == 0 {
		return 0
	}
	return MessageKind(b[0])
}

func readMessage(kind MessageKind, r *canon.Reader) Message {
	switch kind {
	case KindPrePrepare:
		return readPrePrepare(r)
	case KindVote:
		v := &Vote{Statement: readStatement(r), Signer: ReplicaID(r.Uint16())}
		v.Signature = r.Bytes(maxShareBytes)
		return v
	case KindCertificate:
		return readCertificate(r)
	case KindCheckpointVote:
		v := &CheckpointVote{CheckpointStatement: readCheckpointStatement(r), Signer: ReplicaID(r.Uint16())}
		v.Signature = r.Bytes(maxShareBytes)
		return v
	case KindBundle:
		return readBundle(r)
	case KindViewChange:
		return &ViewChange{SignedClaim: readSignedClaim(r), Certificate: readOptional(r)}
	case KindNewView:
		return readNewView(r)
	case KindStatus:
		return readStatus(r)
	case KindHeartbeat:
		return &Heartbeat{View: View(r.Uint64()), Tip: readRef(r), High: Rank{View(r.Uint64()), Height(r.Uint64())}}
	case KindGetBlocks:
		g := &GetBlocks{From: Height(r.Uint64()), Height: Height(r.Uint64())}
		r.Copy(g.Digest[:])
		return g
	case KindBlocks:
		return readBlocks(r)
	case KindForward:
		n := r.Count(maxForwardedRequests, minRequestSize)
		f := &Forward{Requests: make([]*Request, n)}
		for i := range f.Requests {
			f.Requests[i] = readRequest(r)
		}
		return f
	case KindEvidence:
		return readEvidence(r)
	case KindGetManifest:
		return &GetManifest{Height: Height(r.Uint64())}
	case KindManifest:
		return &Manifest{Height: Height(r.Uint64()), Data: r.Bytes(maxManifestBytes)}
	case KindGetChunk:
		return &GetChunk{Height: Height(r.Uint64()), Index: r.Uint32()}
	case KindChunk:
		return &Chunk{Height: Height(r.Uint64()), Index: r.Uint32(), Data: r.Bytes(maxChunkBytes)}
	case KindGetState:
		return &GetState{ID: r.Uint64(), Request: r.Bytes(MaxStateRequest)}
	case KindState:
		return &State{ID: r.Uint64(), Data: r.Bytes(MaxStateAnswer)}
	}
	r.Fail("message kind %d", uint8(kind))
	return nil
}

const maxShareBytes = 96

func (m *PrePrepare) append(b []byte) []byte {
	b = append(b, m.raw...)
	return append(b, m.Signature[:]...)
}

func readPrePrepare(r *canon.Reader) *PrePrepare {
	before := r.Rest()
	m := &PrePrepare{Block: readBlock(r)}
	r.Copy(m.Signature[:])
	if r.Err() != nil {
		return nil
	}
	used := len(before) - r.Len()
	m.signed = before[:used:used]
	return m
}

// record is what the log keeps: the block and its signature. It is not copied if it
// came like that, or is not signed yet. The caller must not change it.
func (m *PrePrepare) record() []byte {
	if n := len(m.raw); len(m.signed) == n+signatureSize && bytes.Equal(m.signed[n:], m.Signature[:]) {
		return m.signed
	}
	return m.append(make([]byte, 0, m.Size()+signatureSize))
}

func (v *Vote) append(b []byte) []byte {
	b = v.Statement.Append(b)
	b = canon.AppendUint16(b, uint16(v.Signer))
	return canon.AppendBytes(b, v.Signature)
}

func (v *CheckpointVote) append(b []byte) []byte {
	b = v.CheckpointStatement.Append(b)
	b = canon.AppendUint16(b, uint16(v.Signer))
	return canon.AppendBytes(b, v.Signature)
}

func (v *ViewChange) append(b []byte) []byte {
	b = v.SignedClaim.append(b)
	return appendOptional(b, v.Certificate)
}

func appendRef(b []byte, r BlockRef) []byte {
	b = canon.AppendUint64(b, uint64(r.Height))
	return append(b, r.Digest[:]...)
}

func readRef(r *canon.Reader) (b BlockRef) {
	b.Height = Height(r.Uint64())
	r.Copy(b.Digest[:])
	return b
}

const statusSize = 8 + 1 + 1 + 32 + refSize + 2*8 + 5*8 + 3 + 2*8

func (s *Status) append(b []byte) []byte {
	b = canon.AppendUint64(b, uint64(s.View))
	b = canon.AppendBool(b, s.Entered)
	b = canon.AppendBool(b, s.Open)
	b = append(b, s.NewView[:]...)
	b = appendRef(b, s.Tip)
	b = canon.AppendUint64(b, uint64(s.High.View))
	b = canon.AppendUint64(b, uint64(s.High.Height))
	b = canon.AppendUint64(b, uint64(s.Committed))
	b = canon.AppendUint64(b, uint64(s.Executed))
	b = canon.AppendUint64(b, uint64(s.Stable))
	b = canon.AppendUint64(b, uint64(s.Snapshot))
	b = canon.AppendUint64(b, uint64(s.Oldest))
	b = canon.AppendBool(b, s.Suspect)
	b = canon.AppendBool(b, s.Follower)
	b = canon.AppendBool(b, s.Reply)
	b = canon.AppendUint64(b, s.Incarnation)
	return canon.AppendUint64(b, s.Echo)
}

func readStatus(r *canon.Reader) *Status {
	s := &Status{View: View(r.Uint64()), Entered: r.Bool(), Open: r.Bool()}
	r.Copy(s.NewView[:])
	s.Tip = readRef(r)
	s.High = Rank{View(r.Uint64()), Height(r.Uint64())}
	s.Committed = Height(r.Uint64())
	s.Executed = Height(r.Uint64())
	s.Stable = Height(r.Uint64())
	s.Snapshot = Height(r.Uint64())
	s.Oldest = Height(r.Uint64())
	s.Suspect = r.Bool()
	s.Follower = r.Bool()
	s.Reply = r.Bool()
	s.Incarnation = r.Uint64()
	s.Echo = r.Uint64()
	return s
}

func (h *Heartbeat) append(b []byte) []byte {
	b = canon.AppendUint64(b, uint64(h.View))
	b = appendRef(b, h.Tip)
	b = canon.AppendUint64(b, uint64(h.High.View))
	return canon.AppendUint64(b, uint64(h.High.Height))
}

func (g *GetBlocks) append(b []byte) []byte {
	b = canon.AppendUint64(b, uint64(g.From))
	b = canon.AppendUint64(b, uint64(g.Height))
	return append(b, g.Digest[:]...)
}

func (m *Blocks) append(b []byte) []byte {
	b = canon.AppendUint32(b, uint32(len(m.Blocks)))
	for _, p := range m.Blocks {
		b = p.append(b)
	}
	b = appendOptional(b, m.Certificate)
	b = canon.AppendUint32(b, uint32(len(m.NewViews)))
	for _, n := range m.NewViews {
		b = n.append(b)
	}
	return b
}

func readBlocks(r *canon.Reader) *Blocks {
	m := new(Blocks)
	for range r.Count(maxBlocksPerMessage, headerSize+4+signatureSize) {
		m.Blocks = append(m.Blocks, readPrePrepare(r))
	}
	m.Certificate = readOptional(r)
	for range r.Count(crypto.MaxReplicas, 8) {
		m.NewViews = append(m.NewViews, readNewView(r))
	}
	if r.Err() != nil {
		return nil
	}
	return m
}

func (f *Forward) append(b []byte) []byte {
	b = canon.AppendUint32(b, uint32(len(f.Requests)))
	for _, q := range f.Requests {
		b = append(b, q.raw...)
	}
	return b
}

func (g *GetManifest) append(b []byte) []byte { return canon.AppendUint64(b, uint64(g.Height)) }

func (m *Manifest) append(b []byte) []byte {
	b = canon.AppendUint64(b, uint64(m.Height))
	return canon.AppendBytes(b, m.Data)
}

func (g *GetChunk) append(b []byte) []byte {
	b = canon.AppendUint64(b, uint64(g.Height))
	return canon.AppendUint32(b, g.Index)
}

func (m *Chunk) append(b []byte) []byte {
	b = canon.AppendUint64(b, uint64(m.Height))
	b = canon.AppendUint32(b, m.Index)
	return canon.AppendBytes(b, m.Data)
}

func (g *GetState) append(b []byte) []byte {
	b = canon.AppendUint64(b, g.ID)
	return canon.AppendBytes(b, g.Request)
}

func (m *State) append(b []byte) []byte {
	b = canon.AppendUint64(b, m.ID)
	return canon.AppendBytes(b, m.Data)
}
