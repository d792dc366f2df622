package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// px is a coordinate in the drawing.
type px float64

func (p px) String() string { return strconv.FormatFloat(math.Round(float64(p)*10)/10, 'f', -1, 64) }

// The drawing's width, and where the time axis begins and ends in it.
const (
	width = 1180
	left  = 124
	right = 1164
)

// axis is the time axis that all parts of the drawing share.
type axis struct{ total time.Duration }

func (a axis) x(t time.Duration) px {
	t = min(max(t, 0), a.total)
	return px(left + (right-left)*(float64(t)/float64(a.total)))
}

// tick is a mark on an axis.
type tick struct {
	At    px
	Label string
}

// steps are the distances between marks of time that people like.
var steps = []time.Duration{1, 2, 5}

func niceStep(total time.Duration, marks int) time.Duration {
	least := total / time.Duration(marks)
	for unit := time.Nanosecond; unit < time.Minute; unit *= 10 {
		for _, k := range steps {
			if s := k * unit; s >= least && s < time.Minute {
				return s
			}
		}
	}
	for _, s := range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		if s >= least {
			return s
		}
	}
	return max(least.Truncate(24*time.Hour), 24*time.Hour)
}

func (a axis) ticks() []tick {
	step := niceStep(a.total, 12)
	var all []tick
	for t := time.Duration(0); ; t += step {
		all = append(all, tick{a.x(t), span(t)})
		if a.total-t < step || len(all) > 100 {
			return all
		}
	}
}

// valueTicks are marks from 0 up to limit, few of them, at round numbers.
func valueTicks(limit float64, marks int) []float64 {
	if limit <= 0 || math.IsInf(limit, 0) || math.IsNaN(limit) {
		return []float64{0}
	}
	raw := limit / float64(marks)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * unit
	for _, k := range []float64{1, 2, 5} {
		if k*unit >= raw {
			step = k * unit
			break
		}
	}
	var all []float64
	for i := 0; i <= 2*marks; i++ {
		if v := float64(i) * step; v <= limit*1.0001 {
			all = append(all, v)
		}
	}
	return all
}

// span writes a time as short as can be told apart: 350µs, 12.5ms, 1.25s, 3m20s.
func span(d time.Duration) string {
	switch a := max(d, -d); {
	case a == 0:
		return "0"
	case a < 100*time.Microsecond:
		return d.String()
	case a < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case a < 10*time.Second:
		return d.Round(time.Millisecond).String()
	case a < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	case a%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case a%time.Minute == 0 && a < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.Round(100 * time.Millisecond).String()
	}
}

// count writes a number with its thousands apart.
func count[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	if uint64(n) > math.MaxInt64 && n > 0 {
		s = strconv.FormatUint(uint64(n), 10)
	}
	head := len(s) % 3
	if head == 1 && s[0] == '-' {
		head = 4
	}
	out := s[:min(max(head, 0), len(s))]
	for i := len(out); i < len(s); i += 3 {
		if out != "" && out != "-" {
			out += "\u202f"
		}
		out += s[i : i+3]
	}
	return out
}

// figure writes a Number.
func figure(n Number) string {
	switch n.Unit {
	case "bytes":
		v, units := n.Value, []string{"B", "KiB", "MiB", "GiB", "TiB"}
		for len(units) > 1 && math.Abs(v) >= 1024 {
			v, units = v/1024, units[1:]
		}
		return strconv.FormatFloat(v, 'g', 4, 64) + "\u202f" + units[0]
	case "seconds":
		if math.Abs(n.Value) < 1e9 {
			return span(time.Duration(n.Value * float64(time.Second)))
		}
	}
	text := strconv.FormatFloat(n.Value, 'g', 6, 64)
	if n.Value == math.Trunc(n.Value) && math.Abs(n.Value) < 1e15 {
		text = count(int64(n.Value))
	}
	if n.Unit != "" {
		text += " " + n.Unit
	}
	return text
}
