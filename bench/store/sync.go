package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/parley-bft/parley/statemachine/store"
)

// transfer measures how one store becomes what another is: when a thousandth of the keys
// differs, and when it has none. Requests and answers stay in the process, so the time is
// that of both sides' work; the bytes are what a network would carry.
func transfer() error {
	folder, err := os.MkdirTemp(*dir, "store-sync-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	from, to := filepath.Join(folder, "from"), filepath.Join(folder, "to")
	open := func(dir string) (*store.Store, error) {
		cfg := store.DefaultConfig()
		cfg.Dir = dir
		return store.Open(context.Background(), cfg)
	}
	a, err := open(from)
	if err != nil {
		return err
	}
	if err := (&parley{s: a}).load(*keys); err != nil {
		return err
	}
	if err := a.Close(); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	if a, err = open(from); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(5, 6))
	for range *keys / 1000 {
		k := key(random.IntN(*keys), *keys)
		a.Block().Set(k, value(k, 1))
	}
	if err := a.Commit(1); err != nil {
		return err
	}
	digest, err := a.Digest()
	if err != nil {
		return err
	}
	var out strings.Builder
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Fprintf(&out, "\n### State transfer at %d keys\n\n| | time | processor time, both sides | requests | received | sent | nodes | values |\n|---|---:|---:|---:|---:|---:|---:|---:|\n", *keys)
	if err := os.CopyFS(filepath.Join(folder, "scrubbed"), os.DirFS(to)); err != nil {
		return err
	}
	for _, test := range []struct {
		name, dir string
		scrub     bool
	}{
		{"a thousandth differs", to, false},
		{"a thousandth differs, with a scrub", filepath.Join(folder, "scrubbed"), true},
		{"all of it, part by part", filepath.Join(folder, "empty"), false},
	} {
		if strings.HasSuffix(test.dir, "empty") && !*whole {
			continue
		}
		b, err := open(test.dir)
		if err != nil {
			return err
		}
		began, cpu := time.Now(), used()
		stats, err := b.Sync(context.Background(), store.Sync{Height: 1, Digest: digest, Peers: []store.Peer{near{a}}, Scrub: test.scrub})
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "| %s | %.1f s | %.1f s | %d | %.1f MiB | %.1f MiB | %d | %d |\n", test.name, time.Since(began).Seconds(),
			(used() - cpu).Seconds(), stats.Requests, float64(stats.Received)/(1<<20), float64(stats.Sent)/(1<<20), stats.Nodes, stats.Values)
		if err := b.Close(); err != nil {
			return err
		}
	}
	b, err := open(filepath.Join(folder, "snapshot"))
	if err != nil {
		return err
	}
	began, cpu := time.Now(), used()
	snap, err := a.Snapshot()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	written := make(chan int64)
	go func() {
		n, err := snap.WriteTo(w)
		w.CloseWithError(err)
		written <- n
	}()
	if err := b.Restore(r); err != nil {
		return err
	}
	fmt.Fprintf(&out, "| all of it, as a snapshot | %.1f s | %.1f s | | %.1f MiB | | | %d |\n", time.Since(began).Seconds(),
		(used() - cpu).Seconds(), float64(<-written)/(1<<20), *keys)
	if err := errors.Join(snap.Close(), b.Close(), a.Close()); err != nil {
		return err
	}
	return report(out.String())
}

// near is a peer in the same process.
type near struct{ s *store.Store }

func (n near) Ask(_ context.Context, request []byte) ([]byte, error) { return n.s.Serve(request) }
