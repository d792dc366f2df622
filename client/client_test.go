package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

var four = []uint64{1, 1, 1, 1}

func TestSubmit(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		c := f.connect(f.config(1))
		for i := range 3 {
			r, err := c.Submit(testContext(t), fmt.Appendf(nil, "op %d", i))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("re: op %d", i), string(r.Data))
		}
		require.Equal(t, []string{"op 0", "op 1", "op 2"}, f.ops())
		for range 3 {
			require.Equal(t, pbft.ReplicaID(0), f.nextArrival().at, "to the primary alone")
		}
		require.Empty(t, f.arrivals)
		r, err := c.Query(testContext(t), []byte("q"), client.Linearizable)
		require.NoError(t, err)
		require.Equal(t, "re: q", string(r.Data))
		_, err = c.Query(testContext(t), []byte("q"), 0)
		require.Error(t, err)
		a, err := c.QueryReplica(testContext(t), 2, []byte("q"))
		require.NoError(t, err)
		require.Equal(t, client.ReplicaAnswer{Data: []byte("\x02q"), Height: 7}, a)
		_, err = c.QueryReplica(testContext(t), 4, nil)
		require.Error(t, err)
		st, err := c.ReplicaStatus(testContext(t), 3)
		require.NoError(t, err)
		require.Equal(t, uint32(3), st.Replica)
	})
}

// F liars that say the same lie, at once and before anybody else, are outvoted;
// noise about other requests and malformed replies change nothing.
func TestLiarsAreOutvoted(t *testing.T) {
	for name, lie := range map[string]func(*api.Reply){
		"result": func(r *api.Reply) {
			r.Results = statemachine.AppendResults(nil, []statemachine.Result{statemachine.OK([]byte("lie"))})
		},
		"code":        func(r *api.Reply) { r.Results[0] ^= 0x80 },
		"height":      func(r *api.Reply) { r.Height++ },
		"expired":     func(r *api.Reply) { r.Outcome, r.Results = api.Outcome_OUTCOME_EXPIRED, nil },
		"conflict":    func(r *api.Reply) { r.Outcome, r.Results = api.Outcome_OUTCOME_CONFLICT, nil },
		"epoch":       func(r *api.Reply) { r.Epoch = 2 },
		"sequence":    func(r *api.Reply) { r.Seq++ },
		"more":        func(r *api.Reply) { r.Results = append(r.Results, make([]byte, 8)...) },
		"trailing":    func(r *api.Reply) { r.Results = append(r.Results, 0) },
		"torn":        func(r *api.Reply) { r.Results = r.Results[:len(r.Results)-1] },
		"long":        func(r *api.Reply) { r.Results[4] = 0xff },
		"no results":  func(r *api.Reply) { r.Results = nil },
		"bad outcome": func(r *api.Reply) { r.Outcome = 77 },
		"bad digest":  func(r *api.Reply) { r.Request = r.Request[:7] },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeCluster(t, []uint64{1, 1, 1, 1, 1, 1, 1}, nil)
			for id := range 2 {
				f.set(id, func(r *fakeReplica) {
					r.lie = func(r *api.Reply) {
						if len(r.Results) > 0 { // else it is asked late: forgotten
							lie(r)
						}
					}
					r.primary = 999
					r.noise = &api.ReplicaMessage{
						Replies:  []*api.Reply{{}, {Request: make([]byte, 32)}},
						Refusals: []*api.Refusal{{}, {Request: make([]byte, 32), Reason: 99}},
					}
				})
			}
			c := f.connect(f.config(1))
			for i := range 3 {
				r, err := c.Submit(testContext(t), fmt.Appendf(nil, "%d", i))
				require.NoError(t, err)
				require.Equal(t, statemachine.OK(fmt.Appendf(nil, "re: %d", i)), r)
			}
		})
	}
}

