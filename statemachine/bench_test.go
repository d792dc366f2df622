package statemachine

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/parley-bft/parley/crypto"
)

// echo answers every operation with the same eight bytes.
type echo struct {
	ledger
	answer []byte
}

func (e *echo) Apply(b Block) []Result {
	out := make([]Result, len(b.Ops))
	for i := range out {
		out[i].Data = e.answer
	}
	return out
}

func benchExecutor(b *testing.B, clients, perBlock, ops int) (*Executor, func()) {
	e := NewExecutor(&echo{answer: make([]byte, 8)}, DefaultLimits())
	block := RequestBlock{Requests: make([]Request, perBlock)}
	for i := range block.Requests {
		for range ops {
			block.Requests[i].Ops = append(block.Requests[i].Ops, make([]byte, 100))
		}
	}
	n := uint64(0)
	next := func() {
		block.Height++
		block.Time += second / 10
		block.Checkpoint = block.Height%20 == 0
		for i := range block.Requests {
			r := &block.Requests[i]
			k := n % uint64(clients)
			r.Client = client(int(k))
			r.Seq = n/uint64(clients) + 1
			r.Low = r.Seq - min(r.Seq, 3)
			r.Deadline = block.Time + 60*second
			binary.BigEndian.PutUint64(r.Digest[:], n)
			n++
		}
		if _, err := e.Execute(block); err != nil {
			b.Fatal(err)
		}
	}
	for n < uint64(clients) {
		next()
	}
	return e, next
}

// One iteration is one request of one operation, in blocks of 500, with a
// checkpoint each 20 blocks.
func BenchmarkExecute(b *testing.B) {
	for name, clients := range map[string]int{"1000 clients": 1000, "60000 clients": 60000} {
		b.Run(name, func(b *testing.B) {
			_, next := benchExecutor(b, clients, 500, 1)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 500 {
				next()
			}
		})
	}
}

// One iteration is one operation, 20 to a request.
func BenchmarkExecuteManyOps(b *testing.B) {
	_, next := benchExecutor(b, 1000, 50, 20)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 1000 {
		next()
	}
}

// A checkpoint of 60000 sessions of which 500 changed.
func BenchmarkSessionsDigest(b *testing.B) {
	e, next := benchExecutor(b, 60000, 500, 1)
	e.table.digest()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		next()
		b.StartTimer()
		e.table.digest()
	}
}

func BenchmarkSnapshotCall(b *testing.B) {
	e, next := benchExecutor(b, 60000, 500, 1)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		next()
		b.StartTimer()
		if _, err := e.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshotWriteAndRestore(b *testing.B) {
	e, _ := benchExecutor(b, 60000, 500, 1)
	var buf bytes.Buffer
	for b.Loop() {
		buf.Reset()
		s, err := e.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.WriteTo(&buf); err != nil {
			b.Fatal(err)
		}
		if err := NewExecutor(new(echo), DefaultLimits()).Restore(&buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	e, _ := benchExecutor(b, 1000, 500, 1)
	var d crypto.Digest
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := e.Lookup(client(0), 1, d); !ok {
			b.Fatal("not known")
		}
	}
}
