package ledger

import (
	"math/big"
	"math/bits"
)

// Total is a sum of amounts over all time, which no amount can hold: of 128 bits, so that
// it takes 2^65 of the largest amounts to reach its end, and more blocks than there will
// ever be.
type Total struct{ High, Low uint64 }

func (t Total) plus(amount uint64) Total {
	low, carry := bits.Add64(t.Low, amount, 0)
	return Total{t.High + carry, low}
}

// minus is t-u, if that is an amount.
func (t Total) minus(u Total) (difference uint64, ok bool) {
	low, borrow := bits.Sub64(t.Low, u.Low, 0)
	return low, t.High-u.High-borrow == 0 && low <= MaxAmount
}

// FormatTotal is [FormatAmount] of a total.
func FormatTotal(t Total, decimals uint8) string {
	n := new(big.Int).SetUint64(t.High)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(t.Low))
	return pointed(n.String(), decimals)
}

func (c *codec) total(p *Total) {
	c.u64(&p.High)
	c.u64(&p.Low)
}
