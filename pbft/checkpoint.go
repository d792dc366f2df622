package pbft

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// CheckpointStatement is what a replica says after it executed a checkpoint
// block: which block, which state, which results since the checkpoint before.
type CheckpointStatement struct {
	Height Height
	Block  Digest
	// State covers the application's state and the session table, and at
	// snapshot heights the manifest of the snapshot's chunks.
	State Digest
	// Results is the root of the Merkle tree over all results in (previous
	// checkpoint, Height]; receipts are paths in it.
	Results Digest
	// NextConfig is the digest of the next epoch's configuration, or zero.
	NextConfig Digest
}

const checkpointStatementSize = 8 + 4*32

// Append appends the canonical encoding, which is also what is signed.
func (s *CheckpointStatement) Append(b []byte) []byte {
	b = slices.Grow(b, checkpointStatementSize)
	b = canon.AppendUint64(b, uint64(s.Height))
	b = append(b, s.Block[:]...)
	b = append(b, s.State[:]...)
	b = append(b, s.Results[:]...)
	return append(b, s.NextConfig[:]...)
}

func readCheckpointStatement(r *canon.Reader) (s CheckpointStatement) {
	s.Height = Height(r.Uint64())
	r.Copy(s.Block[:])
	r.Copy(s.State[:])
	r.Copy(s.Results[:])
	r.Copy(s.NextConfig[:])
	return s
}

func (s CheckpointStatement) String() string {
	return fmt.Sprintf("checkpoint %d:%v state:%v results:%v", s.Height, s.Block, s.State, s.Results)
}

// CheckpointVote is one replica's signature, by the checkpoint scheme.
type CheckpointVote struct {
	CheckpointStatement
	Signer    ReplicaID
	Signature []byte
}

// CheckpointCertificate proves that a quorum executed up to a state. It has no
// view and therefore no rank: it is never a claim in a view change (PROTOCOL 1.3).
type CheckpointCertificate struct {
	CheckpointStatement
	Signers crypto.Bitmap
	Proof   []byte
}

// Encode returns the canonical encoding.
func (c *CheckpointCertificate) Encode() []byte { return c.append(nil) }

func (c *CheckpointCertificate) size() int {
	return checkpointStatementSize + 4 + len(c.Signers) + 4 + len(c.Proof)
}

func (c *CheckpointCertificate) append(b []byte) []byte {
	b = slices.Grow(b, c.size())
	b = c.CheckpointStatement.Append(b)
	b = canon.AppendBytes(b, c.Signers)
	return canon.AppendBytes(b, c.Proof)
}

// DecodeCheckpointCertificate reads what [CheckpointCertificate.Encode] wrote.
func DecodeCheckpointCertificate(b []byte) (*CheckpointCertificate, error) {
	r := canon.NewReader(b)
	c := readCheckpointCertificate(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("checkpoint certificate: %w", err)
	}
	return c, nil
}

func readCheckpointCertificate(r *canon.Reader) *CheckpointCertificate {
	c := &CheckpointCertificate{CheckpointStatement: readCheckpointStatement(r)}
	c.Signers = r.Bytes(crypto.MaxReplicas / 8)
	c.Proof = r.Bytes(maxProofBytes)
	if r.Err() != nil {
		return nil
	}
	return c
}

// maxBundleHeaders bounds the headers between a checkpoint and the commit
// certificate that covers it: both lie within one window of each other.
const maxBundleHeaders = 4096

// Bundle is a stable checkpoint as it is stored and transferred: the certificate,
// the checkpoint's header, and a CommitQC of a block at or above it with the
// headers that link the two. The CommitQC gives the receiver a ranked `high`.
type Bundle struct {
	Checkpoint *CheckpointCertificate
	Header     Header
	Commit     *Certificate // nil only for the start block
	Links      []Header     // heights Header.Height+1 .. Commit.Height
}

// Height is the height of the checkpoint.
func (b *Bundle) Height() Height { return b.Checkpoint.Height }

// Ref names the checkpoint's block.
func (b *Bundle) Ref() BlockRef { return BlockRef{b.Checkpoint.Height, b.Checkpoint.Block} }

// CheckLinks checks that the parts belong together: digests, links, heights.
// Signatures are the [Verifier]'s matter.
func (b *Bundle) CheckLinks() error {
	d := b.Header.Digest()
	if b.Header.Height != b.Checkpoint.Height || d != b.Checkpoint.Block {
		return fmt.Errorf("bundle: header %d:%v is not the checkpoint's block %d:%v", b.Header.Height, d, b.Checkpoint.Height, b.Checkpoint.Block)
	}
	at := b.Header.Height
	for i := range b.Links {
		h := &b.Links[i]
		if h.Height != at+1 || h.Parent != d {
			return fmt.Errorf("bundle: header at height %d does not extend %d:%v", h.Height, at, d)
		}
		at, d = h.Height, h.Digest()
	}
	if b.Commit == nil {
		return fmt.Errorf("bundle: no commit certificate")
	}
	if b.Commit.Phase != Commit || b.Commit.Height != at || b.Commit.Block != d {
		return fmt.Errorf("bundle: commit certificate is for %d:%v, headers end at %d:%v", b.Commit.Height, b.Commit.Block, at, d)
	}
	return nil
}

func (b *Bundle) size() int {
	return b.Checkpoint.size() + headerSize + optionalSize(b.Commit) + 4 + len(b.Links)*headerSize
}

func (b *Bundle) append(dst []byte) []byte {
	dst = slices.Grow(dst, b.size())
	dst = b.Checkpoint.append(dst)
	dst = b.Header.Append(dst)
	dst = appendOptional(dst, b.Commit)
	dst = canon.AppendUint32(dst, uint32(len(b.Links)))
	for i := range b.Links {
		dst = b.Links[i].Append(dst)
	}
	return dst
}

func readBundle(r *canon.Reader) *Bundle {
	b := &Bundle{Checkpoint: readCheckpointCertificate(r), Header: readHeader(r), Commit: readOptional(r)}
	n := r.Count(maxBundleHeaders, headerSize)
	if n > 0 {
		b.Links = make([]Header, n)
	}
	for i := range b.Links {
		b.Links[i] = readHeader(r)
	}
	if r.Err() != nil {
		return nil
	}
	return b
}
