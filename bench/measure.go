package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parley-bft/parley/bench/load"
	"github.com/parley-bft/parley/bench/proc"
	"github.com/parley-bft/parley/bench/system"
)

// bench is one run.
type bench struct {
	*options
	programs *system.Programs
	scratch  string
	made     int // clusters
	results  *results
}

func newBench(ctx context.Context, o *options) (*bench, error) {
	scratch, err := os.MkdirTemp(o.dir, "parley-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, scratch: scratch}
	if b.programs, err = buildPrograms(ctx, o, filepath.Join(scratch, "bin")); err != nil {
		b.close()
		return nil, err
	}
	b.results = newResults(ctx, o, b.programs.Versions)
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.scratch) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// config is for a new cluster.
func (b *bench) config() system.Config {
	b.made++
	return system.Config{Programs: b.programs, Dir: filepath.Join(b.scratch, strconv.Itoa(b.made))}
}

// discard ends a cluster and removes its data.
func (b *bench) discard(c system.Cluster, cfg system.Config) {
	c.Stop()
	_ = os.RemoveAll(cfg.Dir)
}

// measure runs a load for the warm-up and one window.
func (b *bench) measure(ctx context.Context, c system.Cluster, l *load.Loop) (point, error) {
	return b.measureFor(ctx, c, l, b.window)
}

func (b *bench) measureFor(ctx context.Context, c system.Cluster, l *load.Loop, window time.Duration) (p point, err error) {
	if err := rest(ctx, b.warmup); err != nil {
		return p, err
	}
	pids := system.PIDs(c)
	self := []int{os.Getpid()}
	proc.ForgetPeak(pids)
	used, own, sent := proc.Read(pids), proc.Read(self), loopback()
	from := time.Now()
	if err := rest(ctx, window); err != nil {
		return p, err
	}
	until := time.Now()
	used2, own2, sent2 := proc.Read(pids), proc.Read(self), loopback()
	p.Stats = l.Window(from, until)
	if n := float64(p.Operations); n > 0 {
		p.CPUPer1000 = (used2.CPU - used.CPU).Seconds() * 1000 / n
		p.ClientCPUPer1000 = (own2.CPU - own.CPU).Seconds() * 1000 / n
		p.WrittenPerOp = float64(used2.Written-used.Written) / n
		p.LoopbackPerOp = float64(sent2-sent) / n
	}
	p.PeakMiB = used2.PeakMiB
	p.cpu = used2.CPU - used.CPU
	return p, nil
}

// closed measures a closed loop of so many clients.
func (b *bench) closed(ctx context.Context, c system.Cluster, clients int) (point, error) {
	ops, end, err := c.Clients(ctx, clients, b.connections)
	if err != nil {
		return point{}, err
	}
	defer end()
	l := load.Closed(ctx, ops)
	defer l.Stop()
	return b.measure(ctx, c, l)
}

// open measures an open loop.
func (b *bench) open(ctx context.Context, c system.Cluster, rate float64) (point, error) {
	ops, end, err := c.Clients(ctx, b.connections, b.connections)
	if err != nil {
		return point{}, err
	}
	defer end()
	l := load.Open(ctx, ops, rate)
	defer l.Stop()
	return b.measure(ctx, c, l)
}

// throughput gives the systems their turns, round by round.
func (b *bench) throughput(ctx context.Context) error {
	for round := range b.rounds {
		for _, s := range b.systems {
			if err := b.turn(ctx, round, s); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				// One system that fails must not cost the others' results.
				b.say("%s: %v", s.Name, err)
				b.results.Failures = append(b.results.Failures, fmt.Sprintf("%s, round %d: %v", s.Name, round+1, err))
			}
		}
	}
	if len(b.results.Points) == 0 {
		return errors.New("nothing could be measured")
	}
	return nil
}

// turn is one system's measurements of one round, on a cluster of its own.
func (b *bench) turn(ctx context.Context, round int, s system.System) error {
	cfg := b.config()
	c, err := s.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.discard(c, cfg)
	for _, n := range b.clients {
		p, err := b.closed(ctx, c, n)
		if err != nil {
			return err
		}
		p.System, p.Clients, p.Round = s.Name, n, round
		b.results.Points = append(b.results.Points, p)
		b.say("%-16s C=%-5d %8.0f op/s  p50 %7.2f ms  p99 %7.2f ms  %.4f CPU s/1000 op  errors %d", s.Name, n, p.PerSecond, p.P50, p.P99, p.CPUPer1000, p.Errors)
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
