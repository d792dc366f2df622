package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/parley-bft/parley/cmd/parley/benchplot"
)

// benchChart shows latency over throughput, one point for each load.
func benchChart(results []*benchResult) *benchplot.Chart {
	first, connections := results[0], 0
	for _, r := range results {
		connections = max(connections, r.Connections)
	}
	c := &benchplot.Chart{
		Title:   fmt.Sprintf("Throughput and latency, %s loop", first.Mode),
		Caption: fmt.Sprintf("puts of %d bytes, connections: %d; each point a load: %s", first.OperationBytes, connections, map[string]string{"open": "operations a second", "closed": "operations under way"}[first.Mode]),
		X:       "operations a second", Y: "latency, ms", LogX: len(results) > 1,
	}
	for _, s := range []struct {
		name, key string
		dashed    bool
	}{{"median", "p50", false}, {"99 of 100", "p99", true}} {
		line := benchplot.Series{Name: s.name, Dashed: s.dashed}
		for _, r := range results {
			line.Points = append(line.Points, benchplot.Point{X: r.PerSecond, Y: r.Millis[s.key], Label: r.load()})
		}
		c.Series = append(c.Series, line)
	}
	return c
}

// writeBenchPlot draws the results into a file, whose name says as what.
func writeBenchPlot(path string, results []*benchResult) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c := benchChart(results)
	if plotKind(path) == "svg" {
		return c.SVG(f)
	}
	var b strings.Builder
	b.WriteString("<table cellpadding=\"4\"><tr><th>load<th>operations/s<th>p50 ms<th>p99 ms<th>CPU s/1000\n")
	for _, r := range results {
		cpu := "-"
		if r.Usage != nil {
			cpu = fmt.Sprintf("%.4f", r.Usage.CPUPerThousand)
		}
		fmt.Fprintf(&b, "<tr><td>%s<td>%.0f<td>%.2f<td>%.2f<td>%s\n", r.load(), r.PerSecond, r.Millis["p50"], r.Millis["p99"], cpu)
	}
	b.WriteString("</table>")
	return c.HTML(f, b.String())
}
