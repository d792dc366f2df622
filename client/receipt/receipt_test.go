package receipt_test

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// history is a checkpoint over five operations of one request, and one request
// that was turned down.
type history struct {
	cluster *testcluster.Cluster
	request *pbft.Request
	leaves  []receipttree.Leaf
	digests []crypto.Digest
	cert    *pbft.CheckpointCertificate
}

func newHistory(t testing.TB, signers ...crypto.ReplicaID) *history {
	h := &history{cluster: testcluster.New(t, []uint64{1, 1, 1, 1}, nil)}
	client := ed25519.NewSigner(testcluster.ClientKey(1))
	var ops [][]byte
	for i := range 5 {
		ops = append(ops, []byte{'o', 'p', byte(i)})
	}
	h.request = pbft.NewRequest(client.Public(), 7, 7, 1000, ops)
	for i := range ops {
		res := statemachine.Result{Code: statemachine.ResultCode(100 + i), Data: []byte{'r', byte(i)}}
		h.add(receipttree.Leaf{
			Height: 3, Request: h.request.Digest(), Status: uint8(statemachine.Executed), Index: uint32(i),
			Code: uint32(res.Code), Result: res.Data,
		})
	}
	h.add(receipttree.Leaf{Height: 4, Request: crypto.Digest{9}, Status: uint8(statemachine.Expired)})
	h.cert = h.cluster.Certify(t, pbft.CheckpointStatement{
		Height: 8, Block: crypto.Digest{1}, State: crypto.Digest{2}, Results: receipttree.Root(h.digests),
	}, signers...)
	return h
}

func (h *history) add(l receipttree.Leaf) {
	h.leaves, h.digests = append(h.leaves, l), append(h.digests, l.Digest())
}

func (h *history) parts(i int) receipt.Parts {
	path, _ := receipttree.Path(h.digests, i)
	return receipt.Parts{
		Cluster: h.cluster.Roster.ID, Epoch: pbft.Epoch(h.cluster.File.Epoch), Leaf: h.leaves[i],
		Position: i, Count: len(h.leaves), Path: path, Certificate: h.cert,
	}
}

func (h *history) receipt(t testing.TB, i int) *receipt.Receipt {
	r, err := receipt.New(h.parts(i))
	require.NoError(t, err)
	return r
}

func TestVerifyAndEncoding(t *testing.T) {
	h := newHistory(t, 0, 2, 3)
	for i := range h.leaves {
		r := h.receipt(t, i)
		forms := []*receipt.Receipt{r}
		if i < 5 {
			with, err := r.WithRequest(h.request)
			require.NoError(t, err)
			require.NoError(t, with.CheckOperation(h.request.Ops[i]))
			forms = append(forms, with)
			require.NoError(t, r.CheckRequest(h.request))
			require.Equal(t, r, with.WithoutRequest())
		}
		for _, r := range forms {
			require.NoError(t, receipt.Verify(h.cluster.Roster, r))
			back, err := receipt.Decode(r.Encode())
			require.NoError(t, err)
			require.Equal(t, r.Encode(), back.Encode())
			op, has := r.Operation()
			backOp, backHas := back.Operation()
			require.Equal(t, has, backHas)
			require.Equal(t, op, backOp)
			require.Equal(t, r.Result, back.Result)
			require.NoError(t, receipt.Verify(h.cluster.Roster, back))
		}
	}
}

// Every bit of a receipt matters: whichever is flipped, it proves nothing.
func TestEveryBitMatters(t *testing.T) {
	h := newHistory(t, 0, 2, 3)
	with, err := h.receipt(t, 2).WithRequest(h.request)
	require.NoError(t, err)
	all := 1
	if testing.Short() || raceDetector {
		all = 13 // coprime to 8: every bit position and every field, not every bit
	}
	// The certificate, whose bits cost milliseconds each, is the same in all forms.
	certificate := len(h.cert.Encode())
	for name, c := range map[string]struct {
		receipt *receipt.Receipt
		step    int
	}{"request": {with, all}, "digest": {h.receipt(t, 4), 13}, "turned down": {h.receipt(t, 5), 13}} {
		t.Run(name, func(t *testing.T) {
			b := c.receipt.Encode()
			flipBits(t, b, func(bit int) bool { return bit < 8*(len(b)-certificate) || bit%c.step == 0 }, func(b []byte) error {
				r, err := receipt.Decode(b)
				if err == nil {
					err = receipt.Verify(h.cluster.Roster, r)
				}
				return err
			})
		})
	}
}

// flipBits flips one bit after the other of those that are chosen: nobody believes what
// comes of it.
func flipBits(t *testing.T, good []byte, chosen func(bit int) bool, verify func([]byte) error) {
	t.Helper()
	bits := make(chan int)
	var group sync.WaitGroup
	var mu sync.Mutex
	var accepted []int
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for bit := range bits {
				b := slices.Clone(good)
				b[bit/8] ^= 1 << (bit % 8)
				if verify(b) == nil {
					mu.Lock()
					accepted = append(accepted, bit)
					mu.Unlock()
				}
			}
		})
	}
	for bit := range 8 * len(good) {
		if chosen(bit) {
			bits <- bit
		}
	}
	close(bits)
	group.Wait()
	require.Empty(t, accepted, "bits whose flip goes unnoticed, of %d", 8*len(good))
}

