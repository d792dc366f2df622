package benchplot

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// Point is a measurement. Both coordinates must be above 0, or it is left out.
type Point struct {
	X, Y  float64
	Label string // stands beside it
}

// Series is points that a line connects, in the order given.
type Series struct {
	Name   string
	Group  int  // series of one group have one colour
	Dashed bool // for what accompanies the main series of its group
	Points []Point
}

// Chart is what is drawn. The vertical axis is logarithmic.
type Chart struct {
	Title, Caption string
	X, Y           string // what the axes show, with units
	LogX           bool
	Series         []Series
}

const (
	chartWidth  = 980
	chartHeight = 560
	left        = 84
	top         = 64
	right       = 710 // the legend is to the right
	bottom      = 484
)

// colours can be told apart by most people, and in print.
var colours = []string{"#1b6ca8", "#c8553d", "#3f7d20", "#8e5ea2", "#b8860b", "#00868b", "#8b3a62", "#555555"}

// SVG writes the chart.
func (c *Chart) SVG(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#222">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, chartHeight)
	text(&b, left, 26, "start", 16, c.Title)
	text(&b, left, 46, "start", 12, c.Caption)
	x, y := c.axes()
	x.horizontal(&b, c.X)
	y.vertical(&b, c.Y)
	for i := range c.Series {
		c.Series[i].draw(&b, x, y, top+16+20*i)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// HTML writes a page with the chart and, below it, text that is HTML already.
func (c *Chart) HTML(w io.Writer, below string) error {
	if _, err := fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>\n<body style=\"max-width:1000px;margin:2em auto;font-family:sans-serif\">\n", html.EscapeString(c.Title)); err != nil {
		return err
	}
	if err := c.SVG(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n</body></html>\n", below)
	return err
}

func text(b *strings.Builder, x, y float64, anchor string, size int, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, html.EscapeString(s))
}

func (p Point) drawable() bool {
	return p.X > 0 && p.Y > 0 && !math.IsInf(p.X, 0) && !math.IsInf(p.Y, 0)
}

// axes are made so that every point is inside.
func (c *Chart) axes() (x, y axis) {
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			if p.drawable() {
				xs, ys = append(xs, p.X), append(ys, p.Y)
			}
		}
	}
	if len(xs) == 0 {
		xs, ys = []float64{1}, []float64{1}
	}
	x, y = linear(slices.Max(xs)), logarithmic(slices.Min(ys), slices.Max(ys))
	if c.LogX {
		x = logarithmic(slices.Min(xs), slices.Max(xs))
	}
	x.from, x.to = left, right
	y.from, y.to = bottom, top
	return x, y
}

func (s *Series) draw(b *strings.Builder, x, y axis, legend int) {
	colour := colours[s.Group%len(colours)]
	dash := ""
	if s.Dashed {
		dash = ` stroke-dasharray="5 4"`
	}
	var line []string
	for _, p := range s.Points {
		if !p.drawable() {
			continue
		}
		px, py := x.at(p.X), y.at(p.Y)
		line = append(line, fmt.Sprintf("%.1f,%.1f", px, py))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %s, %s %s</title></circle>`+"\n",
			px, py, colour, html.EscapeString(s.Name), html.EscapeString(p.Label), number(p.X), number(p.Y))
		if p.Label != "" && !s.Dashed {
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="10" fill="%s">%s</text>`+"\n", px+5, py-5, colour, html.EscapeString(p.Label))
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"%s/>`+"\n", strings.Join(line, " "), colour, dash)
	fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"%s/>`+"\n", right+16, legend, right+44, legend, colour, dash)
	text(b, right+50, float64(legend)+4, "start", 12, s.Name)
}
