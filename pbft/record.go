package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
)

// Record is one entry of the durable log: a key and a value, or the deletion of a
// key. The host stores records without looking into them: a later record with the
// same key replaces the earlier. After a restart it hands [New] all that are left,
// in any order.
type Record struct {
	Key    RecordKey
	Value  []byte
	Delete bool
}

// RecordKind tells what a record holds.
type RecordKind uint8

// The kinds of records. The numbers are part of the storage format.
const (
	// RecordState holds view, entered, voted: a single record, overwritten.
	RecordState RecordKind = 1
	// RecordHigh holds the highest certificate: a single record.
	RecordHigh RecordKind = 2
	// RecordNewView holds the accepted NewView of a view; Height is the view.
	RecordNewView RecordKind = 3
	// RecordBlock holds a block with its proposer's signature; Height, Digest.
	RecordBlock RecordKind = 4
	// RecordCommitted names the committed block and the certificate: a single record.
	RecordCommitted RecordKind = 5
	// RecordCommit holds a CommitQC kept for peers that lag; Height.
	RecordCommit RecordKind = 6
	// RecordCheckpoint holds the checkpoint statement this replica signed; Height.
	RecordCheckpoint RecordKind = 7
	// RecordStable holds the bundle of the latest stable checkpoint: a single record.
	RecordStable RecordKind = 8
	// RecordSnapshot holds the bundle of the latest stable snapshot checkpoint: a
	// single record.
	RecordSnapshot RecordKind = 9
	// RecordEvidence holds a proof; Height is culprit<<8 | offence.
	RecordEvidence RecordKind = 10
	// RecordRejoin marks a replica that lost its disk and may not vote yet.
	RecordRejoin RecordKind = 11
	// RecordChain names the committed block at Height, for peers that ask by height.
	RecordChain RecordKind = 12
	// RecordDiverged says that the state here is not the certified one: a single record.
	RecordDiverged RecordKind = 13
	// RecordRejoined holds the height of the certificate by which a replica that had lost
	// its disk got its vote back: a single record.
	RecordRejoined RecordKind = 14
)

// RecordKey identifies a record. Fields that a kind does not use are zero.
type RecordKey struct {
	Kind   RecordKind
	Height uint64
	Digest Digest
}

// RecordKeySize is the length of an encoded [RecordKey].
const RecordKeySize = 1 + 8 + 32

// Append appends the key's encoding; encodings sort by kind, height, digest.
func (k RecordKey) Append(b []byte) []byte {
	b = canon.AppendUint8(b, uint8(k.Kind))
	b = canon.AppendUint64(b, k.Height)
	return append(b, k.Digest[:]...)
}

// DecodeRecordKey reads what [RecordKey.Append] wrote.
func DecodeRecordKey(b []byte) (RecordKey, error) {
	r := canon.NewReader(b)
	k := RecordKey{Kind: RecordKind(r.Uint8()), Height: r.Uint64()}
	r.Copy(k.Digest[:])
	if err := r.Close(); err != nil {
		return RecordKey{}, fmt.Errorf("record key: %w", err)
	}
	return k, nil
}

func (k RecordKey) String() string {
	names := [...]string{"?", "state", "high", "newview", "block", "committed", "commit", "checkpoint", "stable", "snapshot", "evidence", "rejoin", "chain", "diverged", "rejoined"}
	name := fmt.Sprintf("kind(%d)", k.Kind)
	if int(k.Kind) < len(names) {
		name = names[k.Kind]
	}
	return fmt.Sprintf("%s/%d/%v", name, k.Height, k.Digest)
}

// DecodeRecordBlock reads the value of a RecordBlock.
func DecodeRecordBlock(value []byte) (*PrePrepare, error) {
	r := canon.NewReader(value)
	p := readPrePrepare(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored block: %w", err)
	}
	return p, nil
}

// DecodeRecordCertificate reads the value of a RecordHigh or RecordCommit.
func DecodeRecordCertificate(value []byte) (*Certificate, error) {
	r := canon.NewReader(value)
	c := readCertificate(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored certificate: %w", err)
	}
	return c, nil
}

// DecodeRecordCommitted reads the value of RecordCommitted: the committed block and
// a CommitQC that covers it. The two differ only right after a state transfer.
func DecodeRecordCommitted(value []byte) (BlockRef, *Certificate, error) {
	r := canon.NewReader(value)
	ref := readRef(r)
	c := readOptional(r)
	if err := r.Close(); err != nil {
		return BlockRef{}, nil, fmt.Errorf("stored committed block: %w", err)
	}
	return ref, c, nil
}

// DecodeRecordBundle reads the value of a RecordStable or RecordSnapshot.
func DecodeRecordBundle(value []byte) (*Bundle, error) {
	r := canon.NewReader(value)
	b := readBundle(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored bundle: %w", err)
	}
	return b, nil
}

// DecodeRecordNewView reads the value of a RecordNewView.
func DecodeRecordNewView(value []byte) (*NewView, error) {
	r := canon.NewReader(value)
	n := readNewView(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored NewView: %w", err)
	}
	return n, nil
}

// DecodeRecordCheckpoint reads the value of a RecordCheckpoint: the statement that this
// replica signed, and whether it disowned it since, because its state may have been wrong.
func DecodeRecordCheckpoint(value []byte) (s CheckpointStatement, disowned bool, err error) {
	r := canon.NewReader(value)
	s = readCheckpointStatement(r)
	disowned = r.Bool()
	if err := r.Close(); err != nil {
		return CheckpointStatement{}, false, fmt.Errorf("stored checkpoint: %w", err)
	}
	return s, disowned, nil
}

// DecodeRecordEvidence reads the value of a RecordEvidence.
func DecodeRecordEvidence(value []byte) (*Evidence, error) {
	r := canon.NewReader(value)
	e := readEvidence(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored evidence: %w", err)
	}
	return e, nil
}

// DecodeRecordChain reads the value of a RecordChain.
func DecodeRecordChain(value []byte) (BlockRef, error) {
	ref, _, err := decodeChain(value)
	return ref, err
}

// durableState is the value of RecordState: what a replica must not forget or it
// could contradict itself (PROTOCOL R1, R4).
type durableState struct {
	View    View
	Entered bool
	NewView Digest
	// Voted is the highest block for which any vote of view VotedView was cast.
	VotedView View
	Voted     BlockRef
	// Floor is the lowest height that may be voted for in view VotedView, other than
	// 0 only after a vote on a losing branch of it (PROTOCOL 1.6).
	Floor Height
}

func (s *durableState) encode() []byte {
	b := make([]byte, 0, 8+1+32+8+refSize+8)
	b = canon.AppendUint64(b, uint64(s.View))
	b = canon.AppendBool(b, s.Entered)
	b = append(b, s.NewView[:]...)
	b = canon.AppendUint64(b, uint64(s.VotedView))
	b = appendRef(b, s.Voted)
	return canon.AppendUint64(b, uint64(s.Floor))
}

func decodeState(value []byte) (s durableState, err error) {
	r := canon.NewReader(value)
	s.View = View(r.Uint64())
	s.Entered = r.Bool()
	r.Copy(s.NewView[:])
	s.VotedView = View(r.Uint64())
	s.Voted = readRef(r)
	s.Floor = Height(r.Uint64())
	if err := r.Close(); err != nil {
		return s, fmt.Errorf("stored state: %w", err)
	}
	return s, nil
}
