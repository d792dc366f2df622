package receipttree

import (
	"encoding/binary"
	"fmt"
	"slices"
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

// The definition, from the top: the largest power of eight below the number of leaves
// is what each child has, the last perhaps less.
func naive(l []crypto.Digest) crypto.Digest {
	switch len(l) {
	case 0:
		return crypto.Digest{}
	case 1:
		return l[0]
	}
	each, levels := 1, 0
	for each*8 < len(l) {
		each, levels = each*8, levels+1
	}
	var children [][]byte
	for from := 0; from < len(l); from += each {
		d := of(levels, l[from:min(from+each, len(l))])
		children = append(children, d[:])
	}
	return crypto.Hash(domainNode, children...)
}

// of is a subtree of as many levels, however few its leaves.
func of(levels int, l []crypto.Digest) crypto.Digest {
	if levels == 0 {
		return l[0]
	}
	each := 1
	for range levels - 1 {
		each *= 8
	}
	var children [][]byte
	for from := 0; from < len(l); from += each {
		d := of(levels-1, l[from:min(from+each, len(l))])
		children = append(children, d[:])
	}
	return crypto.Hash(domainNode, children...)
}

func naiveRoot(l []crypto.Digest) crypto.Digest {
	top := naive(l)
	return crypto.Hash(domainRoot, binary.BigEndian.AppendUint64(nil, uint64(len(l))), top[:])
}

func TestTreeOfEverySize(t *testing.T) {
	all := leaves(600)
	seen := map[crypto.Digest]int{}
	for n := 0; n <= len(all); n++ {
		l := all[:n]
		root := Root(l)
		require.Equal(t, naiveRoot(l), root, n)
		require.NotContains(t, seen, root)
		seen[root] = n
		if n > 80 && !slices.Contains([]int{128, 129, 511, 512, 513, 521, 600}, n) {
			continue // the root was compared; of paths the edges of groups will do
		}
		paths := NewPaths(l)
		require.Equal(t, n, paths.Count())
		for i := range n {
			p, ok := Path(l, i)
			require.True(t, ok)
			fast, ok := paths.Path(i)
			require.True(t, ok)
			require.Equal(t, p, fast)
			require.LessOrEqual(t, len(p), MaxPath)
			require.True(t, Verify(root, l[i], i, n, p), "leaf %d of %d", i, n)
			// Anything else about it is refused.
			require.False(t, Verify(root, l[i], i, n+1, p))
			require.False(t, Verify(root, l[i], i, n-1, p))
			require.False(t, Verify(root, l[i], i+1, n, p))
			require.False(t, Verify(root, l[i], i-1, n, p))
			require.False(t, Verify(root, all[(i+1)%600], i, n, p))
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
	l = leaves(9)
	require.NotEqual(t, Root(l), Root([]crypto.Digest{node(l[:8]), node(l[8:])}), "the count is bound")
}

func TestDigestsAreThoseOfTheGeneralHash(t *testing.T) {
	for _, n := range []int{0, 1, 100, 190, 200, 230, 300} {
		b := make([]byte, n)
		require.Equal(t, crypto.Hash(domainResult, b), ResultDigest(b))
		l := Leaf{Height: 1, Request: ResultDigest([]byte("r")), Status: 2, Index: 3, Code: 4, Result: b}
		enc := binary.BigEndian.AppendUint64(nil, 1)
		enc = append(enc, l.Request[:]...)
		enc = append(enc, 2, 0, 0, 0, 3, 0, 0, 0, 4)
		require.Equal(t, crypto.Hash(domainLeaf, enc, b), l.Digest())
	}
	require.Equal(t, ResultDigest(nil), ResultDigest([]byte{}))
	require.Equal(t, (&Leaf{}).Digest(), (&Leaf{Result: []byte{}}).Digest())
}

func TestEveryFieldOfALeafCounts(t *testing.T) {
	seen := map[crypto.Digest]string{(&Leaf{}).Digest(): "none"}
	for _, l := range []Leaf{{Height: 1}, {Request: ResultDigest(nil)}, {Status: 1}, {Index: 1}, {Code: 1}, {Result: []byte{0}}} {
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
