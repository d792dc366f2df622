package main

import (
	"encoding/binary"
	"errors"
	"time"

	bft "github.com/hyperledger-labs/SmartBFT/pkg/types"

	"github.com/parley-bft/parley/bench/wire"
)

// Deliver makes a decision durable, as SmartBFT demands, executes it and tells the
// clients.
func (s *smart) Deliver(p bft.Proposal, sigs []bft.Signature) bft.Reconfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apply(bft.Decision{Proposal: p, Signatures: sigs})
	return bft.Reconfig{}
}

func sequence(p bft.Proposal) uint64 {
	if len(p.Header) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(p.Header)
}

// recentDecisions are kept for those that fell behind, at most twice as many.
const recentDecisions = 1000

// apply takes the next decision, with the mutex held.
func (s *smart) apply(d bft.Decision) {
	n := sequence(d.Proposal)
	if n <= s.lastSeq {
		return
	}
	if _, err := s.ledger.Write(pack([][]byte{encodeDecision(d)})); err != nil {
		panic(err)
	}
	if err := s.ledger.Sync(); err != nil {
		panic(err)
	}
	commands := unpack(d.Proposal.Payload)
	ids := make([]uint64, 0, len(commands))
	for _, c := range commands {
		if id, ok := wire.ID(c); ok {
			s.kv[wire.Key(c)] = append([]byte(nil), wire.Value(c)...)
			ids = append(ids, id)
		}
	}
	s.lastSeq, s.last = n, d
	if s.recent = append(s.recent, d); len(s.recent) >= 2*recentDecisions {
		s.recent = append([]bft.Decision(nil), s.recent[recentDecisions:]...)
	}
	s.clients.Executed(ids)
}

func encodeDecision(d bft.Decision) []byte {
	parts := [][]byte{d.Proposal.Header, d.Proposal.Payload, d.Proposal.Metadata}
	for _, sig := range d.Signatures {
		parts = append(parts, []byte{byte(sig.ID)}, sig.Msg, sig.Value)
	}
	return pack(parts)
}

func decodeDecision(b []byte) (d bft.Decision, err error) {
	parts := unpack(b)
	if len(parts) < 3 || len(parts)%3 != 0 {
		return d, errors.New("malformed decision")
	}
	d.Proposal = bft.Proposal{Header: parts[0], Payload: parts[1], Metadata: parts[2]}
	for i := 3; i < len(parts); i += 3 {
		if len(parts[i]) != 1 {
			return d, errors.New("malformed decision")
		}
		d.Signatures = append(d.Signatures, bft.Signature{ID: uint64(parts[i][0]), Msg: parts[i+1], Value: parts[i+2]})
	}
	return d, nil
}

// syncPatience is how long Sync waits for answers.
const syncPatience = 150 * time.Millisecond

// Sync asks the others for what was decided since, and takes what carries enough
// good signatures.
func (s *smart) Sync() bft.SyncResponse {
	s.mu.Lock()
	from := s.lastSeq
	s.mu.Unlock()
	for len(s.answers) > 0 {
		<-s.answers
	}
	for i, q := range s.links {
		if q != nil && i != s.id {
			q.Put([]byte{kindSync}, binary.BigEndian.AppendUint64(nil, from))
		}
	}
	patience := time.NewTimer(syncPatience)
	defer patience.Stop()
	for ended := 0; ended < replicas-2; {
		select {
		case a := <-s.answers:
			if len(a) == 0 { // one replica's end
				ended++
				continue
			}
			s.take(a)
		case <-patience.C:
			ended = replicas
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return bft.SyncResponse{Latest: s.last}
}

// take applies a decision that another replica sent, if it is the next and proven.
func (s *smart) take(answer []byte) {
	d, err := decodeDecision(answer)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sequence(d.Proposal) == s.lastSeq+1 && s.proven(d) {
		s.apply(d)
	}
}

func (s *smart) proven(d bft.Decision) bool {
	signers := make(map[uint64]bool)
	for _, sig := range d.Signatures {
		if _, err := s.VerifyConsenterSig(sig, d.Proposal); err == nil {
			signers[sig.ID] = true
		}
	}
	_, err := s.VerifyProposal(d.Proposal)
	return err == nil && len(signers) >= quorum
}

// answer sends what was decided after a number.
func (s *smart) answer(to int, after uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := 0
	for _, d := range s.recent {
		if sequence(d.Proposal) > after && sent < recentDecisions {
			s.links[to].Put([]byte{kindAnswer}, encodeDecision(d))
			sent++
		}
	}
	s.links[to].Put([]byte{kindAnswer})
}
