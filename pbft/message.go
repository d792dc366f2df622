package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Message is what replicas send each other. One of the pointer types below.
type Message interface {
	// Kind names the message in logs and counters.
	Kind() MessageKind
	append(b []byte) []byte
}

// MessageKind is the first byte of an encoded message.
type MessageKind uint8

// The kinds of messages. The numbers are part of the wire format.
const (
	KindPrePrepare       MessageKind = 1
	KindVote             MessageKind = 2
	KindCertificate      MessageKind = 3
	KindCheckpointVote   MessageKind = 4
	KindBundle           MessageKind = 5
	KindViewChange       MessageKind = 6
	KindNewView          MessageKind = 7
	KindStatus           MessageKind = 8
	KindHeartbeat        MessageKind = 9
	KindGetBlocks        MessageKind = 10
	KindBlocks           MessageKind = 11
	KindForward          MessageKind = 12
	KindEvidence         MessageKind = 13
	KindGetManifest      MessageKind = 14
	KindManifest         MessageKind = 15
	KindGetChunk         MessageKind = 16
	KindChunk            MessageKind = 17
	messageKinds         MessageKind = 18
	maxForwardedRequests             = 65536
	maxBlocksPerMessage              = 4096
	maxManifestBytes                 = 8 << 20
	maxChunkBytes                    = 8 << 20
)

var kindNames = [messageKinds]string{"?", "PrePrepare", "Vote", "Certificate", "CheckpointVote", "Bundle", "ViewChange",
	"NewView", "Status", "Heartbeat", "GetBlocks", "Blocks", "Forward", "Evidence", "GetManifest", "Manifest", "GetChunk", "Chunk"}

func (k MessageKind) String() string {
	if k < messageKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("MessageKind(%d)", uint8(k))
}

// PrePrepare is a primary's proposal: a block and the primary's signature over
// its digest.
type PrePrepare struct {
	*Block
	Signature crypto.Signature
}

// Status says where a replica is. It is sent at an interval and when progress
// stops; the receiver pushes what the sender lacks (PROTOCOL R13). The
// authenticated link is proof enough: nothing is decided by it alone.
type Status struct {
	View      View
	Entered   bool   // holds the view's NewView (or it is the first view)
	Open      bool   // holds a CommitQC of the view (or it is the first view)
	NewView   Digest // of the view, when Entered
	Tip       BlockRef
	High      Rank
	Committed Height
	Executed  Height
	Stable    Height
	Snapshot  Height // of the latest stable checkpoint with a snapshot
	Oldest    Height // lowest height whose block the sender can serve
	Suspect   bool   // suspects the primary of View
	Follower  bool   // signs nothing: it is rejoining after it lost its disk (PROTOCOL 14)
	Reply     bool   // answers a status; is not answered again
	// Incarnation is the sender's Config.Incarnation. Echo is in an answer the
	// incarnation of the replica that is answered, zero otherwise: it shows that the
	// answer is not one that waited on the way since before a restart.
	Incarnation uint64
	Echo        uint64
}

// Heartbeat is an idle primary's sign of life.
type Heartbeat struct {
	View View
	Tip  BlockRef
	High Rank
}

// GetBlocks asks for committed blocks from a height on, or for one block by
// digest and its ancestors above a height.
type GetBlocks struct {
	From   Height // lowest height wanted
	Height Height // of Digest
	Digest Digest // zero: whatever is committed from From on
}

// Blocks answers GetBlocks: blocks in ascending order that link to each other.
// An answer by height ends at the block of Certificate, a CommitQC; an answer by
// digest ends at that digest.
type Blocks struct {
	Blocks      []*PrePrepare
	Certificate *Certificate
	NewViews    []*NewView // of the views that the certificate and blocks span, for accountability
}

// Forward passes clients' requests on to replicas that may not have them.
type Forward struct {
	Requests []*Request
}

// GetManifest asks for the manifest of the snapshot at a stable checkpoint.
type GetManifest struct {
	Height Height
}

// Manifest is the encoded chunk manifest of the snapshot at Height, with what
// else the certified state digest covers. Its meaning is the host's.
type Manifest struct {
	Height Height
	Data   []byte
}

// GetChunk asks for one chunk of a snapshot.
type GetChunk struct {
	Height Height
	Index  uint32
}

// Chunk is one chunk of a snapshot.
type Chunk struct {
	Height Height
	Index  uint32
	Data   []byte
}

func (*PrePrepare) Kind() MessageKind     { return KindPrePrepare }
func (*Vote) Kind() MessageKind           { return KindVote }
func (*Certificate) Kind() MessageKind    { return KindCertificate }
func (*CheckpointVote) Kind() MessageKind { return KindCheckpointVote }
func (*Bundle) Kind() MessageKind         { return KindBundle }
func (*ViewChange) Kind() MessageKind     { return KindViewChange }
func (*NewView) Kind() MessageKind        { return KindNewView }
func (*Status) Kind() MessageKind         { return KindStatus }
func (*Heartbeat) Kind() MessageKind      { return KindHeartbeat }
func (*GetBlocks) Kind() MessageKind      { return KindGetBlocks }
func (*Blocks) Kind() MessageKind         { return KindBlocks }
func (*Forward) Kind() MessageKind        { return KindForward }
func (*Evidence) Kind() MessageKind       { return KindEvidence }
func (*GetManifest) Kind() MessageKind    { return KindGetManifest }
func (*Manifest) Kind() MessageKind       { return KindManifest }
func (*GetChunk) Kind() MessageKind       { return KindGetChunk }
func (*Chunk) Kind() MessageKind          { return KindChunk }

// Encode returns the wire form of m: its kind, the epoch, its fields. The epoch
// is in front so that a message of another epoch can be told apart before
// anything in it is looked at.
func Encode(epoch Epoch, m Message) []byte {
	b := make([]byte, 0, sizeHint(m))
	b = append(b, byte(m.Kind()))
	b = canon.AppendUint64(b, uint64(epoch))
	return m.append(b)
}

func sizeHint(m Message) int {
	switch m := m.(type) {
	case *PrePrepare:
		return 9 + m.Size() + signatureSize
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
	m := &PrePrepare{Block: readBlock(r)}
	r.Copy(m.Signature[:])
	if r.Err() != nil {
		return nil
	}
	return m
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