// A reply that comes again, also in the message that makes the outcome known, settles
// nothing twice.
func TestARepeatedReplyCountsOnce(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.times = 3 })
	}
	c := f.connect(f.config(1))
	for i := range 5 {
		_, err := c.Submit(testContext(t), fmt.Appendf(nil, "%d", i))
		require.NoError(t, err)
	}
	s := c.Stats()
	require.Equal(t, []uint64{5, 5}, []uint64{s.Requests, s.Outcomes})
}

// Exactly F is not enough, whatever the numbers of heads: weights count.
func TestWeightsCount(t *testing.T) {
	f := newFakeCluster(t, []uint64{2, 1, 1, 1, 1, 1}, nil) // W = 7, F = 2
	for id := range 6 {
		f.set(id, func(r *fakeReplica) { r.mute = id != 0 })
	}
	c := f.connect(f.config(1))
	call := c.Start(testContext(t), []byte("x"))
	q := f.nextArrival().request
	f.eventually(func() bool { return len(f.ran) == 1 })
	select {
	case <-call.Done():
		require.Fail(t, "replies of weight F were enough")
	default:
	}
	f.set(3, func(r *fakeReplica) {
		r.mute = false
		reply, known := f.executor.Lookup(q.Client, q.Seq, q.Digest())
		require.True(t, known)
		r.say(reply)
	})
	a, err := call.Answer()
	require.NoError(t, err)
	require.Equal(t, "re: x", string(a.Result.Data))
}

// A silent primary costs one pause: then the same request goes to everybody.
func TestSilentPrimary(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		f.set(0, func(r *fakeReplica) { r.deaf = true })
		cfg := f.config(1)
		cfg.Retry = 10 * time.Millisecond
		c := f.connect(cfg)
		_, err := c.Submit(testContext(t), []byte("x"))
		require.NoError(t, err)
		require.Equal(t, []string{"x"}, f.ops(), "once")
		first := f.nextArrival()
		require.Equal(t, pbft.ReplicaID(0), first.at)
		require.Equal(t, first.request.Digest(), f.nextArrival().request.Digest())
		require.NotZero(t, c.Stats().Retries)
		// The next one goes elsewhere at once.
		before := c.Stats().Retries
		_, err = c.Submit(testContext(t), []byte("y"))
		require.NoError(t, err)
		require.Equal(t, before, c.Stats().Retries)
	})
}

func TestPrimaryIsLearnt(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.primary = 2 })
	}
	c := f.connect(f.config(1))
	_, err := c.Submit(testContext(t), []byte("x"))
	require.NoError(t, err)
	require.Equal(t, pbft.ReplicaID(2), f.nextArrival().at)
}

// Operations submitted while a request is under way share the next one.
func TestSharing(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	c := f.connect(f.config(1))
	first := c.Start(testContext(t), []byte("first"))
	require.Len(t, f.nextArrival().request.Ops, 1)
	const n = 1000
	var calls []*client.Call
	for i := range n {
		calls = append(calls, c.Start(testContext(t), fmt.Appendf(nil, "%d", i)))
	}
	f.release()
	_, err := first.Answer()
	require.NoError(t, err)
	for i, call := range calls {
		a, err := call.Answer()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("re: %d", i), string(a.Result.Data))
		require.Equal(t, i, a.Ref.Op)
	}
	require.Len(t, f.ran, 2)
	require.Equal(t, uint64(2), c.Stats().Requests)
	require.Equal(t, uint64(n+1), c.Stats().Operations)
}

func TestSharingBounds(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	cfg := f.config(1)
	cfg.BatchOperations, cfg.BatchBytes, cfg.MaxRequests = 4, 100, 2
	c := f.connect(cfg)
	ops := []int{1, 10, 10, 10, 10, 90, 20, 150, 5}
	var calls []*client.Call
	for _, size := range ops {
		calls = append(calls, c.Start(testContext(t), make([]byte, size)))
	}
	f.release()
	for _, call := range calls {
		_, err := call.Answer()
		require.NoError(t, err)
	}
	total := 0
	for _, q := range f.ran {
		bytes := 0
		for _, op := range q.Ops {
			bytes += len(op)
		}
		total += len(q.Ops)
		require.LessOrEqual(t, len(q.Ops), 4)
		require.True(t, bytes <= 100 || len(q.Ops) == 1)
	}
	require.Equal(t, len(ops), total)
}

