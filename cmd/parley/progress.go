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

// showBenchProgress says every second, until finished is closed, what a benchmark is
// at, for how long yet, and how many operations a second there were since the last
// time. done counts operations from the start on.
func showBenchProgress(w io.Writer, measureFrom, until time.Time, finished <-chan struct{}, done func() int64) {
	begin, end := "", "\n"
	if isTerminal(w) {
		begin, end = "\r\x1b[K", ""
		defer fmt.Fprint(w, "\r\x1b[K")
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last, before := time.Now(), done()
	for {
		select {
		case <-finished:
			return
		case <-ticker.C:
		}
		now, n := time.Now(), done()
		rate := float64(n-before) / now.Sub(last).Seconds()
		last, before = now, n
		what, left := "measuring", until.Sub(now)
		switch {
		case now.Before(measureFrom):
			what, left = "warming up", measureFrom.Sub(now)
		case left < 0:
			fmt.Fprintf(w, "%swaiting for the last operations%s", begin, end)
			continue
		}
		fmt.Fprintf(w, "%s%s, %.0f s left: %.0f operations/s%s", begin, what, left.Seconds(), rate, end)
	}
}
