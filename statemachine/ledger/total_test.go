package ledger

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// An asset that is issued and retired again and again, as stablecoins and daily
// settlements are: what was ever issued passes every bound of amounts, and the supply and
// the books stay right.
func TestIssuedWithoutEnd(t *testing.T) {
	b := town(t)
	const most = math.MaxInt64 - 1000 // alice has the rest
	want := big.NewInt(1000)
	for range 5 {
		b.ok(bank, &Issue{Asset: "EUR", To: "bank", Amount: most})
		b.no(ErrOverflow, bank, &Issue{Asset: "EUR", To: "bank", Amount: 1})
		b.ok(bank, &Retire{Asset: "EUR", From: "bank", Amount: most})
		want.Add(want, big.NewInt(most))
	}
	require.Greater(t, want.BitLen(), 64)
	v, _ := b.view().Get(AssetKey("EUR"))
	a, err := DecodeAsset(v)
	require.NoError(t, err)
	require.Equal(t, want.String(), FormatTotal(a.Issued, 0))
	require.Equal(t, new(big.Int).Sub(want, big.NewInt(1000)).String(), FormatTotal(a.Retired, 0))
	require.EqualValues(t, 1000, a.Supply())
	require.NoError(t, Audit(b.view()))
	b.has("bank", "EUR", 0, 0)
}

func TestTotals(t *testing.T) {
	number := func(t Total) *big.Int {
		n := new(big.Int).SetUint64(t.High)
		return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(t.Low))
	}
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, MaxAmount, MaxAmount + 1, math.MaxUint64}))
		a := Total{rapid.Uint64Range(0, 2).Draw(t, "high"), edge.Draw(t, "low")}
		c := Total{rapid.Uint64Range(0, 2).Draw(t, "other high"), edge.Draw(t, "other low")}
		n := edge.Draw(t, "amount")
		require.Equal(t, new(big.Int).Add(number(a), new(big.Int).SetUint64(n)).String(), FormatTotal(a.plus(n), 0))
		difference, ok := a.minus(c)
		wide := new(big.Int).Sub(number(a), number(c))
		require.Equal(t, wide.Sign() >= 0 && wide.Cmp(big.NewInt(MaxAmount)) <= 0, ok)
		if ok {
			require.Equal(t, wide.Uint64(), difference)
		}
	})
	require.Equal(t, "0.05", FormatTotal(Total{0, 5}, 2))
	require.Equal(t, "184467440737095516.16", FormatTotal(Total{1, 0}, 2))
}

// The digits after the point and the largest supply that an asset is to have must go
// together: who says otherwise hears it before there is an asset.
func TestSupplyThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		supply   string
		decimals uint8
		ok       bool
	}{{"9", 18, true}, {"10", 18, false}, {"9000000000", 9, true}, {"10000000000", 9, false}, {"92233720368547758.07", 2, true}, {"92233720368547758.08", 2, false}} {
		_, err := ParseAmount(c.supply, c.decimals)
		if c.ok {
			require.NoError(t, err, c.supply)
			continue
		}
		require.ErrorIs(t, err, ErrAmount)
		require.ErrorContains(t, err, "digits after the point: fewer leave room for more")
		g := &Genesis{Accounts: []GenesisAccount{{Name: "bank", Keys: []crypto.PublicKey{bank.public()}}}, Assets: []GenesisAsset{{Name: "X", Issuer: "bank", Decimals: c.decimals, MaxSupply: c.supply}}}
		require.ErrorContains(t, g.Check(DefaultLimits()), "assets[0]: maxSupply: ")
	}
	// In units: no encoding has more than there can be.
	b := town(t)
	for _, a := range []Action{&DefineAsset{Asset: "X", Issuer: "bank", Decimals: 18, MaxSupply: MaxAmount + 1}, &SetRules{Asset: "EUR", MaxSupply: MaxAmount + 1}} {
		require.Equal(t, statemachine.CodeMalformed, b.block(bank, Do(a))[0].Code)
	}
	b.ok(bank, &DefineAsset{Asset: "X", Issuer: "bank", Decimals: 18, MaxSupply: MaxAmount})
}
