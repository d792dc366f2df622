//go:build unix

package replica

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// processorTime is what this process has used of the processors, the system's part
// included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLogStream is what a replica under load writes, block for block: the block
// with the state, synced, which Prepare waits for; its certificate, synced, which
// Commit waits for; that it is committed, together with the next block; and what
// became of it, not synced. Every CheckpointEvery blocks what lies below the last but
// one is pruned. Run it with -benchtime of several thousand blocks, so that what is
// flushed, compacted and deleted later has its share.
func BenchmarkLogStream(b *testing.B) {
	for _, size := range []int{1 << 10, 128 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("block=%dKiB", size>>10), func(b *testing.B) { logStream(b, size, 1024) })
	}
}

func logStream(b *testing.B, size int, every uint64) {
	dir := filepath.Join(b.TempDir(), "store")
	require.NoError(b, makeDirs(dir))
	s, err := openJournal(DiskStoreConfig{Dir: dir, Reserve: 1 << 20})
	require.NoError(b, err)
	w := &logWriter{store: s}
	a := &resultArchive{store: s, every: pbft.Height(every), retain: int64(every)}
	rng := rand.NewChaCha8([32]byte{1})
	digest := func(h uint64) (d pbft.Digest) {
		binary.BigEndian.PutUint64(d[:], h*0x9e3779b97f4a7c15)
		return d
	}
	blocks := make([][]byte, 32)
	for i := range blocks {
		blocks[i] = make([]byte, size)
		_, _ = rng.Read(blocks[i])
	}
	replies := make([]byte, 8<<10)
	vote := make([]pbft.Envelope, 1) // which waits
	write := func(durable []pbft.Envelope, records ...pbft.Record) {
		if err := w.commit([]*Batch{{Records: records, Durable: durable}}); err != nil {
			b.Fatal(err)
		}
	}
	put := func(kind pbft.RecordKind, h uint64, d pbft.Digest, value []byte) pbft.Record {
		return pbft.Record{Key: pbft.RecordKey{Kind: kind, Height: h, Digest: d}, Value: value}
	}
	remove := func(kind pbft.RecordKind, h uint64, d pbft.Digest) pbft.Record {
		return pbft.Record{Key: pbft.RecordKey{Kind: kind, Height: h, Digest: d}, Delete: true}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime()
	low := uint64(1)
	for i := range b.N {
		h := uint64(i + 1)
		records := []pbft.Record{
			put(pbft.RecordBlock, h, digest(h), blocks[i%len(blocks)]),
			put(pbft.RecordState, 0, pbft.Digest{}, make([]byte, 130)),
		}
		if h > 1 {
			records = append(records,
				put(pbft.RecordChain, h-1, pbft.Digest{}, make([]byte, 40)),
				put(pbft.RecordCommitted, 0, pbft.Digest{}, make([]byte, 400)))
		}
		if h%16 == 0 {
			records = append(records, put(pbft.RecordCommit, h, pbft.Digest{}, make([]byte, 360)))
		}
		write(vote, records...)
		write(vote, put(pbft.RecordHigh, 0, pbft.Digest{}, make([]byte, 360)))
		if err := s.WriteHost([]HostRecord{{Key: HostKey{HostReplies, pbft.Height(h)}, Value: replies}}, false); err != nil {
			b.Fatal(err)
		}
		if h%every != 0 || h <= every {
			continue
		}
		gone := []pbft.Record{put(pbft.RecordSnapshot, 0, pbft.Digest{}, make([]byte, 2000))}
		for ; low <= h-every; low++ {
			gone = append(gone, remove(pbft.RecordBlock, low, digest(low)), remove(pbft.RecordChain, low, pbft.Digest{}),
				remove(pbft.RecordCommit, low, pbft.Digest{}))
		}
		write(vote, gone...)
		if err := a.prune(pbft.Height(h)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	require.NoError(b, s.Close())
	used := processorTime() - began
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/block")
	b.ReportMetric(used.Seconds()*1e3/(float64(b.N)*float64(size)/1e6), "cpu-ms/MB")
	b.ReportMetric(0, "ns/op")
}
