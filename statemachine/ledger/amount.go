package ledger

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// MaxAmount is the largest amount, balance, limit and supply, in units: about 9.22e18. So
// the more digits after the point an asset is shown with, the less there can be of it: 92
// million billion with two digits, 9.22 billion with nine, 9.22 in all with eighteen.
const MaxAmount = math.MaxInt64

// MaxDecimals bounds the digits after the point that an asset is shown with. See
// [MaxAmount] for what that leaves.
const MaxDecimals = 18

// ErrAmount is wrapped by the errors of [ParseAmount].
var ErrAmount = errors.New("amount")

// ParseAmount reads an amount as people write it, such as 12.50, as units of an asset
// with so many digits after the point. It rounds nothing: more digits are an error.
func ParseAmount(s string, decimals uint8) (uint64, error) {
	bad := func(why string) (uint64, error) { return 0, fmt.Errorf("%w %q: %s", ErrAmount, s, why) }
	whole, part, point := strings.Cut(s, ".")
	if whole == "" || point && part == "" {
		return bad("write digits, and digits after a point if there is one, such as 12.50")
	}
	for _, c := range whole + part {
		if c < '0' || c > '9' {
			return bad("write digits and a point only, such as 12.50")
		}
	}
	if len(part) > int(decimals) {
		return bad(fmt.Sprintf("the asset has %d digits after the point", decimals))
	}
	digits := strings.TrimLeft(whole+part+strings.Repeat("0", int(decimals)-len(part)), "0")
	if digits == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > MaxAmount {
		return bad(fmt.Sprintf("it is above %s, the most there can be with %d digits after the point: fewer leave room for more", FormatAmount(MaxAmount, decimals), decimals))
	}
	return n, nil
}

// FormatAmount writes units as people read them.
func FormatAmount(units uint64, decimals uint8) string {
	return pointed(strconv.FormatUint(units, 10), decimals)
}

// pointed puts the point into the digits of a number.
func pointed(s string, decimals uint8) string {
	if decimals == 0 {
		return s
	}
	if pad := int(decimals) + 1 - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	return s[:len(s)-int(decimals)] + "." + s[len(s)-int(decimals):]
}

// FormatSigned is [FormatAmount] of what may be owed.
func FormatSigned(units int64, decimals uint8) string {
	if units < 0 {
		return "-" + FormatAmount(magnitude(units), decimals)
	}
	return FormatAmount(uint64(units), decimals)
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return uint64(-(v + 1)) + 1
	}
	return uint64(v)
}

// add returns a+b; ok is false above MaxAmount.
func add(a, b uint64) (sum uint64, ok bool) {
	if a > MaxAmount || b > MaxAmount-a {
		return 0, false
	}
	return a + b, true
}

// addSigned returns a+b; ok is false outside of ±MaxAmount.
func addSigned(a, b int64) (sum int64, ok bool) {
	sum = a + b
	if b > 0 && sum < a || b < 0 && sum > a || sum < -MaxAmount {
		return 0, false
	}
	return sum, true
}

// price is what n units cost at buy units for sell units, rounded up: for the one who
// made the offer. ok is false above MaxAmount.
func price(n, buy, sell uint64) (cost uint64, ok bool) {
	hi, lo := bits.Mul64(n, buy)
	if hi >= sell { // sell 0 too
		return 0, false
	}
	q, r := bits.Div64(hi, lo, sell)
	if r > 0 {
		q++ // cannot overflow: q is below 2^64-1 where r is above 0, or the check below refuses it
	}
	if q == 0 || q > MaxAmount {
		return 0, false
	}
	return q, true
}
