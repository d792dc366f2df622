package benchplot

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// axis maps values to where they are drawn.
type axis struct {
	low, high float64 // in the scale's own unit: the value, or its logarithm
	log       bool
	from, to  float64
}

// linear goes from 0 to a little above limit.
func linear(limit float64) axis { return axis{low: 0, high: limit * 1.06} }

// logarithmic covers whole and half decades around the values.
func logarithmic(low, high float64) axis {
	a := axis{low: math.Floor(2*math.Log10(low)) / 2, high: math.Ceil(2*math.Log10(high)) / 2, log: true}
	if a.high-a.low < 1 {
		a.high = a.low + 1
	}
	return a
}

func (a axis) at(v float64) float64 {
	if a.log {
		v = math.Log10(v)
	}
	return a.from + (a.to-a.from)*(v-a.low)/(a.high-a.low)
}

// ticks are round values within the axis, few of them.
func (a axis) ticks() []float64 {
	var all []float64
	if a.log {
		for e := math.Floor(a.low); e <= a.high; e++ {
			for _, k := range []float64{1, 2, 5} {
				if v := math.Log10(k) + e; v >= a.low-1e-9 && v <= a.high+1e-9 {
					all = append(all, k*math.Pow(10, e))
				}
			}
		}
		return all
	}
	unit := math.Pow(10, math.Floor(math.Log10(a.high/5)))
	step := 10 * unit
	for _, k := range []float64{1, 2, 5} {
		if k*unit >= a.high/7 {
			step = k * unit
			break
		}
	}
	for v := 0.0; v <= a.high; v += step {
		all = append(all, v)
	}
	return all
}

func (a axis) horizontal(b *strings.Builder, name string) {
	for _, v := range a.ticks() {
		x := a.at(v)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#e3e3e3"/>`+"\n", x, top, x, bottom)
		text(b, x, bottom+18, "middle", 11, number(v))
	}
	text(b, (left+right)/2, bottom+44, "middle", 13, name)
}

func (a axis) vertical(b *strings.Builder, name string) {
	for _, v := range a.ticks() {
		y := a.at(v)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#e3e3e3"/>`+"\n", left, y, right, y)
		text(b, left-8, y+4, "end", 11, number(v))
	}
	fmt.Fprintf(b, `<g transform="translate(26 %d) rotate(-90)">`, (top+bottom)/2)
	text(b, 0, 0, "middle", 13, name)
	b.WriteString("</g>\n")
}

// number writes a value in as few digits as it needs.
func number(v float64) string {
	switch {
	case v >= 10_000:
		return strconv.FormatFloat(math.Round(v/100)/10, 'f', -1, 64) + "k"
	case v >= 100:
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