// Many goroutines at once: everything runs once.
func TestConcurrentSubmits(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	cfg := f.config(1)
	cfg.Linger = time.Millisecond
	c := f.connect(cfg)
	var group sync.WaitGroup
	for g := range 50 {
		group.Go(func() {
			for i := range 10 {
				op := fmt.Sprintf("%d.%d", g, i)
				r, err := c.Submit(testContext(t), []byte(op))
				if err != nil || string(r.Data) != "re: "+op {
					t.Errorf("%s: %q, %v", op, r.Data, err)
				}
			}
		})
	}
	group.Wait()
	seen := make(map[string]int)
	for _, op := range f.ops() {
		seen[op]++
	}
	require.Len(t, seen, 500)
	require.Len(t, f.ops(), 500)
}

// Refusals for overload are no outcome: the client comes back, and if its
// patience ends first it says both that it was overload and that it knows nothing.
func TestOverload(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		for id := range 4 {
			f.set(id, func(r *fakeReplica) { r.refuse = api.Reason_REASON_BUSY })
		}
		cfg := f.config(1)
		cfg.Retry, cfg.MaxRetry = time.Millisecond, 5*time.Millisecond
		c := f.connect(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		call := c.Start(ctx, []byte("x"))
		f.eventually(func() bool { return len(f.arrivals) > 8 })
		cancel()
		_, err := call.Answer()
		require.ErrorIs(t, err, client.ErrOutcomeUnknown)
		require.ErrorIs(t, err, client.ErrOverloaded)
		require.ErrorIs(t, err, context.Canceled)

		call = c.Start(testContext(t), []byte("y"))
		for id := range 4 {
			f.set(id, func(r *fakeReplica) { r.refuse = 0 })
		}
		_, err = call.Answer()
		require.NoError(t, err)
	})
}

// The hint of a busy primary, not the long pause, decides about the next attempt.
func TestRetryHint(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.set(0, func(r *fakeReplica) { r.refuse = api.Reason_REASON_CLIENT_BUSY })
	c := f.connect(f.config(1)) // Retry is a minute
	_, err := c.Submit(testContext(t), []byte("x"))
	require.NoError(t, err)
}

func TestPermanentRefusal(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.refuse = api.Reason_REASON_NOT_ADMITTED })
	}
	cfg := f.config(1)
	cfg.Retry = time.Millisecond
	c := f.connect(cfg)
	_, err := c.Submit(testContext(t), []byte("x"))
	require.ErrorIs(t, err, client.ErrNotAdmitted)
	require.ErrorIs(t, err, client.ErrOutcomeUnknown, "a faulty one may have kept it")
}

func TestOneRefusalProvesNothing(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.set(0, func(r *fakeReplica) { r.refuse = api.Reason_REASON_BAD_SIGNATURE })
	cfg := f.config(1)
	cfg.Retry = time.Millisecond
	c := f.connect(cfg)
	_, err := c.Submit(testContext(t), []byte("x"))
	require.NoError(t, err)
}

func TestLocalLimits(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	cfg := f.config(1)
	cfg.MaxWaiting = 3
	c := f.connect(cfg)
	_, err := c.Submit(testContext(t), make([]byte, 256<<10+1))
	require.ErrorIs(t, err, client.ErrTooLarge)
	require.ErrorContains(t, err, "maxOperationBytes is 262144")
	c.Start(testContext(t), nil)
	f.nextArrival()
	for range 3 {
		c.Start(testContext(t), nil)
	}
	_, err = c.Submit(testContext(t), nil)
	require.ErrorIs(t, err, client.ErrOverloaded)
	require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
	var overloaded *client.OverloadedError
	require.ErrorAs(t, err, &overloaded)
	require.Equal(t, []int{3, 0, 1, 0}, []int{overloaded.Waiting, overloaded.WaitingBytes, overloaded.UnderWay, overloaded.Limit})
	require.Positive(t, overloaded.RetryAfter)
	f.release()
}

