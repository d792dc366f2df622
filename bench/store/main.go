// Command store measures stores of authenticated state beside each other: each in a
// process of its own, with the same entries, the same blocks and a digest after each.
//
//	go run . -keys 1000000 -blocks 200
//	go run . -keys 10000000 -transfer
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	names   = flag.String("systems", "parley,iavl,geth,pebble", "what is measured")
	keys    = flag.Int("keys", 1_000_000, "entries at the beginning")
	blocks  = flag.Int("blocks", 300, "blocks that are measured")
	every   = flag.Int("digest", 1, "a digest is taken after so many blocks")
	ops     = flag.Int("ops", 1000, "keys that each block reads and writes")
	dir     = flag.String("dir", "", "where the data goes; empty makes a folder that is removed")
	results = flag.String("results", "", "a file that gets a table of the results appended")
	child   = flag.Bool("child", false, "internal: measure here")
	whole   = flag.Bool("whole", false, "with -transfer: also all of it by that way")
	moved   = flag.Bool("transfer", false, "measure state transfer instead")
	profile = flag.String("profile", "", "write a processor profile of the blocks (of one system)")
)

// result is what came of one system. Times are of one block or one call, in the middle
// and at the worst of a hundred.
type result struct {
	System         string
	Keys, Ops      int
	LoadSeconds    float64
	BlocksPerSec   float64 // on the clock, digest and all
	CPUMillis      float64 // processor time of one block, with the database's own goroutines
	CommitMedian   time.Duration
	Commit99       time.Duration
	CommitMax      time.Duration
	LoadedBytes    int64 // on the disk
	Bytes          int64 // on the disk after the blocks
	MemoryBytes    int64 // the most that was resident
	ProofBytes     float64
	ProofTime      time.Duration
	GetTime        time.Duration
	OldGetTime     time.Duration `json:",omitempty"`
	WalkTime       time.Duration `json:",omitempty"` // of 1000 entries
	WrittenPerByte float64       // bytes that went to the disk for each byte of keys and values that changed
}

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if *child {
		r, err := measure(*names)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	if *moved {
		return transfer()
	}
	var all []*result
	for name := range strings.SplitSeq(*names, ",") {
		cmd := exec.Command(os.Args[0], append(os.Args[1:], "-child", "-systems", name)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r := new(result)
		if err := json.Unmarshal(out, r); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %.1f blocks/s\n", name, r.BlocksPerSec)
		all = append(all, r)
	}
	return report(table(all))
}

// report prints what came of it, and appends it to the file.
func report(t string) error {
	fmt.Print(t)
	if *results == "" {
		return nil
	}
	f, err := os.OpenFile(*results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(t)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func measure(name string) (*result, error) {
	open, ok := systems[name]
	if !ok {
		return nil, fault("no system %q", name)
	}
	folder := *dir
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "store-bench-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
	} else {
		folder = filepath.Join(folder, name)
	}
	s, err := open(folder)
	if err != nil {
		return nil, err
	}
	r := &result{System: name, Keys: *keys, Ops: *ops}
	began := time.Now()
	if err := s.load(*keys); err != nil {
		return nil, err
	}
	r.LoadSeconds = time.Since(began).Seconds()
	fmt.Fprintf(os.Stderr, "%s: loaded in %.0f s\n", name, r.LoadSeconds)
	if r.LoadedBytes, err = size(folder); err != nil {
		return nil, err
	}
	settle()
	resetPeak()
	random := rand.New(rand.NewPCG(1, 2))
	height := uint64(0)
	block := func() (time.Duration, error) {
		height++
		for range *ops {
			k := key(random.IntN(*keys), *keys)
			if _, err := s.get(k); err != nil {
				return 0, err
			}
			s.set(k, value(k, height))
		}
		began := time.Now()
		_, err := s.commit(height)
		return time.Since(began), err
	}
	for range *blocks / 10 { // warm up
		if _, err := block(); err != nil {
			return nil, err
		}
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
	}
	commits := make([]time.Duration, *blocks)
	cpu, written := used(), wrote()
	began = time.Now()
	for i := range commits {
		if commits[i], err = block(); err != nil {
			return nil, err
		}
	}
	n := float64(*blocks)
	r.BlocksPerSec = n / time.Since(began).Seconds()
	r.CPUMillis = (used() - cpu).Seconds() * 1000 / n
	pprof.StopCPUProfile()
	r.WrittenPerByte = float64(wrote()-written) / (n * float64(*ops) * (keyBytes + valueBytes))
	slices.Sort(commits)
	r.CommitMedian, r.Commit99, r.CommitMax = commits[*blocks/2], commits[*blocks*99/100], commits[*blocks-1]
	r.MemoryBytes = peak()
	if err := reads(s, r, height); err != nil {
		return nil, err
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	r.Bytes, err = size(folder)
	return r, err
}

func reads(s system, r *result, height uint64) error {
	const n = 2000
	random := rand.New(rand.NewPCG(3, 4))
	began := time.Now()
	for range n {
		if _, err := s.get(key(random.IntN(*keys), *keys)); err != nil {
			return err
		}
	}
	r.GetTime = time.Since(began) / n
	bytes, proofs := 0, 500
	began = time.Now()
	for range proofs {
		p, err := s.proof(key(random.IntN(*keys), *keys))
		if err != nil {
			return err
		}
		bytes += len(p)
	}
	if bytes > 0 {
		r.ProofTime, r.ProofBytes = time.Since(began)/time.Duration(proofs), float64(bytes)/float64(proofs)
	}
	began = time.Now()
	can := false
	var err error
	for range n {
		if can, err = s.old(height-min(height, keep/2), key(random.IntN(*keys), *keys)); err != nil {
			return err
		} else if !can {
			break
		}
	}
	if can {
		r.OldGetTime = time.Since(began) / n
	}
	began = time.Now()
	for range 50 {
		if can, err = s.walk(key(random.IntN(*keys), *keys), 1000); err != nil {
			return err
		} else if !can {
			return nil
		}
	}
	r.WalkTime = time.Since(began) / 50
	return nil
}

// settle waits until the database has sorted what was loaded, or two minutes.
func settle() {
	for calm, i := 0, 0; calm < 3 && i < 60; i++ {
		before := wrote()
		time.Sleep(2 * time.Second)
		if calm++; wrote() != before {
			calm = 0
		}
	}
}

// size is what the files below a folder take.
func size(folder string) (n int64, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil // it may be gone by now
	})
	return n, err
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// wrote is how many bytes this process has given to the disk.
func wrote() int64 { return procField("/proc/self/io", "write_bytes:") }

// peak is the most memory that was resident since resetPeak.
func peak() int64 { return procField("/proc/self/status", "VmHWM:") << 10 }

func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func procField(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
