package pbft

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// sampleMessages returns one message or more of every kind.
func sampleMessages() []Message {
	k := newKitOf(5)
	start := &k.startAt.Header
	chain := k.chain(start, 0, 1, 4)
	block := k.propose(start, 0, 1, k.request(1, 1, "first"), k.request(2, 9, ""))
	next := k.propose(&block.Header, 0, 1)
	prepare := k.certificate(k.statement(Prepare, 0, nil, block.Ref()), ids(0, 1, 2, 3)...)
	commit := k.certificate(k.statement(Commit, 0, nil, kitRef(&chain[3])), ids(0, 1, 2, 4)...)
	nv := k.newView(2, prepare, k.claimOf(0, 2, nil), k.claimOf(1, 2, prepare), k.claimOf(2, 2, nil), k.claimOf(4, 2, nil))
	messages := []Message{
		block, next,
		k.vote(1, prepare.Statement),
		prepare, commit,
		k.sign(3, &CheckpointVote{CheckpointStatement: CheckpointStatement{Height: 2, State: Digest{1}}, Signer: 3}),
		&Bundle{
			Checkpoint: k.checkpointCertificate(CheckpointStatement{Height: 2, Block: chain[1].Digest()}, ids(0, 1, 2, 3)...),
			Header:     chain[1], Commit: commit, Links: chain[2:4],
		},
		&Bundle{Checkpoint: k.checkpointCertificate(CheckpointStatement{}, ids(0, 1, 2, 3)...), Header: *start},
		k.viewChange(1, 2, prepare), k.viewChange(1, 2, nil),
		nv,
		&Status{View: 3, Entered: true, NewView: nv.Digest(), Tip: block.Ref(), High: prepare.Rank(), Committed: 1, Executed: 1, Suspect: true},
		&Heartbeat{View: 3, Tip: block.Ref(), High: prepare.Rank()},
		&GetBlocks{From: 1}, &GetBlocks{From: 1, Height: 4, Digest: Digest{9}},
		&Blocks{Blocks: []*PrePrepare{block, next}, Certificate: prepare, NewViews: []*NewView{nv}}, &Blocks{},
		&Forward{Requests: block.Requests}, &Forward{},
		&GetManifest{Height: 7}, &Manifest{Height: 7, Data: []byte("manifest")},
		&GetChunk{Height: 7, Index: 2}, &Chunk{Height: 7, Index: 2, Data: []byte("chunk")},
		&GetState{ID: 7, Request: []byte("request")}, &State{ID: 7, Data: []byte("answer")},
	}
	proofs := newKitOf(4).proofs()
	for _, name := range names(proofs) {
		messages = append(messages, proofs[name])
	}
	return messages
}

// Every message comes back as it was: the same bytes, and no prefix of them and
// nothing longer decodes.
func TestMessagesRoundTrip(t *testing.T) {
	seen := map[MessageKind]bool{}
	for _, m := range sampleMessages() {
		seen[m.Kind()] = true
		enc := Encode(7, m)
		epoch, got, err := Decode(enc)
		require.NoError(t, err, "%v", m.Kind())
		require.Equal(t, Epoch(7), epoch)
		require.Equal(t, m.Kind(), got.Kind())
		require.Equal(t, enc, Encode(7, got), "%v", m.Kind())
		for cut := range enc {
			_, _, err := Decode(enc[:cut])
			require.Error(t, err, "%v cut at %d of %d", m.Kind(), cut, len(enc))
		}
		_, _, err = Decode(append(enc, 0))
		require.ErrorContains(t, err, "trailing", "%v", m.Kind())
	}
	for kind := range messageKinds {
		require.Equal(t, kind != 0, seen[kind], "%v has no sample", kind)
	}
}

