package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// A proposal goes to the log in the memory that it came in, or that its block was made
// in: a copy of each block is among the most that a replica allocates.
func TestRecordOfAProposal(t *testing.T) {
	k := newKitOf(4)
	signed := k.propose(&k.startAt.Header, 0, 1, k.request(1, 1, "a"), k.request(2, 1, "b"))
	own := &PrePrepare{Block: NewBlock(signed.Header, signed.Requests)}
	wire := Encode(k.Epoch, signed)
	_, m, err := Decode(wire)
	require.NoError(t, err)
	received := m.(*PrePrepare)
	other := &PrePrepare{Block: received.Block, Signature: crypto.Signature{1}}

	_, m, err = Decode(Encode(k.Epoch, &Blocks{Blocks: []*PrePrepare{signed, signed}}))
	require.NoError(t, err)
	first := m.(*Blocks).Blocks[0] // with more behind it in the same memory

	for name, p := range map[string]*PrePrepare{
		"own": own, "signed": signed, "received": received, "with another signature": other, "first of many": first,
	} {
		value := p.record()
		_ = append(p.Encode(), 0xff) // somebody careless
		require.Equal(t, len(value), cap(value), name)
		back, err := DecodeRecordBlock(value)
		require.NoError(t, err, name)
		require.Equal(t, p.Digest(), back.Digest(), name)
		require.Equal(t, p.Signature, back.Signature, name)
	}
	require.Same(t, &wire[envelopeSize], &received.record()[0])
	require.Same(t, &own.Encode()[0], &own.record()[0])
	require.NotSame(t, &received.record()[0], &other.record()[0])
}
