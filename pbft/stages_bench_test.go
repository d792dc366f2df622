package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
)

// What follows is each step of a request through a replica by itself, with real
// signatures where there are any. Sizes are those of the benchmarks of the whole:
// operations of 256 bytes, and blocks of 500 requests.
const (
	benchOperation = 256
	benchBlock     = 500
)

// benchRequests makes signed requests of so many operations, each of another client.
func benchRequests(n, ops int) []*Request {
	cluster := crypto.Hash("bench")
	requests := make([]*Request, n)
	for i := range requests {
		key := ed25519.NewKeyFromSeed([32]byte{1, byte(i), byte(i >> 8)})
		all := make([][]byte, ops)
		for k := range all {
			all[k] = make([]byte, benchOperation)
		}
		r := NewRequest(key.Public(), uint64(i)+1, 1, ^Time(0)>>1, all)
		d := r.Digest()
		sig, _ := crypto.SignatureOf(ed25519.NewSigner(key).Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: cluster}, d[:]))
		requests[i] = r.WithSignature(sig)
	}
	return requests
}

// per reports the time of one of many parts of an iteration.
func per(b *testing.B, n int, unit string) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/"+unit)
}

func BenchmarkNewRequest(b *testing.B) {
	for _, ops := range []int{1, 64} {
		b.Run(fmt.Sprint("ops=", ops), func(b *testing.B) {
			from := benchRequests(1, ops)[0]
			b.ReportAllocs()
			for b.Loop() {
				NewRequest(from.Client, 1, 1, from.Deadline, from.Ops)
			}
			per(b, ops, "operation")
		})
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	for _, ops := range []int{1, 64} {
		b.Run(fmt.Sprint("ops=", ops), func(b *testing.B) {
			raw := benchRequests(1, ops)[0].Encode()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeRequest(raw); err != nil {
					b.Fatal(err)
				}
			}
			per(b, ops, "operation")
		})
	}
}

// benchVerifier checks real signatures; its keys are cached already, as those of
// clients are that have asked before.
func benchVerifier(b *testing.B, requests []*Request) *Verifier {
	k := newKitOf(4)
	cfg := k.VerifierConfig
	cfg.Cluster = crypto.Hash("bench")
	cfg.Requests = ed25519.NewVerifier(10_000)
	cfg.Limits = Limits{MaxBlockBytes: 1 << 20, MaxBlockRequests: benchBlock, MaxOperationBytes: 1 << 18, Window: 4}
	v := NewVerifier(cfg)
	for _, ok := range v.VerifyRequests(requests) {
		require.True(b, ok)
	}
	return v
}

func BenchmarkVerifyRequests(b *testing.B) {
	for _, n := range []int{1, 16, 128, benchBlock} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			requests := benchRequests(n, 1)
			v := benchVerifier(b, requests)
			b.ReportAllocs()
			for b.Loop() {
				v.VerifyRequests(requests)
			}
			per(b, n, "request")
		})
	}
}

func benchProposal() *PrePrepare {
	k := newKitOf(4)
	return k.propose(&k.startAt.Header, 0, 1, benchRequests(benchBlock, 1)...)
}

// A primary makes a block and its message once, and encodes it for the peers.
func BenchmarkMakeBlock(b *testing.B) {
	p := benchProposal()
	b.ReportAllocs()
	for b.Loop() {
		NewBlock(p.Header, p.Requests)
	}
	per(b, benchBlock, "request")
}

func BenchmarkEncodePrePrepare(b *testing.B) {
	p := benchProposal()
	b.ReportAllocs()
	b.SetBytes(int64(p.Size()))
	for b.Loop() {
		Encode(1, p)
	}
	per(b, benchBlock, "request")
}

func BenchmarkDecodePrePrepare(b *testing.B) {
	raw := Encode(1, benchProposal())
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
	per(b, benchBlock, "request")
}

// benchVotes are real votes of a quorum of n, and who checks them.
func benchVotes(b *testing.B, n int) (*Verifier, []*Vote) {
	k := newKitOf(n)
	cfg := k.VerifierConfig
	keys := make([]*ed25519.PrivateKey, n)
	public := make([]crypto.PublicKey, n)
	for i := range keys {
		keys[i] = ed25519.NewKeyFromSeed([32]byte{2, byte(i)})
		public[i] = keys[i].Public()
	}
	scheme, err := ed25519.NewScheme(public)
	require.NoError(b, err)
	cfg.Votes, cfg.Checkpoints, cfg.SigningKeys = scheme, scheme, public
	st := k.statement(Prepare, 0, nil, BlockRef{Height: k.Start.Height + 1, Digest: Digest{1}})
	votes := make([]*Vote, 0, n)
	for i := range 2*n/3 + 1 {
		s := ed25519.NewSigner(keys[i])
		id := ReplicaID(i)
		m := Sign(k.Cluster, k.Epoch, &Vote{Statement: st, Signer: id}, Keys{Self: id, Signing: s, Votes: s, Checkpoints: s})
		votes = append(votes, m.(*Vote))
	}
	v := NewVerifier(cfg)
	for _, why := range v.VerifyVotes(votes) {
		require.Equal(b, NoDrop, why)
	}
	return v, votes
}

func BenchmarkVerifyVotes(b *testing.B) {
	for _, n := range []int{4, 16, 31} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			v, votes := benchVotes(b, n)
			b.ReportAllocs()
			for b.Loop() {
				v.VerifyVotes(votes)
			}
			per(b, len(votes), "vote")
		})
	}
}

func BenchmarkCodecOfVote(b *testing.B) {
	_, votes := benchVotes(b, 4)
	raw := Encode(1, votes[0])
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Encode(1, votes[0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Decode(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBlockRound is a whole block of many requests through four replicas, from
// Submit to its execution at all of them, with symbolic signatures: the cost of the
// protocol itself, encodings included, under load. An iteration is so many requests; divide by
// four for the share of one replica.
func BenchmarkBlockRound(b *testing.B) {
	for _, size := range []int{16, 128, benchBlock} {
		b.Run(fmt.Sprint("requests=", size), func(b *testing.B) {
			w := newWorld(equalWeights(4), 1, func(c *Config) {
				c.CheckpointEvery, c.LogMax, c.Retain = 16, 64, 16
				c.MaxBlockBytes, c.MaxBlockRequests, c.MaxPoolBytes = 1<<20, size, 8<<20
			})
			w.tick()
			w.settle(nil)
			op := string(make([]byte, benchOperation))
			round := uint64(0)
			block := func() []*Request {
				round++
				requests := make([]*Request, size)
				for i := range requests {
					requests[i] = w.request(uint64(i), round, op)
				}
				return requests
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				requests := block()
				b.StartTimer()
				for _, r := range requests {
					w.nodes[0].submit(r)
				}
				w.settle(nil)
			}
			b.StopTimer()
			per(b, size, "request")
			for _, n := range w.nodes {
				if len(n.done) != b.N*size || len(w.broken) > 0 {
					b.Fatalf("replica %d executed %d of %d requests: %v", n.id, len(n.done), b.N*size, w.broken)
				}
			}
			b.ReportMetric(float64(w.nodes[0].core.ExecutedHeight())/float64(b.N), "blocks/round")
		})
	}
}
