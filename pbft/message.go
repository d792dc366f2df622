package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
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
	KindGetState         MessageKind = 18
	KindState            MessageKind = 19
	messageKinds         MessageKind = 20
	maxForwardedRequests             = 65536
	maxBlocksPerMessage              = 4096
	maxManifestBytes                 = 8 << 20
	maxChunkBytes                    = 8 << 20
	// MaxStateRequest and MaxStateAnswer bound a GetState and a State.
	MaxStateRequest = 256 << 10
	MaxStateAnswer  = 8 << 20
)

var kindNames = [messageKinds]string{"?", "PrePrepare", "Vote", "Certificate", "CheckpointVote", "Bundle", "ViewChange",
	"NewView", "Status", "Heartbeat", "GetBlocks", "Blocks", "Forward", "Evidence", "GetManifest", "Manifest", "GetChunk", "Chunk", "GetState", "State"}

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

// GetState asks for a part of the state at a height. What it asks for is a matter of the
// hosts and their application; ID is the asker's, who may ask for several at once.
type GetState struct {
	ID      uint64
	Request []byte
}

// State answers a GetState; without data it says that the sender does not have what is
// asked for.
type State struct {
	ID   uint64
	Data []byte
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
func (*GetState) Kind() MessageKind       { return KindGetState }
func (*State) Kind() MessageKind          { return KindState }
