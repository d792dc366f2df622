package statemachine

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gated lets a test hold the application inside Apply.
type gated struct {
	ledger
	inside, leave chan struct{}
}

func (g *gated) Apply(b Block) []Result {
	g.inside <- struct{}{}
	<-g.leave
	return g.ledger.Apply(b)
}

// While the application runs, readers are answered, and nobody is given results
// that are not there yet.
func TestReadersDoNotWaitForTheApplication(t *testing.T) {
	g := &gated{inside: make(chan struct{}), leave: make(chan struct{})}
	e := NewExecutor(g, testLimits())
	r := request(1, 1, 1, 50, "x")
	done := make(chan error)
	go func() {
		_, err := e.Execute(RequestBlock{Height: 1, Time: second, Requests: []Request{r}})
		done <- err
	}()
	<-g.inside
	_, known := e.Lookup(r.Client, r.Seq, r.Digest)
	require.False(t, known)
	_, ok := e.Admissible(&r, 0)
	require.False(t, ok, "it is on its way already")
	require.Zero(t, e.Position().Height)
	g.leave <- struct{}{}
	require.NoError(t, <-done)
	_, known = e.Lookup(r.Client, r.Seq, r.Digest)
	require.True(t, known)
	require.EqualValues(t, 1, e.Position().Height)
}

// For the race detector: readers beside a busy executor that evicts, trims, takes
// digests, writes snapshots and restores.
func TestReadersBesideExecution(t *testing.T) {
	l := testLimits()
	l.MaxCacheBytes = 3000
	c := newChain(t, l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for k := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for seq := uint64(1); ; seq = seq%300 + 1 {
				select {
				case <-stop:
					return
				default:
				}
				r := request(int(seq)%9, seq, 1, 50+int(seq), "x")
				c.Admissible(&r, Time(k)*second)
				if reply, known := c.Lookup(r.Client, r.Seq, r.Digest); known {
					reply.Digest()
				}
				c.Position()
				c.Sessions()
			}
		}()
	}
	for seq := uint64(1); seq <= 300; seq++ {
		c.run(int(seq), request(int(seq)%9, seq, seq, 50+int(seq), "x"))
		if seq%50 == 0 {
			s := mustSnapshot(t, c.Executor)
			b := snapshotBytes(t, s)
			require.NoError(t, c.Restore(bytes.NewReader(b)))
		}
	}
	close(stop)
	wg.Wait()
}
