package statemachine

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/stretchr/testify/require"
)

// ledger is a machine for tests: it remembers every operation that it ran, so a
// test can see what ran twice. The operation "panic" panics, "big" answers with a
// large result, "short" makes it return too few results.
type ledger struct {
	ran   []string
	total uint64
}

func (l *ledger) Apply(b Block) []Result {
	var out []Result
	for _, op := range b.Ops {
		if string(op.Data) == "short" {
			continue
		}
		out = append(out, l.one(op))
	}
	return out
}

func (l *ledger) one(op Op) Result {
	switch string(op.Data) {
	case "panic":
		panic("poison")
	case "big":
		return OK(make([]byte, 5000))
	}
	l.ran = append(l.ran, op.Client.Hex()[:4]+":"+string(op.Data))
	l.total++
	return OK(binary.BigEndian.AppendUint64(nil, l.total))
}

func (l *ledger) encode() []byte {
	var b []byte
	for _, s := range l.ran {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	return b
}

func (l *ledger) Digest() crypto.Digest { return crypto.Hash("test/ledger", l.encode()) }

type bytesSnapshot struct{ *bytes.Reader }

func (bytesSnapshot) Close() error { return nil }

func (l *ledger) Snapshot() (Snapshot, error) {
	return bytesSnapshot{bytes.NewReader(l.encode())}, nil
}

func (l *ledger) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l.ran, l.total = nil, 0
	for len(b) > 0 {
		n := int(b[0])
		if n >= len(b) {
			return io.ErrUnexpectedEOF
		}
		l.ran = append(l.ran, string(b[1:1+n]))
		l.total++
		b = b[1+n:]
	}
	return nil
}

// tester is a *testing.T, *testing.B, *testing.F or *rapid.T.
type tester interface {
	require.TestingT
	Helper()
}

const second = Time(time.Second)

func testLimits() Limits {
	return Limits{MaxInFlight: 64, MaxLife: 100 * time.Second, MaxSessions: 4, MaxResultBytes: 1024, MaxReplyBytes: 2048, MaxCacheBytes: 1 << 20, MaxOpWork: 1 << 16, MaxBlockWork: 1 << 18}
}

func client(n int) (k crypto.PublicKey) {
	binary.BigEndian.PutUint32(k[:], uint32(n))
	return k
}

// request returns a request whose deadline is given in seconds of block time.
func request(c int, seq, low uint64, deadline int, ops ...string) Request {
	r := Request{Client: client(c), Seq: seq, Low: low, Deadline: Time(deadline) * second}
	var b []byte
	b = append(b, r.Client[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, low)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Deadline))
	for _, op := range ops {
		r.Ops = append(r.Ops, []byte(op))
		b = append(b, op...)
		b = append(b, 0)
	}
	r.Digest = crypto.Hash("test/request", b)
	return r
}

// chain drives an executor: each call of run is one block.
type chain struct {
	*Executor
	t      tester
	app    *ledger
	height uint64
}

func newChain(t tester, l Limits) *chain {
	require.NoError(t, l.Validate())
	app := new(ledger)
	return &chain{Executor: NewExecutor(app, l), t: t, app: app}
}

func (c *chain) block(at int, requests ...Request) RequestBlock {
	return RequestBlock{Height: c.height + 1, Time: Time(at) * second, Digest: crypto.Hash("test/block", []byte{byte(c.height)}), Requests: requests}
}

func (c *chain) run(at int, requests ...Request) []Reply {
	c.t.Helper()
	x, err := c.Execute(c.block(at, requests...))
	require.NoError(c.t, err)
	c.height++
	return x.Replies
}

// status runs one request in a block of its own.
func (c *chain) status(at int, r Request) Status {
	c.t.Helper()
	return c.run(at, r)[0].Status
}

func snapshotBytes(t tester, s Snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	require.NoError(t, s.Close())
	return b.Bytes()
}
