package receipttree

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/parley-bft/parley/crypto"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func leaves(n int) []crypto.Digest {
	l := make([]crypto.Digest, n)
	for i := range l {
		l[i] = (&Leaf{Height: uint64(i)}).Digest()
	}
	return l
}

// The definition, straight from RFC 6962, section 2.1.
func naive(l []crypto.Digest) crypto.Digest {
	switch len(l) {
	case 0:
		return crypto.Digest{}
	case 1:
		return l[0]
	}
	k := 1
	for k*2 < len(l) {
		k *= 2
	}
	left, right := naive(l[:k]), naive(l[k:])
	return crypto.Hash(domainNode, left[:], right[:])
}

func naiveRoot(l []crypto.Digest) crypto.Digest {
	top := naive(l)
	return crypto.Hash(domainRoot, binary.BigEndian.AppendUint64(nil, uint64(len(l))), top[:])
}

func TestTreeOfEverySize(t *testing.T) {
	all := leaves(70)
	seen := map[crypto.Digest]int{}
	for n := 0; n <= len(all); n++ {
		l := all[:n]
		root := Root(l)
		require.Equal(t, naiveRoot(l), root, n)
		require.NotContains(t, seen, root)
		seen[root] = n
		paths := NewPaths(l)
		require.Equal(t, n, paths.Count())
		for i := range n {
			p, ok := Path(l, i)
			require.True(t, ok)
			fast, ok := paths.Path(i)
			require.True(t, ok)
			require.Equal(t, p, fast)
			require.True(t, Verify(root, l[i], i, n, p), "leaf %d of %d", i, n)
			// Anything else about it is refused.
			require.False(t, Verify(root, l[i], i, n+1, p))
			require.False(t, Verify(root, l[i], i, n-1, p))
			require.False(t, Verify(root, l[i], i+1, n, p))
			require.False(t, Verify(root, l[i], i-1, n, p))
			require.False(t, Verify(root, all[(i+1)%70], i, n, p))
			require.False(t, Verify(root, l[i], i, n, append(p[:len(p):len(p)], crypto.Digest{})))
			if len(p) > 0 {
				require.False(t, Verify(root, l[i], i, n, p[:len(p)-1]))
			}
		}
		for _, i := range []int{-1, n} {
			_, ok := Path(l, i)
			require.False(t, ok)
			_, ok = paths.Path(i)
			require.False(t, ok)
			_, ok = paths.Leaf(i)
			require.False(t, ok)
		}
	}
}

func TestNoDuplication(t *testing.T) {
	l := leaves(3)
	require.NotEqual(t, Root(l), Root(append(l[:3:3], l[2])), "CVE-2012-2459: an odd leaf is not doubled")
	inner := node(&l[0], &l[1])
	require.NotEqual(t, Root(l), Root([]crypto.Digest{inner, l[2]}), "the count is bound")
}

func TestDigestsAreThoseOfTheGeneralHash(t *testing.T) {
	for _, n := range []int{0, 1, 200, 230, 300} {
		b := make([]byte, n)
		require.Equal(t, crypto.Hash(domainOp, b), OpDigest(b))
		require.Equal(t, crypto.Hash(domainResult, b), ResultDigest(b))
	}
	require.Equal(t, ResultDigest(nil), ResultDigest([]byte{}))
	l := Leaf{Height: 1, Request: OpDigest([]byte("r")), Status: 2, Index: 3, Op: OpDigest([]byte("o")), Code: 4, Result: ResultDigest([]byte("x"))}
	enc := binary.BigEndian.AppendUint64(nil, 1)
	enc = append(enc, l.Request[:]...)
	enc = append(enc, 2, 0, 0, 0, 3)
	enc = append(enc, l.Op[:]...)
	enc = append(enc, 0, 0, 0, 4)
	enc = append(enc, l.Result[:]...)
	require.Equal(t, crypto.Hash(domainLeaf, enc), l.Digest())
}

func TestEveryFieldOfALeafCounts(t *testing.T) {
	d := OpDigest([]byte("d"))
	seen := map[crypto.Digest]string{(&Leaf{}).Digest(): "none"}
	for _, l := range []Leaf{{Height: 1}, {Request: d}, {Status: 1}, {Index: 1}, {Op: d}, {Code: 1}, {Result: d}} {
		require.NotContains(t, seen, l.Digest())
		seen[l.Digest()] = fmt.Sprint(l)
	}
}

// A random change anywhere in a proof makes it fail.
func TestTamperedProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 200).Draw(t, "n")
		i := rapid.IntRange(0, n-1).Draw(t, "i")
		l := leaves(n)
		root := Root(l)
		p, _ := Path(l, i)
		at := rapid.IntRange(0, len(p)*32-1).Draw(t, "at")
		p[at/32][at%32] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		require.False(t, Verify(root, l[i], i, n, p))
	})
}

func FuzzVerify(f *testing.F) {
	l := leaves(7)
	p, _ := Path(l, 3)
	var flat []byte
	for _, d := range p {
		flat = append(flat, d[:]...)
	}
	f.Add(3, 7, flat)
	f.Add(-1, 0, []byte{})
	root := Root(l)
	f.Fuzz(func(t *testing.T, index, count int, flat []byte) {
		var path []crypto.Digest
		for len(flat) >= 32 {
			path = append(path, crypto.Digest(flat[:32]))
			flat = flat[32:]
		}
		if Verify(root, l[3], index, count, path) {
			require.Equal(t, 3, index)
			require.Equal(t, 7, count)
			require.Equal(t, p, path)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	var t Builder
	l := leaves(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		t.Add(l)
	}
}

func BenchmarkLeaf(b *testing.B) {
	l := Leaf{Height: 7}
	b.ReportAllocs()
	for b.Loop() {
		l.Digest()
	}
}
