package replica

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// What follows is the steps of a request through a server that are not the core's, each
// by itself. The others are beside them in pbft, statemachine and crypto/ed25519.

// nobody is told nothing.
type nobody struct{}

func (nobody) answer(crypto.PublicKey, statemachine.Reply)      {}
func (nobody) refuse(crypto.PublicKey, pbft.Digest, api.Reason) {}

// countingBackend takes requests and counts them.
type countingBackend struct {
	*fakeBackend
	taken chan int
}

func (b *countingBackend) Offer(rs []*pbft.Request) { b.taken <- len(rs) }

// BenchmarkIngress is a request from its bytes to a checked signature, with one
// verifying goroutine and as many requests at once.
func BenchmarkIngress(b *testing.B) {
	for _, n := range []int{1, 16, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newClientTestCluster(b, nil)
			back := &countingBackend{newFakeBackend(), make(chan int, 1024)}
			limits := ingressLimits{Workers: 1, Batch: 512, ClientRequests: 1000, ClientBytes: 1 << 24, TotalRequests: 65536, TotalBytes: 1 << 28}
			g := newIngress(limits, c.roster, ed25519.NewVerifier(10_000), back, nobody{}, new(clientCounters))
			b.Cleanup(g.close)
			keys, encoded := make([]crypto.PublicKey, n), make([][][]byte, n)
			for i := range keys {
				k := ed25519.NewKeyFromSeed([32]byte{3, byte(i), byte(i >> 8)})
				keys[i], encoded[i] = k.Public(), [][]byte{c.request(k, 1, make([]byte, 256)).Encode()}
			}
			g.start()
			round := func() {
				for i := range keys {
					g.accept(keys[i], nil, encoded[i])
				}
				for left := n; left > 0; {
					left -= <-back.taken
				}
			}
			round() // the verifier knows the keys now
			b.ReportAllocs()
			for b.Loop() {
				round()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
		})
	}
}

// BenchmarkReplies is the replies of a block to the clients' sessions and into encoded
// messages: one client that has all of them, and one for each.
func BenchmarkReplies(b *testing.B) {
	const block = 500
	for _, clients := range []int{1, block} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			limits := DefaultClientLimits()
			t := newReplyRouter(1, limits, new(clientCounters))
			sessions := make([]*replySession, clients)
			replies := make([]statemachine.Reply, block)
			for i := range sessions {
				sessions[i] = t.open(crypto.PublicKey{byte(i), byte(i >> 8)}, func() { b.Error("cut") })
			}
			for i := range replies {
				replies[i] = statemachine.Reply{
					Client: sessions[i%clients].client, Seq: uint64(i), Request: crypto.Digest{byte(i)}, Status: statemachine.Executed,
					Results: []statemachine.Result{statemachine.OK(make([]byte, 8))},
				}
			}
			var buf []byte
			bytes := 0
			b.ReportAllocs()
			for b.Loop() {
				t.Deliver(1, 1, replies)
				for _, s := range sessions {
					for more := true; more; {
						var entries []replyEntry
						entries, more = s.take(1 << 20)
						var err error
						if buf, err = (proto.MarshalOptions{}).MarshalAppend(buf[:0], replyMessage(entries)); err != nil {
							b.Fatal(err)
						}
						bytes += len(buf)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/block, "ns/reply")
			b.ReportMetric(float64(bytes)/float64(b.N)/block, "B/reply")
		})
	}
}

// BenchmarkApply is committed blocks through the executor, the key-value store and the
// archive of results: 16 requests of 21 puts of 256 bytes, over 10000 keys, with a
// checkpoint each 10 blocks.
func BenchmarkApply(b *testing.B) {
	const clients, ops, keys = 16, 21, 10_000
	dir := filepath.Join(b.TempDir(), "store")
	require.NoError(b, makeDirs(dir))
	s, err := openDiskStore(DiskStoreConfig{Dir: dir})
	require.NoError(b, err)
	defer s.Close()
	r := &runner{
		exec:  statemachine.NewExecutor(kv.New(kv.DefaultLimits()), statemachine.DefaultLimits()),
		store: s, every: 1 << 20, archive: &resultArchive{store: s, every: 1 << 20},
	}
	block := func(h pbft.Height) *pbft.Block {
		out := &pbft.Block{Header: pbft.Header{Height: h, Time: pbft.Time(h), Checkpoint: h%10 == 0}}
		for c := range clients {
			var data [][]byte
			for o := range ops {
				key := fmt.Appendf(nil, "bench/%07d", ((int(h)*ops+o)*clients+c)%keys)
				data = append(data, kv.Put(key, make([]byte, 234)))
			}
			out.Requests = append(out.Requests, pbft.NewRequest(crypto.PublicKey{byte(c)}, uint64(h), uint64(h), pbft.Time(h)+1, data))
		}
		return out
	}
	b.ReportAllocs()
	h := pbft.Height(0)
	for b.Loop() {
		b.StopTimer()
		h++
		next := block(h)
		b.StartTimer()
		if _, err := r.apply(next, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(clients*ops), "ns/operation")
}

// BenchmarkLogWrite is the records of a block in the store, synced: the block, what
// says that it was voted for, and as many blocks in one write as group commit puts
// together.
func BenchmarkLogWrite(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 256 << 10} {
		for _, blocks := range []int{1, 4} {
			b.Run(fmt.Sprintf("block=%dKiB/blocks=%d", size>>10, blocks), func(b *testing.B) {
				dir := filepath.Join(b.TempDir(), "store")
				require.NoError(b, makeDirs(dir))
				s, err := openJournal(DiskStoreConfig{Dir: dir})
				require.NoError(b, err)
				defer s.Close()
				w := &logWriter{store: s}
				block, vote := make([]byte, size), make([]byte, 200)
				for i := range block {
					block[i] = byte(i * 7919 >> 3)
				}
				height := uint64(0)
				b.SetBytes(int64(size * blocks))
				b.ReportAllocs()
				for b.Loop() {
					batches := make([]*Batch, blocks)
					for i := range batches {
						height++
						at := height % 64 // as a log that is pruned
						batches[i] = &Batch{
							Records: []pbft.Record{
								{Key: pbft.RecordKey{Kind: pbft.RecordBlock, Height: at}, Value: block},
								{Key: pbft.RecordKey{Kind: pbft.RecordCommit, Height: at}, Value: vote},
							},
							Durable: make([]pbft.Envelope, 1), // which waits for them
						}
					}
					if err := w.commit(batches); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