// Replicas go and come back; requests sent to one that goes are sent elsewhere
// at once, not after the pause.
func TestReconnect(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	c := f.connect(f.config(1))
	f.set(0, func(r *fakeReplica) { r.deaf = true })
	call := c.Start(testContext(t), []byte("x"))
	require.Equal(t, pbft.ReplicaID(0), f.nextArrival().at)
	f.stop(0)
	_, err := call.Answer()
	require.NoError(t, err)
	f.awaitSessions(c)
	f.set(0, func(r *fakeReplica) { r.deaf = false })
	f.start(0)
	f.awaitSessions(c)
	for _, id := range []pbft.ReplicaID{1, 2, 3} { // one by one, all are replaced
		f.stop(id)
		f.awaitSessions(c)
		_, err := c.Submit(testContext(t), fmt.Appendf(nil, "without %d", id))
		require.NoError(t, err)
		f.start(id)
		f.awaitSessions(c)
	}
	require.Len(t, f.ops(), 4)
	require.GreaterOrEqual(t, c.Stats().Connects, uint64(8))
}

func TestDialNeedsReplicas(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		f.stop(0)
		f.stop(1)
		f.set(2, func(r *fakeReplica) { r.hang = true })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := client.Dial(ctx, f.config(1))
		require.ErrorIs(t, err, client.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "r0")
		f.start(0)
		c, err := client.Dial(testContext(t), f.config(1))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestDialRefusesUnlistedClients(t *testing.T) {
	f := newFakeCluster(t, four, func(c *crypto.Cluster) {
		c.Clients = crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{testcluster.ClientKey(1).Public()}}
	})
	_, err := client.Dial(testContext(t), f.config(2))
	require.ErrorIs(t, err, client.ErrNotAdmitted)
	f.connect(f.config(1))
}

func TestClose(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	c := f.connect(f.config(1))
	sent := c.Start(testContext(t), []byte("sent"))
	f.nextArrival()
	waits := c.Start(testContext(t), []byte("waits"))
	require.NoError(t, c.Close())
	_, err := sent.Answer()
	require.ErrorIs(t, err, client.ErrClosed)
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	_, err = waits.Answer()
	require.ErrorIs(t, err, client.ErrClosed)
	require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
	_, err = c.Submit(testContext(t), nil)
	require.ErrorIs(t, err, client.ErrClosed)
	require.NoError(t, c.Close())
}

func TestOtherEpoch(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.lie = func(m *api.Reply) { m.Epoch = 2 } })
	}
	c := f.connect(f.config(1))
	_, err := c.Submit(testContext(t), []byte("x"))
	require.ErrorIs(t, err, client.ErrOtherEpoch)
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	_, err = c.Submit(testContext(t), []byte("y"))
	require.ErrorIs(t, err, client.ErrOtherEpoch)
	require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
}

// A full session table turns new clients away without consuming anything: the
// request stays the same and is sent again.
func TestSessionTableFull(t *testing.T) {
	inBubbleOf(t, four, func(c *crypto.Cluster) { c.Parameters.MaxSessions = 1 }, func(t *testing.T, f *fakeCluster) {
		cfg := f.config(1)
		cfg.Life = 500 * time.Millisecond
		_, err := f.connect(cfg).Submit(testContext(t), []byte("first"))
		require.NoError(t, err)
		second := f.config(2)
		second.Retry, second.MaxRetry = 5*time.Millisecond, 20*time.Millisecond
		_, err = f.connect(second).Submit(testContext(t), []byte("second"))
		require.NoError(t, err, "it has its place when the first one's last deadline has passed")
		require.Equal(t, []string{"first", "second"}, f.ops())
	})
}