func TestVerifyRefuses(t *testing.T) {
	h := newHistory(t, 0, 2, 3)
	good := h.parts(1)
	other := testcluster.New(t, []uint64{1, 1, 1, 1}, func(c *crypto.Cluster) { c.Nonce = crypto.Digest{7} })
	later := testcluster.New(t, []uint64{1, 1, 1, 1}, func(c *crypto.Cluster) {
		c.Epoch, c.Origin = 2, &h.cluster.Roster.ID
	})
	few := newHistory(t, 0, 2)
	require.ErrorIs(t, receipt.Verify(other.Roster, h.receipt(t, 1)), receipt.ErrOtherCluster)
	require.ErrorIs(t, receipt.Verify(later.Roster, h.receipt(t, 1)), receipt.ErrOtherEpoch)
	require.ErrorIs(t, receipt.Verify(few.cluster.Roster, few.receipt(t, 1)), receipt.ErrCertificate, "two of four are no quorum")

	cases := map[string]struct {
		edit func(*receipt.Receipt)
		want error
	}{
		"another result":    {func(r *receipt.Receipt) { r.Result.Data = []byte("forged") }, receipt.ErrPath},
		"another code":      {func(r *receipt.Receipt) { r.Result.Code++ }, receipt.ErrPath},
		"another request":   {func(r *receipt.Receipt) { r.Request[0]++ }, receipt.ErrPath},
		"another height":    {func(r *receipt.Receipt) { r.Height++ }, receipt.ErrPath},
		"another leaf":      {func(r *receipt.Receipt) { r.Position++ }, receipt.ErrPath},
		"another count":     {func(r *receipt.Receipt) { r.Count++ }, receipt.ErrPath},
		"a longer path":     {func(r *receipt.Receipt) { r.Path = append(slices.Clone(r.Path), crypto.Digest{}) }, receipt.ErrPath},
		"a shorter path":    {func(r *receipt.Receipt) { r.Path = r.Path[:len(r.Path)-1] }, receipt.ErrPath},
		"beyond checkpoint": {func(r *receipt.Receipt) { r.Height = 9 }, receipt.ErrInconsistent},
		"another body":      {func(r *receipt.Receipt) { r.Body = pbft.NewRequest(crypto.PublicKey{}, 1, 1, 1, [][]byte{{1}, {2}}) }, receipt.ErrInconsistent},
		"beyond its body":   {func(r *receipt.Receipt) { r.Body, r.Index = h.request, 5 }, receipt.ErrInconsistent},
		"a signer more":     {func(r *receipt.Receipt) { r.Certificate.Signers[0] |= 2 }, receipt.ErrCertificate},
		"a signer beyond n": {func(r *receipt.Receipt) { r.Certificate.Signers[0] |= 1 << 5 }, receipt.ErrCertificate},
		"another state":     {func(r *receipt.Receipt) { r.Certificate.State[0]++ }, receipt.ErrCertificate},
		"no proof":          {func(r *receipt.Receipt) { r.Certificate.Proof = nil }, receipt.ErrCertificate},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := receipt.New(good)
			require.NoError(t, err)
			cert := *h.cert
			cert.Signers = cert.Signers.Clone()
			r.Certificate = &cert
			c.edit(r)
			require.ErrorIs(t, receipt.Verify(h.cluster.Roster, r), c.want)
		})
	}
}

func TestNewRefusesPartsThatDoNotFit(t *testing.T) {
	h := newHistory(t, 0, 1, 2)
	p := h.parts(1)
	p.Body = pbft.NewRequest(h.request.Client, 8, 7, 1000, h.request.Ops)
	_, err := receipt.New(p)
	require.ErrorIs(t, err, receipt.ErrInconsistent)
	p = h.parts(1)
	p.Position = -1
	_, err = receipt.New(p)
	require.ErrorIs(t, err, receipt.ErrInconsistent)
	p = h.parts(5)
	p.Leaf.Index = 1
	_, err = receipt.New(p)
	require.ErrorIs(t, err, receipt.ErrInconsistent)
}

func TestCheckRequest(t *testing.T) {
	h := newHistory(t, 0, 1, 2)
	r := h.receipt(t, 1)
	require.ErrorIs(t, r.CheckOperation(h.request.Ops[1]), receipt.ErrOtherRequest, "it does not say which it is")
	with, err := r.WithRequest(h.request)
	require.NoError(t, err)
	require.NoError(t, with.CheckOperation(h.request.Ops[1]))
	require.ErrorIs(t, with.CheckOperation(h.request.Ops[2]), receipt.ErrOtherRequest)
	other := pbft.NewRequest(h.request.Client, 8, 7, 1000, h.request.Ops)
	require.ErrorIs(t, r.CheckRequest(other), receipt.ErrOtherRequest)
	_, err = r.WithRequest(other)
	require.ErrorIs(t, err, receipt.ErrOtherRequest)
	_, err = h.receipt(t, 5).WithRequest(h.request)
	require.ErrorIs(t, err, receipt.ErrOtherRequest)
}

func FuzzDecode(f *testing.F) {
	h := newHistory(f, 0, 2, 3)
	for i := range h.leaves {
		r := h.receipt(f, i)
		f.Add(r.Encode())
		if i < 5 {
			with, err := r.WithRequest(h.request)
			require.NoError(f, err)
			f.Add(with.Encode())
		}
	}
	f.Add([]byte("PRCT"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := receipt.Decode(b)
		if err != nil {
			require.True(t, errors.Is(err, canon.ErrMalformed) || errors.Is(err, receipt.ErrInconsistent), "%v", err)
			return
		}
		require.Equal(t, b, r.Encode(), "two encodings of one receipt")
	})
}
