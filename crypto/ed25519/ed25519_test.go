package ed25519_test

import (
	"bytes"
	stded25519 "crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/internal/schemetest"
)

func key(n uint64) *ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(sha256.Sum256(binary.BigEndian.AppendUint64(nil, n)))
}

func members(t testing.TB, n int) (*ed25519.Scheme, []crypto.Signer) {
	var keys []crypto.PublicKey
	var signers []crypto.Signer
	for i := range n {
		k := key(uint64(i))
		keys = append(keys, k.Public())
		signers = append(signers, ed25519.NewSigner(k))
	}
	s, err := ed25519.NewScheme(keys)
	require.NoError(t, err)
	return s, signers
}

func TestScheme(t *testing.T) {
	s, signers := members(t, 4)
	require.Equal(t, "ed25519", s.Name())
	require.False(t, s.Lazy())
	schemetest.Run(t, s, signers, schemetest.Options{BitStep: 5})
}

// The public key of RFC 8032, section 7.1, test 1.
func TestKnownKey(t *testing.T) {
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	require.NoError(t, err)
	k := ed25519.NewKeyFromSeed([32]byte(seed))
	require.Equal(t, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", k.Public().Hex())
	require.Equal(t, seed, bytes.Clone(seedOf(k)))
	generated, err := ed25519.GenerateKey(bytes.NewReader(seed))
	require.NoError(t, err)
	require.Equal(t, k.Public(), generated.Public())
	random, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	again, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	require.NotEqual(t, random.Public(), again.Public())
	_, err = ed25519.GenerateKey(bytes.NewReader(seed[:31]))
	require.Error(t, err)
}

func seedOf(k *ed25519.PrivateKey) []byte { s := k.Seed(); return s[:] }

func TestSignatureIsTheStandardOne(t *testing.T) {
	k := key(1)
	c, msg := schemetest.Base(), []byte("hello")
	want := stded25519.Sign(stded25519.NewKeyFromSeed(seedOf(k)), c.AppendMessage(nil, msg))
	require.Equal(t, want, ed25519.NewSigner(k).Sign(c, msg))
	require.Equal(t, want, stded25519.Sign(k.Standard(), c.AppendMessage(nil, msg)))
	big := make([]byte, 1<<20) // beyond what the buffer pool keeps
	require.Equal(t, stded25519.Sign(k.Standard(), c.AppendMessage(nil, big)), ed25519.NewSigner(k).Sign(c, big))
}

func TestPrivateKeyDoesNotPrint(t *testing.T) {
	k := key(1)
	secret := hex.EncodeToString(seedOf(k))[:16]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		require.NotContains(t, fmt.Sprintf(verb, k), secret)
		require.Contains(t, fmt.Sprintf(verb, k), k.Public().String())
	}
}

func TestSchemeRefusesBadMembers(t *testing.T) {
	good := key(1).Public()
	_, err := ed25519.NewScheme(nil)
	require.Error(t, err)
	_, err = ed25519.NewScheme(make([]crypto.PublicKey, crypto.MaxReplicas+1))
	require.Error(t, err)
	_, err = ed25519.NewScheme([]crypto.PublicKey{good, key(2).Public(), good})
	require.ErrorContains(t, err, "members 0 and 2")
	for name, bad := range badKeys() {
		_, err = ed25519.NewScheme([]crypto.PublicKey{good, bad})
		require.ErrorContains(t, err, "member 1", name)
		require.Error(t, ed25519.CheckKey(bad), name)
	}
	require.NoError(t, ed25519.CheckKey(good))
}

func TestVerifier(t *testing.T) {
	v := ed25519.NewVerifier(8)
	c := crypto.Context{Kind: crypto.KindRequest, Cluster: crypto.Hash("test")}
	item := func(k *ed25519.PrivateKey, msg string) crypto.Item {
		sig, ok := crypto.SignatureOf(ed25519.NewSigner(k).Sign(c, []byte(msg)))
		require.True(t, ok)
		return crypto.Item{Key: k.Public(), Context: c, Message: []byte(msg), Signature: sig}
	}
	// More items than one batch holds, more keys than the cache holds, and bad
	// ones of every sort at the seams.
	var items []crypto.Item
	var want []bool
	for i := range 600 {
		it := item(key(uint64(i%40)), fmt.Sprint(i))
		ok := true
		switch i {
		case 0, 255, 599:
			it.Message, ok = []byte("other"), false
		case 256:
			it.Signature, ok = crypto.Signature{}, false
		case 300:
			it.Key, ok = crypto.PublicKey{0: 2}, false // not on the curve
		case 301:
			it.Context.Epoch, ok = 1, false
		}
		items, want = append(items, it), append(want, ok)
	}
	for range 2 { // the second time with suspects
		require.Equal(t, want, v.VerifyBatch(items))
	}
	for i, it := range items {
		require.Equal(t, want[i], v.Verify(it.Key, it.Context, it.Message, it.Signature), "item %d", i)
	}
	require.Empty(t, v.VerifyBatch(nil))
	require.Equal(t, []bool{true, false, true}, v.AppendVerify([]bool{true}, items[:2]))
}

func FuzzVerify(f *testing.F) {
	k := key(1)
	c := schemetest.Base()
	public := k.Public()
	f.Add(public[:], ed25519.NewSigner(k).Sign(c, []byte("m")), []byte("m"))
	f.Add(make([]byte, 32), make([]byte, 64), []byte{})
	good := crypto.Item{Key: public, Context: c, Message: []byte("good")}
	good.Signature, _ = crypto.SignatureOf(ed25519.NewSigner(k).Sign(c, []byte("good")))
	f.Fuzz(func(t *testing.T, keyBytes, sigBytes, msg []byte) {
		it := crypto.Item{Context: c, Message: msg}
		copy(it.Key[:], keyBytes)
		copy(it.Signature[:], sigBytes)
		single := ed25519.NewVerifier(1).Verify(it.Key, c, msg, it.Signature)
		// Alone it is checked as such, among others as part of a batch.
		require.Equal(t, []bool{single}, ed25519.NewVerifier(1).VerifyBatch([]crypto.Item{it}))
		require.Equal(t, []bool{true, single, true, true}, ed25519.NewVerifier(1).VerifyBatch([]crypto.Item{good, it, good, good}))
	})
}
