package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestChooseBase(t *testing.T) {
	k := newKitOf(4)
	blockX, blockY := kitRef(k.header(&k.startAt.Header, 0, 1)), kitRef(k.header(&k.startAt.Header, 0, 2))
	claim := func(view View, height Height, ref BlockRef) SignedClaim {
		return SignedClaim{Claim: Claim{View: 9, High: Rank{view, height}, Block: ref.Digest, Phase: Prepare}}
	}
	for _, c := range []struct {
		name   string
		claims []SignedClaim
		want   Rank
		ok     bool
	}{
		{"none", nil, Rank{}, false},
		{"view before height", []SignedClaim{claim(1, 9, blockX), claim(2, 3, blockY), claim(1, 10, blockX)}, Rank{2, 3}, true},
		{"height within a view", []SignedClaim{claim(1, 9, blockX), claim(1, 10, blockY)}, Rank{1, 10}, true},
		{"equal", []SignedClaim{claim(1, 9, blockX), claim(1, 9, blockX)}, Rank{1, 9}, true},
		{"two blocks of the highest rank", []SignedClaim{claim(1, 9, blockX), claim(1, 9, blockY)}, Rank{}, false},
		{"two blocks of a lower rank", []SignedClaim{claim(1, 9, blockX), claim(1, 9, blockY), claim(1, 10, blockX)}, Rank{1, 10}, true},
	} {
		top, ok := ChooseBase(c.claims)
		require.Equal(t, c.ok, ok, c.name)
		if ok {
			require.Equal(t, c.want, top.High, c.name)
		}
	}
}

// Whatever the order of claims: the same base, and none above it.
func TestChooseBaseIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		claims := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) SignedClaim {
			return SignedClaim{Claim: Claim{
				High:  Rank{View(rapid.IntRange(0, 2).Draw(t, "view")), Height(rapid.IntRange(0, 3).Draw(t, "height"))},
				Block: Digest{byte(rapid.IntRange(0, 1).Draw(t, "block"))},
			}}
		}), 1, 6).Draw(t, "claims")
		top, ok := ChooseBase(claims)
		shuffled := rapid.Permutation(claims).Draw(t, "shuffled")
		top2, ok2 := ChooseBase(shuffled)
		require.Equal(t, ok, ok2)
		if !ok {
			return
		}
		require.Equal(t, top, top2)
		for _, c := range claims {
			require.False(t, top.High.Less(c.High))
			require.True(t, c.High != top.High || c.Block == top.Block)
		}
	})
}

func TestCheckNewView(t *testing.T) {
	k := newKitOf(4)
	chain := k.chain(&k.startAt.Header, 0, 1, 3)
	other := k.chain(&k.startAt.Header, 0, 2, 3)
	at := func(chain []Header, p Phase, h int) *Certificate {
		return k.certificate(k.statement(p, 0, nil, kitRef(&chain[h-1])), ids(0, 1, 2)...)
	}
	high := at(chain, Prepare, 3)
	claims := func(certs ...*Certificate) (out []SignedClaim) {
		for i, c := range certs {
			out = append(out, k.claimOf(ReplicaID(i), 2, c))
		}
		return out
	}
	edit := func(f func(*NewView)) *NewView {
		nv := k.newView(2, high, claims(high, at(chain, Commit, 2), nil)...)
		f(nv)
		return nv
	}
	nv1 := k.newView(1, nil, k.claimOf(0, 1, nil), k.claimOf(1, 1, nil), k.claimOf(2, 1, nil))
	startAgain := k.certificate(k.statement(Commit, 1, nv1, k.Start), ids(0, 1, 2)...)
	for _, c := range []struct {
		name string
		nv   *NewView
		want Drop
	}{
		{"good", edit(func(*NewView) {}), NoDrop},
		{"good from the start block", k.newView(2, nil, claims(nil, nil, nil)...), NoDrop},
		{"good from the start block certified again", k.newView(2, startAgain, claims(nil, startAgain, nil)...), NoDrop},
		{"good with a CommitQC for a claimed PrepareQC", edit(func(n *NewView) { n.Certificate = at(chain, Commit, 3) }), NoDrop},
		{"first view", edit(func(n *NewView) { n.View = 0 }), DropMalformed},
		{"another view", edit(func(n *NewView) { n.View = 3 }), DropClaim},
		{"no claims", edit(func(n *NewView) { n.Claims = nil }), DropBase},
		{"no quorum", edit(func(n *NewView) { n.Claims = n.Claims[:2] }), DropBase},
		{"one claim twice", edit(func(n *NewView) { n.Claims[1] = n.Claims[0] }), DropMalformed},
		{"not ascending", edit(func(n *NewView) { n.Claims[0], n.Claims[1] = n.Claims[1], n.Claims[0] }), DropMalformed},
		{"stranger", edit(func(n *NewView) { n.Claims[2].Signer = 4 }), DropNotMember},
		{"claim of the view itself", edit(func(n *NewView) { n.Claims[0].High.View = 2 }), DropClaim},
		{"claim for another view", edit(func(n *NewView) { n.Claims[2].View = 1 }), DropClaim},
		{"start claim of a wrong block", edit(func(n *NewView) { n.Claims[2].Block = Digest{1} }), DropClaim},
		{"start claim of a wrong rank", edit(func(n *NewView) { n.Claims[2].High = Rank{1, 0} }), DropClaim},
		{"start block certified in the first view", edit(func(n *NewView) { n.Claims[2].Phase = Prepare }), DropClaim},
		{"no certificate", edit(func(n *NewView) { n.Certificate = nil }), DropBase},
		{"certificate of a lower claim", edit(func(n *NewView) { n.Certificate = at(chain, Commit, 2) }), DropBase},
		{"certificate of another block", edit(func(n *NewView) { n.Certificate = at(other, Prepare, 3) }), DropBase},
		{"certificate of another rank", edit(func(n *NewView) {
			n.Certificate = k.certificate(k.statement(Prepare, 1, nv1, kitRef(&chain[2])), ids(0, 1, 2)...)
		}), DropBase},
		{"certificate where the base is the start", k.newView(2, high, claims(nil, nil, nil)...), DropBase},
		{"two blocks of the highest rank", k.newView(2, high, claims(high, at(other, Prepare, 3), nil)...), DropBase},
		{"certificate of too few", edit(func(n *NewView) { n.Certificate = k.certificate(high.Statement, ids(0, 1)...) }), DropMalformed},
		{"certificate with a long bitmap", edit(func(n *NewView) {
			c := *high
			c.Signers = append(c.Signers.Clone(), 0)
			n.Certificate = &c
		}), DropMalformed},
	} {
		require.Equal(t, c.want, CheckNewView(k.Quorums, k.Start, c.nv), c.name)
	}

	base, rank := Base(edit(func(*NewView) {}))
	require.Equal(t, kitRef(&chain[2]), base)
	require.Equal(t, Rank{0, 3}, rank)
	base, rank = Base(nv1)
	require.Equal(t, k.Start, base)
	require.Equal(t, Rank{0, 0}, rank)
}
