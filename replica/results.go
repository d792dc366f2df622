package replica

import (
	"fmt"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// resultArchive keeps what receipts are made of: the replies of each block, the
// leaves of each checkpoint interval and the certificates. Nothing of it is
// synced: a replay after a crash writes it again, and certificates come back from
// peers or stay lost, which costs receipts and nothing else.
type resultArchive struct {
	store  Store
	every  pbft.Height // at most so many blocks lie between two checkpoints
	retain int64       // heights below the stable snapshot; negative: keep nothing
	floor  atomic.Uint64
	// sealed is the last stable snapshot whose certificate is archived: what is not
	// certified below it never will be.
	sealed atomic.Uint64
}

func encodeReplies(replies []statemachine.Reply) []byte {
	size := 4
	for i := range replies {
		size += 32 + 1 + 4 + 4
		for j := range replies[i].Results {
			size += 8 + len(replies[i].Results[j].Data)
		}
	}
	b := canon.AppendUint32(make([]byte, 0, size), uint32(len(replies)))
	for i := range replies {
		r := &replies[i]
		b = append(b, r.Request[:]...)
		b = canon.AppendUint8(b, uint8(r.Status))
		b = canon.AppendUint32(b, uint32(r.Leaf))
		b = canon.AppendUint32(b, uint32(len(r.Results)))
		for _, x := range r.Results {
			b = canon.AppendUint32(b, uint32(x.Code))
			b = canon.AppendBytes(b, x.Data)
		}
	}
	return b
}

// storedReply is one entry of what encodeReplies wrote.
type storedReply struct {
	request pbft.Digest
	status  statemachine.Status
	leaf    int
	results []statemachine.Result
}

func findReply(b []byte, request pbft.Digest) (found *storedReply, err error) {
	r := canon.NewReader(b)
	n := r.Count(1<<20, 32+1+4+4)
	for range n {
		s := storedReply{}
		r.Copy(s.request[:])
		s.status = statemachine.Status(r.Uint8())
		s.leaf = int(r.Uint32())
		k := r.Count(pbft.MaxOpsPerRequest, 8)
		for range k {
			x := statemachine.Result{Code: statemachine.ResultCode(r.Uint32())}
			x.Data = r.Bytes(64 << 20)
			s.results = append(s.results, x)
		}
		// The first entry is the one that ran; copies after it are duplicates.
		if s.request == request && found == nil {
			found = &s
		}
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored replies: %w", err)
	}
	return found, nil
}

func (a *resultArchive) off() bool { return a.retain < 0 }

// executed keeps what came of a block.
func (a *resultArchive) executed(h pbft.Height, x *statemachine.Execution) error {
	if a.off() {
		return nil
	}
	var records [2]HostRecord
	n := 0
	if len(x.Replies) > 0 {
		records[n] = HostRecord{Key: HostKey{HostReplies, h}, Value: encodeReplies(x.Replies)}
		n++
	}
	if c := x.Checkpoint; c != nil {
		leaves := make([]byte, 0, len(c.Leaves)*crypto.DigestSize)
		for i := range c.Leaves {
			leaves = append(leaves, c.Leaves[i][:]...)
		}
		records[n] = HostRecord{Key: HostKey{HostLeaves, h}, Value: leaves}
		n++
	}
	if n == 0 {
		return nil
	}
	return a.store.WriteHost(records[:n], false)
}

// certified keeps the certificate of a checkpoint.
func (a *resultArchive) certified(c *pbft.CheckpointCertificate) error {
	if a.off() {
		return nil
	}
	if err := a.store.WriteHost([]HostRecord{{Key: HostKey{HostCertified, c.Height}, Value: c.Encode()}}, false); err != nil {
		return err
	}
	if c.Height%a.every == 0 && uint64(c.Height) > a.sealed.Load() {
		a.sealed.Store(uint64(c.Height))
	}
	return nil
}

// prune forgets what lies so far below a stable snapshot.
func (a *resultArchive) prune(stable pbft.Height) error {
	if a.off() || int64(stable) <= a.retain {
		return nil
	}
	floor := stable - pbft.Height(a.retain)
	if uint64(floor) <= a.floor.Load() {
		return nil
	}
	a.floor.Store(uint64(floor))
	return a.remove(0, floor, HostReplies, HostLeaves, HostCertified)
}

// forget deletes what came of the blocks above a height, up to another, in a state that was
// wrong. What is above that is executed again, and replaced.
func (a *resultArchive) forget(above, upTo pbft.Height) error {
	if a.off() {
		return nil
	}
	return a.remove(above+1, upTo+1, HostReplies, HostLeaves)
}

func (a *resultArchive) remove(from, to pbft.Height, kinds ...HostKind) error {
	for _, kind := range kinds {
		var gone []HostRecord
		err := a.store.ScanHost(kind, from, to, func(k HostKey, _ []byte) error {
			gone = append(gone, HostRecord{Key: k, Delete: true})
			return nil
		})
		if err == nil && len(gone) > 0 {
			err = a.store.WriteHost(gone, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receiptAt puts together what proves one result; see backend.ReceiptAt. oldest is
// the lowest block in the log, snapshot the latest stable checkpoint with a snapshot.
func (a *resultArchive) receiptAt(h, executed, snapshot, oldest pbft.Height, request pbft.Digest, op int) (*receiptParts, error) {
	if a.off() || h < pbft.Height(a.floor.Load()) {
		return nil, fmt.Errorf("results of block %d: %w", h, ErrPruned)
	}
	if h > executed {
		return nil, fmt.Errorf("block %d is not executed yet: %w", h, ErrNotCertified)
	}
	value, err := a.store.GetHost(HostKey{HostReplies, h})
	if err != nil {
		return nil, err
	}
	if value == nil {
		if h < oldest {
			return nil, fmt.Errorf("results of block %d: %w", h, ErrPruned)
		}
		return nil, fmt.Errorf("block %d has no requests: %w", h, ErrNoSuchResult)
	}
	reply, err := findReply(value, request)
	if err != nil {
		return nil, err
	}
	if reply == nil {
		return nil, fmt.Errorf("request %v in block %d: %w", request, h, ErrNoSuchResult)
	}
	p := &receiptParts{Status: reply.status, Index: reply.leaf}
	p.Leaf = receipttree.Leaf{Height: uint64(h), Request: request, Status: uint8(reply.status)}
	if reply.status == statemachine.Executed {
		if op < 0 || op >= len(reply.results) {
			return nil, fmt.Errorf("operation %d of %d of request %v: %w", op, len(reply.results), request, ErrNoSuchResult)
		}
		p.Index += op
		p.Leaf.Index, p.Leaf.Code, p.Leaf.Result = uint32(op), uint32(reply.results[op].Code), reply.results[op].Data
		if p.Body, err = a.request(h, oldest, request); err != nil {
			return nil, err
		}
	} else if op != 0 {
		return nil, fmt.Errorf("operation %d of request %v, which did not run: %w", op, request, ErrNoSuchResult)
	}
	return p, a.prove(p, h, snapshot)
}

// request finds the request in the block.
func (a *resultArchive) request(h, oldest pbft.Height, request pbft.Digest) (*pbft.Request, error) {
	ref, ok, err := getChain(a.store, h)
	if err != nil {
		return nil, err
	}
	if ok {
		b, err := getBlock(a.store, ref)
		if err != nil {
			return nil, err
		}
		if b != nil {
			for _, r := range b.Requests {
				if r.Digest() == request {
					return r, nil
				}
			}
		}
	}
	if h >= oldest {
		// Executed already, and the record that commits it is being written.
		return nil, fmt.Errorf("block %d is not in the log yet: %w", h, ErrNotCertified)
	}
	return nil, fmt.Errorf("block %d: %w", h, ErrPruned)
}

// prove adds path and certificate.
func (a *resultArchive) prove(p *receiptParts, h, snapshot pbft.Height) error {
	var at pbft.Height
	var leaves []crypto.Digest
	err := a.store.ScanHost(HostLeaves, h, h+a.every+1, func(k HostKey, v []byte) error {
		at = k.Height
		leaves = make([]crypto.Digest, len(v)/crypto.DigestSize)
		for i := range leaves {
			copy(leaves[i][:], v[i*crypto.DigestSize:])
		}
		return errEnough
	})
	if err != nil && err != errEnough {
		return err
	}
	if at == 0 {
		return fmt.Errorf("block %d: no checkpoint covers it: %w", h, ErrNotCertified)
	}
	value, err := a.store.GetHost(HostKey{HostCertified, at})
	if err != nil {
		return err
	}
	if value == nil {
		if snapshot > at && pbft.Height(a.sealed.Load()) > at {
			// Votes count down to the stable snapshot; this one's came too late. Above
			// it a later checkpoint may be certified first: a snapshot takes its time.
			return fmt.Errorf("checkpoint %d: this replica has no certificate of it: %w", at, ErrPruned)
		}
		return fmt.Errorf("checkpoint %d: %w", at, ErrNotCertified)
	}
	if p.Certificate, err = pbft.DecodeCheckpointCertificate(value); err != nil {
		return err
	}
	var ok bool
	if p.Path, ok = receipttree.Path(leaves, p.Index); !ok {
		return fmt.Errorf("leaf %d of %d: %w", p.Index, len(leaves), ErrNoSuchResult)
	}
	p.Count = len(leaves)
	return nil
}