// executed runs an operation, x, and returns its request and the leaf of its receipt.
func executed(t *testing.T, f *fakeCluster, c *client.Client) (client.Answer, *pbft.Request, receipttree.Leaf) {
	t.Helper()
	a, err := c.Do(testContext(t), []byte("x"))
	require.NoError(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	return a, f.ran[0], receipttree.Leaf{
		Height: uint64(a.Ref.Height), Request: a.Ref.Request, Status: uint8(statemachine.Executed),
		Code: uint32(a.Result.Code), Result: a.Result.Data,
	}
}

func TestReceipt(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	c := f.connect(f.config(1))
	a, request, leaf := executed(t, f, c)
	parts := receipt.Parts{
		Cluster: f.Roster.ID, Epoch: 1, Leaf: leaf, Body: request, Count: 1,
		Certificate: f.Certify(t, pbft.CheckpointStatement{Height: 8, Results: receipttree.Root([]crypto.Digest{leaf.Digest()})}, 0, 1, 2),
	}
	good, err := receipt.New(parts)
	require.NoError(t, err)
	parts.Certificate = f.Certify(t, parts.Certificate.CheckpointStatement, 0, 1)
	weak, err := receipt.New(parts)
	require.NoError(t, err)
	found := func(b []byte) func(*api.ReceiptRequest) (*api.ReceiptResponse, error) {
		return func(*api.ReceiptRequest) (*api.ReceiptResponse, error) {
			return &api.ReceiptResponse{State: api.ReceiptResponse_STATE_FOUND, Receipt: b}, nil
		}
	}
	asked := 0
	f.set(0, func(r *fakeReplica) { r.receipt = found([]byte("garbage")) })
	f.set(1, func(r *fakeReplica) { r.receipt = found(weak.Encode()) })
	f.set(2, func(r *fakeReplica) {
		r.receipt = func(*api.ReceiptRequest) (*api.ReceiptResponse, error) { return nil, errors.New("broken") }
	})
	f.set(3, func(r *fakeReplica) {
		r.receipt = func(q *api.ReceiptRequest) (*api.ReceiptResponse, error) {
			if asked++; asked < 3 {
				return &api.ReceiptResponse{State: api.ReceiptResponse_STATE_NOT_CERTIFIED}, nil
			}
			return found(good.Encode())(q)
		}
	})
	r, err := c.Receipt(testContext(t), a.Ref, []byte("x"))
	require.NoError(t, err)
	require.Equal(t, 3, asked)
	require.NoError(t, r.CheckOperation([]byte("x")))
	require.NoError(t, receipt.Verify(f.Roster, r))
	r, err = c.Receipt(testContext(t), a.Ref, nil)
	require.NoError(t, err)
	require.Nil(t, r.Body)
	require.NoError(t, receipt.Verify(f.Roster, r))

	for id := range 4 {
		f.set(id, func(r *fakeReplica) {
			r.receipt = func(*api.ReceiptRequest) (*api.ReceiptResponse, error) {
				return &api.ReceiptResponse{State: api.ReceiptResponse_STATE_PRUNED}, nil
			}
		})
	}
	_, err = c.Receipt(testContext(t), a.Ref, nil)
	require.ErrorIs(t, err, client.ErrNoReceipt)
}

// A receipt is good only if it is of what was asked for: genuine ones of something else
// are worth nothing, however many replicas give them.
func TestReceiptOfSomethingElse(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	c := f.connect(f.config(1))
	a, request, asked := executed(t, f, c)
	copied, request2, height2, op2 := asked, asked, asked, asked
	copied.Status, copied.Code, copied.Result = uint8(statemachine.Duplicate), 0, nil // of the same request, in the same block
	request2.Request = crypto.Digest{2}
	height2.Height++
	op2.Index++
	leaves := []receipttree.Leaf{asked, copied, request2, height2, op2}
	var digests []crypto.Digest
	for i := range leaves {
		digests = append(digests, leaves[i].Digest())
	}
	cert := f.Certify(t, pbft.CheckpointStatement{Height: 8, Results: receipttree.Root(digests)}, 0, 1, 2)
	receiptOf := func(leaf int, body *pbft.Request) []byte {
		path, _ := receipttree.Path(digests, leaf)
		r, err := receipt.New(receipt.Parts{
			Cluster: f.Roster.ID, Epoch: 1, Leaf: leaves[leaf], Body: body,
			Position: leaf, Count: len(leaves), Path: path, Certificate: cert,
		})
		require.NoError(t, err)
		require.NoError(t, receipt.Verify(f.Roster, r))
		return r.Encode()
	}
	ask := func(b []byte, op []byte) error {
		for id := range 4 {
			f.set(id, func(r *fakeReplica) {
				r.receipt = func(*api.ReceiptRequest) (*api.ReceiptResponse, error) {
					return &api.ReceiptResponse{State: api.ReceiptResponse_STATE_FOUND, Receipt: b}, nil
				}
			})
		}
		_, err := c.Receipt(testContext(t), a.Ref, op)
		return err
	}
	require.NoError(t, ask(receiptOf(0, request), []byte("x")))
	require.NoError(t, ask(receiptOf(0, request), nil))
	require.NoError(t, ask(receiptOf(0, nil), nil))
	require.ErrorIs(t, ask(receiptOf(0, nil), []byte("x")), client.ErrNoReceipt, "it does not show the operation")
	require.ErrorIs(t, ask(receiptOf(0, request), []byte("y")), client.ErrNoReceipt, "that is not the operation")
	for i := range leaves[1:] {
		require.ErrorIs(t, ask(receiptOf(i+1, nil), nil), client.ErrNoReceipt, "leaf %d", i+1)
	}
}

func TestConfigValidate(t *testing.T) {
	good := testcluster.New(t, four, nil)
	base := client.Config{Roster: good.Roster, Key: testcluster.ClientKey(1)}
	require.NoError(t, base.Validate())
	for want, edit := range map[string]func(*client.Config){
		"Roster is":      func(c *client.Config) { c.Roster = nil },
		"Key is":         func(c *client.Config) { c.Key = nil },
		"MaxRequests is": func(c *client.Config) { c.MaxRequests = 1024 },
		"Life is 2h":     func(c *client.Config) { c.Life = 2 * time.Hour },
		"MaxRetry is":    func(c *client.Config) { c.Retry, c.MaxRetry = time.Second, time.Millisecond },
		"MaxCatchUp is":  func(c *client.Config) { c.MaxCatchUp = 25 * time.Hour },
		"BatchBytes is":  func(c *client.Config) { c.BatchBytes = 1 << 30 },
	} {
		c := base
		edit(&c)
		err := c.Validate()
		require.ErrorIs(t, err, client.ErrConfig)
		require.ErrorContains(t, err, want)
	}
}

func TestToken(t *testing.T) {
	var token client.Token
	_, err := token.MarshalBinary()
	require.Error(t, err)
	require.Error(t, token.UnmarshalBinary(nil))
	require.Error(t, token.UnmarshalBinary([]byte{9, 0, 0, 0, 0}))
	require.Zero(t, token.Deadline())
	require.Nil(t, token.Operation())
}

func FuzzToken(f *testing.F) {
	r := pbft.NewRequest(crypto.PublicKey{1}, 1, 1, 5, [][]byte{[]byte("x"), nil})
	f.Add(append([]byte{1, 0, 0, 0, 1}, r.Encode()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var token client.Token
		if token.UnmarshalBinary(b) != nil {
			return
		}
		back, err := token.MarshalBinary()
		require.NoError(t, err)
		require.Equal(t, b, back)
	})
}

// A message with more elements than a replica packs is not made: the session ends, and the
// others serve.
func TestMessageWithTooManyElements(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	c := f.connect(f.config(1))
	f.set(3, func(r *fakeReplica) {
		for s := range r.sessions {
			s.out <- &api.ReplicaMessage{Attached: slices.Repeat([]*api.Attached{{}}, api.MaxEntries+1)}
		}
	})
	f.eventually(func() bool { return c.Stats().Connects == 5 })
	f.submit(c, "x")
}