func TestDecodedFieldsEqual(t *testing.T) {
	for _, m := range sampleMessages() {
		switch m := m.(type) {
		case *Status, *Heartbeat, *GetBlocks, *Vote, *CheckpointVote, *Certificate, *GetChunk, *Chunk, *GetState, *State, *Manifest, *GetManifest, *NewView, *ViewChange:
			_, got, err := Decode(Encode(1, m))
			require.NoError(t, err)
			require.Equal(t, m, got)
		case *PrePrepare:
			_, got, err := Decode(Encode(1, m))
			require.NoError(t, err)
			p := got.(*PrePrepare)
			require.Equal(t, m.Digest(), p.Digest())
			require.Equal(t, m.Header, p.Header)
			require.Equal(t, m.Signature, p.Signature)
			for i, r := range m.Requests {
				require.Equal(t, r.Digest(), p.Requests[i].Digest())
				require.Equal(t, len(r.Ops), len(p.Requests[i].Ops))
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	k := newKitOf(4)
	block := k.propose(&k.startAt.Header, 0, 1, k.request(1, 1, "op"))
	enc := Encode(1, block)
	for _, c := range []struct {
		name string
		f    func(b []byte) []byte
		says string
	}{
		{"nothing", func([]byte) []byte { return nil }, "bytes wanted"},
		{"no kind", func(b []byte) []byte { b[0] = 0; return b }, "message kind 0"},
		{"unknown kind", func(b []byte) []byte { b[0] = byte(messageKinds); return b }, "message kind 20"},
		{"another payload", func(b []byte) []byte { b[len(b)-65] ^= 1; return b }, "payload digest"},
		{"a truth value of 2", func(b []byte) []byte { b[9+headerSize-1] = 2; return b }, "truth value"},
		{"a huge count", func(b []byte) []byte { b[9+headerSize] = 0xff; return b }, "elements"},
	} {
		_, _, err := Decode(c.f(append([]byte(nil), enc...)))
		require.ErrorContains(t, err, c.says, c.name)
	}
	empty := NewRequest(crypto.PublicKey{1}, 1, 1, 1, nil)
	_, err := DecodeRequest(empty.Encode())
	require.ErrorContains(t, err, "without operations")
	zero := NewRequest(crypto.PublicKey{1}, 0, 0, 1, [][]byte{{1}})
	_, err = DecodeRequest(zero.Encode())
	require.ErrorContains(t, err, "sequence number 0")
}

// decodesWithin fails if decoding takes more memory than a multiple of its input:
// what a count promises must be there before anything is made for it.
func decodesWithin(t *testing.T, size int, decode func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decode()
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(64*size+1<<16); got > limit {
		t.Fatalf("%d bytes allocated for an input of %d", got, size)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(Encode(3, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var epoch Epoch
		var m Message
		var err error
		decodesWithin(t, len(b), func() { epoch, m, err = Decode(b) })
		if err != nil {
			return
		}
		require.Equal(t, b, Encode(epoch, m))
	})
}

// FuzzVerify: whatever decodes can be verified by anybody without harm.
func FuzzVerify(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(Encode(1, m), uint16(1))
	}
	k := newKitOf(4)
	f.Fuzz(func(t *testing.T, b []byte, from uint16) {
		_, m, err := Decode(b)
		if err != nil {
			return
		}
		got, why := k.v.Verify(ReplicaID(from), m)
		if (why == NoDrop) != (got.Message() != nil) {
			t.Fatalf("%v: message %v", why, got.Message())
		}
	})
}

func FuzzDecodeRequest(f *testing.F) {
	k := newKitOf(4)
	f.Add(k.request(1, 1, "op").Encode())
	f.Add(NewRequest(crypto.PublicKey{2}, 7, 3, 9, [][]byte{nil, {1, 2}, nil}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var r *Request
		var err error
		decodesWithin(t, len(b), func() { r, err = DecodeRequest(b) })
		if err != nil {
			return
		}
		require.Equal(t, b, r.Encode())
		again := NewRequest(r.Client, r.Seq, r.Low, r.Deadline, r.Ops).WithSignature(r.Signature)
		require.Equal(t, b, again.Encode())
		require.Equal(t, again.Digest(), r.Digest())
	})
}

func FuzzDecodeBlock(f *testing.F) {
	k := newKitOf(4)
	f.Add(k.startAt.Encode())
	f.Add(k.propose(&k.startAt.Header, 0, 1, k.request(1, 1, "op")).Block.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var block *Block
		var err error
		decodesWithin(t, len(b), func() { block, err = DecodeBlock(b) })
		if err != nil {
			return
		}
		require.Equal(t, b, block.Encode())
		again := NewBlock(block.Header, block.Requests)
		require.Equal(t, b, again.Encode())
		require.Equal(t, again.Digest(), block.Digest())
	})
}

func FuzzRecordKey(f *testing.F) {
	f.Add(RecordKey{Kind: RecordBlock, Height: 3, Digest: Digest{1}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := DecodeRecordKey(b)
		if err != nil {
			return
		}
		require.Len(t, b, RecordKeySize)
		require.Equal(t, b, key.Append(nil))
		require.NotEmpty(t, key.String())
	})
}

// FuzzRecords: the values of the log.
func FuzzRecords(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(m.append(nil))
	}
	f.Add((&durableState{View: 3, Entered: true, VotedView: 3, Voted: BlockRef{Height: 4}}).encode())
	f.Add(appendRef(nil, BlockRef{Height: 4, Digest: Digest{1}}))
	s := CheckpointStatement{Height: 4, State: Digest{1}}
	f.Add(canon.AppendBool(s.Append(nil), true))
	f.Add((&Divergence{Mine: s, Other: CheckpointStatement{Height: 4}, Certified: true, Agreed: 2}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodeRecordBlock(b); err == nil {
			require.Equal(t, b, p.append(nil))
		}
		if c, err := DecodeRecordCertificate(b); err == nil {
			require.Equal(t, b, c.append(nil))
		}
		if x, err := DecodeRecordBundle(b); err == nil {
			require.Equal(t, b, x.append(nil))
		}
		if n, err := DecodeRecordNewView(b); err == nil {
			require.Equal(t, b, n.append(nil))
		}
		if s, disowned, err := DecodeRecordCheckpoint(b); err == nil {
			require.Equal(t, b, canon.AppendBool(s.Append(nil), disowned))
		}
		if d, err := DecodeRecordDiverged(b); err == nil {
			require.Equal(t, b, d.append(nil))
		}
		if h, err := decodeRecordRejoined(b); err == nil {
			require.Equal(t, b, canon.AppendUint64(nil, uint64(h)))
		}
		if s, err := decodeState(b); err == nil {
			require.Equal(t, b, s.encode())
		}
		if c, err := DecodeCheckpointCertificate(b); err == nil {
			require.Equal(t, b, c.Encode())
		}
		// Of these only that they do not panic: their encoders belong to the core.
		_, _, _ = DecodeRecordCommitted(b)
		_, _ = DecodeRecordChain(b)
	})
}

// The small and frequent messages are encoded in one piece of memory of just the
// right size, of others it is about right.
func TestSizeHints(t *testing.T) {
	for _, m := range sampleMessages() {
		size := len(Encode(7, m))
		switch m.Kind() {
		case KindPrePrepare, KindVote, KindCertificate, KindCheckpointVote, KindBundle, KindViewChange, KindNewView, KindStatus, KindHeartbeat, KindGetBlocks:
			require.Equal(t, size, sizeHint(m), "%v", m.Kind())
		default:
			require.LessOrEqual(t, sizeHint(m), size+4096, "%v", m.Kind())
		}
	}
}
