package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// showProgress shows how far something has come until finished is closed: a bar
// on a terminal, a line every second otherwise.
func showProgress(w io.Writer, verb string, total int, finished <-chan struct{}, done func() int) {
	if isTerminal(w) {
		showBar(w, verb, total, finished, done)
		return
	}
	begin := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-finished:
			return
		case <-ticker.C:
		}
		n := done()
		rate := float64(n) / time.Since(begin).Seconds()
		left := "unknown"
		if rate > 0 {
			left = (time.Duration(float64(total-n)/rate) * time.Second).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s %d of %d, %.0f/s, %s left\n", verb, n, total, rate, left)
	}
}

func showBar(w io.Writer, verb string, total int, finished <-chan struct{}, done func() int) {
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(verb), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100*time.Millisecond))
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		_ = bar.Set(done())
		select {
		case <-finished:
			_ = bar.Set(done())
			_ = bar.Exit()
			fmt.Fprintln(w)
			return
		case <-ticker.C:
		}
	}
}
