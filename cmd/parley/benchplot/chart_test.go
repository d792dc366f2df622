package benchplot

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func draw(t *testing.T, c *Chart) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, c.SVG(&b))
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b.String()
		} else {
			require.NoError(t, err)
		}
	}
}

func TestChart(t *testing.T) {
	c := &Chart{Title: "a < b & c", X: "x", Y: "y", Series: []Series{
		{Name: "one", Points: []Point{{10, 1, "p"}, {1000, 30, "<q>"}, {0, 5, "left out"}}},
		{Name: "two", Group: 1, Dashed: true, Points: []Point{{500, 3, ""}}},
	}}
	for _, log := range []bool{false, true} {
		c.LogX = log
		drawn := draw(t, c)
		require.Contains(t, drawn, "a &lt; b &amp; c")
		require.Equal(t, 3, strings.Count(drawn, "<circle"))
		require.NotContains(t, drawn, "left out")
		require.Contains(t, drawn, colours[1])
	}
	draw(t, &Chart{})
	draw(t, &Chart{Series: []Series{{Name: "empty"}}})
}

func TestAxes(t *testing.T) {
	require.Equal(t, []float64{0, 2000, 4000, 6000, 8000, 10000}, linear(10_000).ticks())
	a := logarithmic(0.7, 90)
	require.Equal(t, []float64{0.5, 1, 2, 5, 10, 20, 50, 100}, a.ticks())
	a.from, a.to = 100, 0
	require.Less(t, a.at(50), a.at(5))
	require.InDelta(t, 0, a.at(100), 1e-9)
	require.Equal(t, "12.3k", number(12_345))
	require.Equal(t, "0.5", number(0.5))
	require.Equal(t, "123", number(123.4))
}
