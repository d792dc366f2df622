package ed25519

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// BatchHolds tells whether the batch equation alone holds, without the single
// checks that follow a failed one.
func BatchHolds(items []Item) bool {
	b := takeBatch()
	defer giveBatch(b)
	v := NewVerifier(1)
	for _, it := range items {
		x, _ := v.expand(it.Key)
		if x == nil {
			return false
		}
		b.AddExpandedWithOptions(x, it.Context.AppendMessage(nil, it.Message), it.Signature[:], options)
	}
	return b.VerifyBatchOnly(nil)
}

func TestGenerationsForgetTheUnused(t *testing.T) {
	g := newGenerations[int](8)
	used := crypto.PublicKey{0xff}
	g.put(used, 1)
	for i := range 100 {
		g.put(crypto.PublicKey{byte(i)}, i)
		require.LessOrEqual(t, len(g.young)+len(g.old), 8)
		v, ok := g.get(used)
		require.True(t, ok, "forgotten although in use, after %d others", i)
		require.Equal(t, 1, v)
	}
	_, ok := g.get(crypto.PublicKey{0})
	require.False(t, ok)
	g.drop(used)
	_, ok = g.get(used)
	require.False(t, ok)
}

func TestGenerationsConcurrently(t *testing.T) {
	g := newGenerations[byte](4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				k := crypto.PublicKey{byte(i % 9)}
				if v, ok := g.get(k); ok && v != k[0] {
					t.Error("another key's value")
				}
				g.put(k, k[0])
				if i%50 == 0 {
					g.drop(k)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, len(g.young)+len(g.old), 4)
}

func signed(k *PrivateKey, msg string) Item {
	c := crypto.Context{Kind: crypto.KindRequest}
	sig, _ := crypto.SignatureOf(NewSigner(k).Sign(c, []byte(msg)))
	return Item{Key: k.Public(), Context: c, Message: []byte(msg), Signature: sig}
}

// Only a good signature earns a place in the cache, only a bad one suspicion, and
// a suspect comes back into batches by good conduct.
func TestVerifierMemory(t *testing.T) {
	v := NewVerifier(16)
	honest, liar := NewKeyFromSeed([32]byte{1}), NewKeyFromSeed([32]byte{2})
	good, bad := signed(honest, "a"), signed(liar, "b")
	bad.Message = []byte("c")

	require.Equal(t, []bool{true, false, true, true}, v.VerifyBatch([]Item{good, bad, good, good}))
	_, cached := v.keys.get(good.Key)
	require.True(t, cached)
	_, cached = v.keys.get(bad.Key)
	require.False(t, cached)
	_, suspect := v.suspects.get(bad.Key)
	require.True(t, suspect)
	_, suspect = v.suspects.get(good.Key)
	require.False(t, suspect)

	for i := range probation {
		_, suspect = v.suspects.get(bad.Key)
		require.True(t, suspect)
		batch := []Item{signed(liar, "d")}
		if i%2 == 0 { // alone, or among others
			batch = append(batch, good, good, good)
		}
		for _, ok := range v.VerifyBatch(batch) {
			require.True(t, ok)
		}
	}
	_, suspect = v.suspects.get(bad.Key)
	require.False(t, suspect)
}

func TestVerifierConcurrently(t *testing.T) {
	v := NewVerifier(4)
	var items []Item
	var want []bool
	for i := range 20 {
		it := signed(NewKeyFromSeed([32]byte{byte(i)}), "m")
		if i == 7 {
			it.Message = []byte("n")
		}
		items, want = append(items, it), append(want, i != 7)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				for i, ok := range v.VerifyBatch(items) {
					if ok != want[i] {
						t.Errorf("item %d: %v", i, ok)
					}
				}
			}
		})
	}
	wg.Wait()
}
