package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// panel begins a chart of this height.
func (d *drawing) panel(title, caption string, h px) chart {
	d.y += 18
	c := chart{Title: title, Caption: caption, TitleY: d.y, Y: d.y + 8, H: h}
	d.y += 8 + h + 6
	return c
}

// scale maps values from 0 to limit into the panel.
func (c *chart) scale(v, limit float64) px {
	if limit <= 0 {
		return c.Y + c.H
	}
	return c.Y + c.H - px(float64(c.H-4)*min(max(v/limit, 0), 1))
}

func (c *chart) mark(y px, label string) {
	c.Marks = append(c.Marks, mark{Y: y, TextY: y + 3.5, Label: label})
}

// perReplica draws a value of every replica as a step curve. Curves that lie on
// each other are drawn side by side.
func (d *drawing) perReplica(c *chart, value func(Sample) uint64) {
	n := min(len(d.run.Replicas), maxLanes)
	var limit float64
	for i := range d.run.Replicas[:n] {
		for _, s := range d.run.Replicas[i].Samples {
			limit = max(limit, float64(value(s)))
		}
	}
	limit = max(limit, 1)
	for _, v := range valueTicks(limit, 4) {
		if v == math.Trunc(v) {
			c.mark(c.scale(v, limit), count(uint64(v)))
		}
	}
	for i := range d.run.Replicas[:n] {
		r := &d.run.Replicas[i]
		shift := (px(i) - px(n-1)/2) * min(1.2, 8/px(n))
		p := path{}
		samples := samplesOf(r)
		for k, s := range samples {
			if s.State == Down {
				p.lift(d.axis.x(s.At))
				continue
			}
			p.step(d.axis.x(s.At), c.scale(float64(value(s)), limit)+shift)
			if k == len(samples)-1 {
				p.extend(right)
			}
		}
		if p.empty() {
			continue
		}
		c.Curves = append(c.Curves, curve{Class: "line " + replicaClass(i), Path: p.String(), Title: replicaName(r)})
	}
}

func (d *drawing) drawViews() {
	if !d.sampled() {
		return
	}
	c := d.panel("View", "one line a replica; a step up is a change of the primary; a gap is a replica that is down", 84)
	d.perReplica(&c, func(s Sample) uint64 { return s.View })
	d.Charts = append(d.Charts, c)
}

func (d *drawing) drawHeights() {
	if !d.sampled() {
		return
	}
	c := d.panel("Height", "committed blocks; flat: no progress; a line below the others: a replica that lags", 112)
	d.perReplica(&c, func(s Sample) uint64 { return s.Height })
	d.Charts = append(d.Charts, c)
}

func (d *drawing) sampled() bool {
	for i := range d.run.Replicas {
		if len(d.run.Replicas[i].Samples) > 0 {
			return true
		}
	}
	return false
}

// path is the outline of a step curve, with no more points than can be seen.
type path struct {
	b    strings.Builder
	x, y px
	pen  bool
}

func (p *path) empty() bool { return p.b.Len() == 0 }

func (p *path) String() string { return p.b.String() }

func (p *path) step(x, y px) {
	switch {
	case !p.pen:
		fmt.Fprintf(&p.b, "M%v %v", x, y)
	case y == p.y:
		return
	case x-p.x < 0.5: // within the same column
		fmt.Fprintf(&p.b, "V%v", y)
		p.y = y
		return
	default:
		fmt.Fprintf(&p.b, "H%vV%v", x, y)
	}
	p.pen, p.x, p.y = true, x, y
}

// lift ends the line at x.
func (p *path) lift(x px) {
	p.extend(x)
	p.pen = false
}

func (p *path) extend(x px) {
	if p.pen && x > p.x {
		fmt.Fprintf(&p.b, "H%v", x)
	}
}

func (b *Bucket) seconds() float64 { return (b.End - b.Begin).Seconds() }

func (d *drawing) drawThroughput(buckets []Bucket) {
	var limit float64
	for i := range buckets {
		b := &buckets[i]
		if s := b.seconds(); s > 0 {
			limit = max(limit, float64(b.OK+b.Failed+b.Unknown)/s)
		}
	}
	if limit == 0 {
		return
	}
	c := d.panel("Throughput", "operations a second: answered, certainly not run, unknown", 92)
	for _, v := range valueTicks(limit, 4) {
		c.mark(c.scale(v, limit), figure(Number{Value: v}))
	}
	for i := range buckets {
		b := &buckets[i]
		s := b.seconds()
		if s <= 0 {
			continue
		}
		x := d.axis.x(b.Begin)
		w := max(d.axis.x(b.End)-x-0.6, 0.6)
		base := c.Y + c.H
		for _, part := range []struct {
			n     int
			class string
		}{{b.OK, "o-ok"}, {b.Failed, "o-fail"}, {b.Unknown, "o-unknown"}} {
			h := c.Y + c.H - c.scale(float64(part.n)/s, limit)
			if part.n <= 0 || h <= 0 {
				continue
			}
			base -= h
			c.Bars = append(c.Bars, box{X: x, Y: base, W: w, H: h, Class: part.class})
		}
	}
	d.Charts = append(d.Charts, c)
}

// drawLatency draws latencies on a logarithmic scale.
func (d *drawing) drawLatency(buckets []Bucket) {
	low, high := time.Duration(math.MaxInt64), time.Duration(0)
	for i := range buckets {
		if b := &buckets[i]; b.OK > 0 && b.P50 > 0 {
			low, high = min(low, b.P50), max(high, b.P99, b.Max)
		}
	}
	if high <= 0 {
		return
	}
	from := math.Floor(math.Log10(float64(low)))
	to := max(math.Ceil(math.Log10(float64(high))), from+1)
	c := d.panel("Latency", "of answered operations, logarithmic: slowest of all, 99 of 100, median", 104)
	y := func(t time.Duration) px {
		return c.scale(math.Log10(max(float64(t), 1))-from, to-from)
	}
	for e := from; e <= to; e++ {
		t := time.Duration(math.Pow(10, e))
		c.mark(y(t), span(t))
	}
	for _, line := range []struct {
		class, name string
		value       func(*Bucket) time.Duration
	}{
		{"line l-max", "slowest", func(b *Bucket) time.Duration { return b.Max }},
		{"line l-p99", "99 of 100", func(b *Bucket) time.Duration { return b.P99 }},
		{"line l-p50", "median", func(b *Bucket) time.Duration { return b.P50 }},
	} {
		p := path{}
		for i := range buckets {
			b := &buckets[i]
			if b.OK <= 0 || b.P50 <= 0 || b.End <= b.Begin {
				p.lift(d.axis.x(b.Begin))
				continue
			}
			p.step(d.axis.x(b.Begin), y(line.value(b)))
			if i == len(buckets)-1 {
				p.extend(d.axis.x(b.End))
			}
		}
		c.Curves = append(c.Curves, curve{Class: line.class, Path: p.String(), Title: line.name})
	}
	d.Charts = append(d.Charts, c)
}
