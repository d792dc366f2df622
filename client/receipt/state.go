package receipt

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// State proves what the application's state mapped a key to at a checkpoint, to anybody
// who has the cluster file: for applications on statemachine/store. That it exists proves
// nothing; [State.Verify] does.
type State struct {
	// Header is that of the checkpoint's block: it says how old the state is.
	Header      pbft.Header
	Certificate *pbft.CheckpointCertificate
	Parts       StateParts
	Proof       *proof.Proof
}

// StateParts is what the certified digest of a state is made of.
type StateParts struct{ App, Sessions, Manifest crypto.Digest }

// Digest is what a checkpoint certifies.
func (p *StateParts) Digest() crypto.Digest {
	return statemachine.StateDigest(p.App, p.Sessions, p.Manifest)
}

// Time is the block time of the state.
func (s *State) Time() time.Time { return time.Unix(0, int64(s.Header.Time)) }

// Height is the height of the state.
func (s *State) Height() pbft.Height { return s.Header.Height }

// Verify returns nil if the members of ros, in its epoch, certified a state in which key
// is mapped to what s.Proof says. It needs no connection and trusts nothing but ros. It
// says nothing of how old the state is: see [State.Time].
func (s *State) Verify(ros *roster.Roster, key []byte) error {
	c := s.Certificate
	switch {
	case s.Header.Cluster != ros.ID:
		return fmt.Errorf("%w: it is of %s, the roster is of %s", ErrOtherCluster, s.Header.Cluster.Hex(), ros.ID.Hex())
	case uint64(s.Header.Epoch) != ros.Cluster.Epoch:
		return fmt.Errorf("%w: it is of epoch %d, the roster of epoch %d", ErrOtherEpoch, s.Header.Epoch, ros.Cluster.Epoch)
	case s.Header.Height != c.Height || s.Header.Digest() != c.Block:
		return fmt.Errorf("%w: the header is not that of the certified block %d", ErrInconsistent, c.Height)
	case s.Parts.Digest() != c.State:
		return fmt.Errorf("%w: the parts of the state are not those of the certified one", ErrInconsistent)
	}
	if err := s.Proof.Verify(s.Parts.App, key); err != nil {
		return fmt.Errorf("%w: %w", ErrPath, err)
	}
	return VerifyCertificate(ros, c)
}

// The encoding: a magic word, a version, the header, the three parts, the certificate and
// the proof, each of variable length with four bytes of length in front. There is one
// encoding, of which every bit is covered.
const (
	stateMagic   = "PSTA"
	stateVersion = 1
	maxHeader    = 1 << 10
	maxProof     = 1<<31 - 1
)

// Encode returns the encoding.
func (s *State) Encode() []byte {
	b := canon.AppendUint8([]byte(stateMagic), stateVersion)
	b = canon.AppendBytes(b, s.Header.Append(nil))
	b = append(b, s.Parts.App[:]...)
	b = append(b, s.Parts.Sessions[:]...)
	b = append(b, s.Parts.Manifest[:]...)
	b = canon.AppendBytes(b, s.Certificate.Encode())
	return canon.AppendBytes(b, s.Proof.Encode())
}

// DecodeState reads what [State.Encode] wrote. It may alias b. Nothing is proved yet.
func DecodeState(b []byte) (*State, error) {
	r := canon.NewReader(b)
	if m := r.Fixed(len(stateMagic)); r.Err() == nil && string(m) != stateMagic {
		r.Fail("it does not begin with %q", stateMagic)
	}
	if v := r.Uint8(); r.Err() == nil && v != stateVersion {
		r.Fail("version %d, this program knows %d", v, stateVersion)
	}
	s := new(State)
	header := r.Bytes(maxHeader)
	r.Copy(s.Parts.App[:])
	r.Copy(s.Parts.Sessions[:])
	r.Copy(s.Parts.Manifest[:])
	certificate := r.Bytes(maxCertificate)
	tree := r.Bytes(maxProof)
	err := r.Close()
	if err == nil {
		s.Header, err = pbft.DecodeHeader(header)
	}
	if err == nil {
		s.Certificate, err = pbft.DecodeCheckpointCertificate(certificate)
	}
	if err == nil {
		s.Proof, err = proof.Decode(tree)
	}
	if err != nil {
		return nil, fmt.Errorf("state proof: %w", err)
	}
	return s, nil
}
