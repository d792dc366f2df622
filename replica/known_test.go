package replica

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/symbolic"
	"github.com/parley-bft/parley/pbft"
)

// knownKit is a stage of replica 1 of a cluster whose primary is replica 0.
type knownKit struct {
	t      *testing.T
	world  *symbolic.World
	stage  *verifyStage
	start  *pbft.Block
	signer crypto.KeySigner
}

func newKnownKit(t *testing.T) *knownKit {
	weights := []uint64{1, 1, 1, 1}
	q, err := pbft.NewQuorumSystem(weights)
	require.NoError(t, err)
	k := &knownKit{t: t, world: symbolic.NewWorld(1), start: pbft.StartBlock(crypto.Hash("test/cluster"), 0)}
	scheme, err := k.world.Scheme(len(weights), false)
	require.NoError(t, err)
	keys := make([]crypto.PublicKey, len(weights))
	k.signer = k.world.Client(1000)
	keys[0] = k.signer.Public()
	known := knownRequests{newDigestSet(1 << 10)}
	k.stage = &verifyStage{
		self: 1, metrics: dropCounts{}, known: known, workers: workerTokens(2), distrusted: make([]atomic.Bool, len(weights)),
		verifier: pbft.NewVerifier(pbft.VerifierConfig{
			Self: 1, Cluster: k.start.Cluster, Start: k.start.Ref(), Quorums: q, Schedule: pbft.NewSchedule(weights),
			Votes: scheme, Checkpoints: scheme, Requests: k.world, SigningKeys: keys, Known: known,
			Limits: pbft.Limits{MaxBlockBytes: 1 << 20, MaxBlockRequests: 1 << 10, MaxOperationBytes: 1 << 10, Window: 8},
		}),
	}
	return k
}

// request is one of a client's, with a good signature or a bad one.
func (k *knownKit) request(seq uint64, good bool) *pbft.Request {
	client := k.world.Client(1)
	r := pbft.NewRequest(client.Public(), seq, 1, 1000, [][]byte{[]byte("op")})
	d := r.Digest()
	ctx := crypto.Context{Kind: crypto.KindRequest, Cluster: k.start.Cluster}
	sig, ok := crypto.SignatureOf(client.Sign(ctx, d[:]))
	require.True(k.t, ok)
	if !good {
		sig[0] ^= 1
	}
	return r.WithSignature(sig)
}

// block is replica 0's proposal.
func (k *knownKit) block(requests ...*pbft.Request) *pbft.PrePrepare {
	p := &pbft.PrePrepare{Block: pbft.NewBlock(pbft.Header{
		Cluster: k.start.Cluster, Height: 1, Time: 1, Parent: k.start.Digest(),
	}, requests)}
	return pbft.Sign(k.start.Cluster, 0, p, pbft.Keys{Self: 0, Signing: k.signer}).(*pbft.PrePrepare)
}

func (k *knownKit) knows(r *pbft.Request) bool { return k.stage.known.Known(r.Digest(), r.Signature) }

// take gives the stage a message, as it comes over a link, and tells whether it was good.
func (k *knownKit) take(from pbft.ReplicaID, m pbft.Message) bool {
	out := k.stage.verify(from, [][]byte{pbft.Encode(0, m)}, nil)
	return len(out.messages) == 1
}

// What is known is a request with one signature. Whoever has another of the same request,
// good or bad, or the same one of another request, has something that was not checked.
func TestKnownIsTheSignatureToo(t *testing.T) {
	k := newKnownKit(t)
	good, other := k.request(1, true), k.request(2, true)
	k.stage.known.add(good)
	require.True(t, k.knows(good))
	require.False(t, k.knows(k.request(1, false)))
	require.False(t, k.knows(other))
	require.False(t, k.knows(other.WithSignature(good.Signature)))
}

// A traitor who passes bad requests on among good ones does not make the bad ones known,
// by whatever message; what comes of them later is refused as if it came for the first
// time.
func TestNothingBadBecomesKnown(t *testing.T) {
	good, bad := func(k *knownKit) *pbft.Request { return k.request(1, true) }, func(k *knownKit) *pbft.Request { return k.request(2, false) }

	k := newKnownKit(t)
	require.True(t, k.take(2, &pbft.Forward{Requests: []*pbft.Request{good(k), bad(k)}}))
	require.True(t, k.knows(good(k)))
	require.False(t, k.knows(bad(k)))
	require.False(t, k.take(0, k.block(good(k), bad(k))))
	require.False(t, k.knows(bad(k)))
	require.True(t, k.take(0, k.block(good(k))))

	// A block so large that several goroutines check it.
	k = newKnownKit(t)
	many := make([]*pbft.Request, 3*shareAbove)
	for i := range many {
		many[i] = k.request(uint64(i)+1, i != 200)
	}
	require.False(t, k.take(0, k.block(many...)))
	require.False(t, k.knows(many[200]))
	require.True(t, k.knows(many[199]), "its part was checked apart")
	many[200] = k.request(201, true)
	require.True(t, k.take(0, k.block(many...)))
	require.True(t, k.knows(many[200]))

	// Blocks that a certificate vouches for are taken without their requests' signatures
	// being looked at: nothing is learned of them, nor of those that are refused.
	k = newKnownKit(t)
	k.take(2, &pbft.Blocks{Blocks: []*pbft.PrePrepare{k.block(good(k), bad(k))}})
	require.False(t, k.knows(bad(k)))
	k.take(2, &pbft.Blocks{Blocks: []*pbft.PrePrepare{k.block(good(k))}})
	require.False(t, k.knows(good(k)))
}
