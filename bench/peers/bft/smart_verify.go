package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	bft "github.com/hyperledger-labs/SmartBFT/pkg/types"
	pb "github.com/hyperledger-labs/SmartBFT/smartbftprotos"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/bench/wire"
)

var errSignature = errors.New("bad signature")

// Sign implements SmartBFT's signer.
func (s *smart) Sign(m []byte) []byte { return ed25519.Sign(s.private, m) }

// SignProposal signs a proposal together with SmartBFT's own data.
func (s *smart) SignProposal(p bft.Proposal, aux []byte) *bft.Signature {
	m := bound(p, aux)
	return &bft.Signature{ID: uint64(s.id), Value: s.Sign(m), Msg: m}
}

// bound is what a replica signs of a proposal: header, which binds the payload by its
// hash, and metadata, in one hash, and SmartBFT's data.
func bound(p bft.Proposal, aux []byte) []byte {
	h := sha256.New()
	for _, b := range [][]byte{p.Header, p.Metadata} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	return append(h.Sum(nil), aux...)
}

// VerifyConsenterSig implements SmartBFT's verifier, as the others below do.
func (s *smart) VerifyConsenterSig(sig bft.Signature, p bft.Proposal) ([]byte, error) {
	if !bytes.HasPrefix(sig.Msg, bound(p, nil)) {
		return nil, errors.New("signature of another proposal")
	}
	if err := s.VerifySignature(sig); err != nil {
		return nil, err
	}
	return sig.Msg[sha256.Size:], nil
}

// VerifySignature checks a replica's signature.
func (s *smart) VerifySignature(sig bft.Signature) error {
	if sig.ID < 1 || sig.ID > replicas || !ed25519.Verify(s.public[sig.ID], sig.Msg, sig.Value) {
		return errSignature
	}
	return nil
}

// AuxiliaryData is what SmartBFT had signed with the proposal.
func (s *smart) AuxiliaryData(m []byte) []byte {
	if len(m) < sha256.Size {
		return nil
	}
	return m[sha256.Size:]
}

// VerificationSequence never changes: neither do the rules.
func (s *smart) VerificationSequence() uint64 { return 0 }

// MembershipChange is never due.
func (s *smart) MembershipChange() bool { return false }

// RequestID names a command.
func (s *smart) RequestID(r []byte) bft.RequestInfo {
	id, _ := wire.ID(r)
	return bft.RequestInfo{ClientID: fmt.Sprint(id % wire.Clients), ID: wire.Key(r)}
}

// VerifyRequest checks a command and, where clients sign, its signature.
func (s *smart) VerifyRequest(r []byte) (bft.RequestInfo, error) {
	if _, ok := wire.ID(r); !ok {
		return bft.RequestInfo{}, errors.New("malformed command")
	}
	if s.clientSignatures && !wire.Verify(r) {
		return bft.RequestInfo{}, errSignature
	}
	return s.RequestID(r), nil
}

// AssembleProposal makes a proposal of commands.
func (s *smart) AssembleProposal(metadata []byte, commands [][]byte) bft.Proposal {
	var v pb.ViewMetadata
	if err := proto.Unmarshal(metadata, &v); err != nil {
		panic(err) // SmartBFT's own
	}
	payload := pack(commands)
	h := sha256.Sum256(payload)
	return bft.Proposal{Header: append(binary.BigEndian.AppendUint64(nil, v.LatestSequence), h[:]...), Payload: payload, Metadata: metadata}
}

// VerifyProposal checks a proposal and its commands.
func (s *smart) VerifyProposal(p bft.Proposal) ([]bft.RequestInfo, error) {
	h := sha256.Sum256(p.Payload)
	if len(p.Header) != 8+sha256.Size || !bytes.Equal(p.Header[8:], h[:]) {
		return nil, errors.New("the header is of another payload")
	}
	commands := unpack(p.Payload)
	infos := make([]bft.RequestInfo, 0, len(commands))
	for _, r := range commands {
		info, err := s.VerifyRequest(r)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// RequestsFromProposal names the commands.
func (s *smart) RequestsFromProposal(p bft.Proposal) (infos []bft.RequestInfo) {
	for _, r := range unpack(p.Payload) {
		infos = append(infos, s.RequestID(r))
	}
	return infos
}

// pack puts parts into one, each after its length in four bytes; unpack takes them
// apart, and returns none if there is anything wrong.
func pack(parts [][]byte) (b []byte) {
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

func unpack(b []byte) (parts [][]byte) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil
		}
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-4 {
			return nil
		}
		parts = append(parts, b[4:4+n:4+n])
		b = b[4+n:]
	}
	return parts
}
