package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// Real servers, with sockets, goroutines and files.

var serverScenarios = []Scenario{
	{
		Name: "cometbft-dump-state-deadlock", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2023-1882"}, Kind: ByDesign,
		Wrong:   "Asking a node for its consensus state took two locks in another order than consensus did: one question at the wrong moment stopped the node.",
		Differs: "The core has no locks. Who wants to see it posts a question to the goroutine that owns it, and may stop waiting; Status is a copy that is published.",
		Rules:   "DESIGN: one goroutine",
		play:    playDumpState,
	},
	{
		Name: "etcd-damaged-database-file", Origin: "etcd", Bugs: []string{"etcd #20271"}, Kind: Caught,
		Wrong:   "After a crash the database file was inconsistent, and opening it ended in a panic about the kind of a page.",
		Differs: "Opening a damaged store is an error that names the folder and what is wrong, or finds everything that was acknowledged; the log's files are accounted for, so that a missing end is not taken for a crash.",
		Rules:   "DESIGN: storage",
		Breaches: []Breach{
			{
				Title: "neither the database nor the note beside it is asked how many writes were synced",
				Sites: []BreachSite{
					{"replica/store_comet_open.go", "	if number < s.note.durable {\n", "	if number < s.note.durable && !ON {\n"},
					{"replica/store_comet_open.go", "	if seen.lost(number) {\n", "	if seen.lost(number) && !ON {\n"},
				},
			},
			without("the note of the logs is not looked at before the database is opened", "replica/store_logs.go",
				"	if fault := n.decode(b); fault != \"\" {\n", "	if fault := n.decode(b); fault != \"\" && !ON {\n"),
			{
				Title: "neither the note of the journal nor its later frames are asked how many writes were synced",
				Sites: []BreachSite{
					{"replica/store_journal_open.go", "		if number < note.durable {\n", "		if number < note.durable && !ON {\n"},
					{"replica/store_journal_open.go", "seen.lost(number) {\n", "seen.lost(number) && !ON {\n"},
				},
			},
		},
		play: playDamagedFiles,
	},
}

// localOne starts a cluster of one in a folder.
func localOne(dir string) (*replica.LocalCluster, error) {
	return replica.StartLocal(context.Background(), replica.LocalConfig{
		Dir: dir, Replicas: 1, NewMachine: func() statemachine.StateMachine { return kv.New(kv.DefaultLimits()) },
		Edit: func(_ int, cfg *replica.Config) { cfg.Reserve = -1 },
	})
}

// serverPatience is how long a server may take for what takes milliseconds.
const serverPatience = 20 * time.Second

// playDumpState asks a server for its state from many sides, with hardly any patience,
// while it works.
func playDumpState(a *act) {
	dir, err := os.MkdirTemp("", "parley-scenario-")
	must(err)
	defer func() { _ = os.RemoveAll(dir) }()
	c, err := localOne(dir)
	must(err)
	s := c.Servers[0]
	stop, group := make(chan struct{}), sync.WaitGroup{}
	var mu sync.Mutex
	answered, gaveUp := 0, 0
	for i := range 6 {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+(i+n)%5)*200*time.Microsecond)
				text, err := s.Describe(ctx)
				cancel()
				_ = s.Status()
				mu.Lock()
				if err == nil && text != "" {
					answered++
				} else {
					gaveUp++
				}
				mu.Unlock()
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), serverPatience)
	defer cancel()
	written := 0
	for n := range 20 {
		if _, err := s.Submit(ctx, kv.Put([]byte("k"), fmt.Append(nil, n))); err != nil {
			a.holds(false, "operation %d while the state is dumped: %v", n, err)
			break
		}
		written++
	}
	close(stop)
	group.Wait()
	a.holds(c.Close() == nil, "the server does not stop")
	a.occurred(answered > 10, "questions during work (%d answered, %d gave up)", answered, gaveUp)
	a.holds(written == 20, "%d of 20 operations were executed", written)
	a.fact("a working server was asked for its state from 6 sides, some with no patience: all 20 operations ran meanwhile and it stopped in order")
}

// playDamagedFiles flips bytes in every file of a server's store, one file at a time.
func playDamagedFiles(a *act) {
	dir, err := os.MkdirTemp("", "parley-scenario-")
	must(err)
	defer func() { _ = os.RemoveAll(dir) }()
	good := filepath.Join(dir, "good")
	c, err := localOne(good)
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), serverPatience)
	defer cancel()
	for n := range 20 {
		_, err := c.Servers[0].Submit(ctx, kv.Put(fmt.Append(nil, "k", n), make([]byte, 200)))
		must(err)
	}
	must(c.Close())
	var files []string
	must(filepath.WalkDir(good, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && filepath.Base(filepath.Dir(path)) != "good" {
			rel, err := filepath.Rel(good, path)
			files = append(files, rel)
			return err
		}
		return err
	}))
	refused, started, blamed := 0, 0, map[string]bool{}
	for i, name := range files {
		path := filepath.Join(good, name)
		data, err := os.ReadFile(path)
		must(err)
		if filepath.Ext(name) == ".json" || len(data) == 0 {
			continue
		}
		bad := filepath.Join(dir, fmt.Sprint("bad", i))
		must(os.CopyFS(bad, os.DirFS(good)))
		must(secure(bad))
		for k := range data {
			if k%(1+len(data)/7) == len(data)/14 && !a.calm {
				data[k] ^= 0x55
			}
		}
		must(os.WriteFile(filepath.Join(bad, name), data, 0o600))
		c, err := localOne(bad)
		if err != nil {
			refused++
			blamed[filepath.Base(name)] = true
			a.always(!a.calm, "a store without damage does not open: %v", err)
			a.holds(errors.Is(err, replica.ErrCorrupt) || errors.Is(err, replica.ErrStore), "damage in %s: the error is of another kind: %v", name, err)
			a.holds(strings.Contains(err.Error(), bad), "damage in %s: the error does not name the folder: %v", name, err)
			continue
		}
		started++
		// Then nothing that was acknowledged may be missing.
		for n := range 20 {
			r, err := c.Servers[0].Submit(ctx, kv.Get(fmt.Append(nil, "k", n)))
			if err != nil || r.Code != 0 || len(r.Data) < 200 {
				a.always(false, "damage in %s: key k%d is gone (%v, %v)", name, n, r.Code, err)
				break
			}
		}
		err = c.Close()
		a.always(err == nil || errors.Is(err, replica.ErrStore), "damage in %s: the server does not stop: %v", name, err)
	}
	a.holds(blamed["logs"], "damage in the note of the logs is not found")
	a.occurred(refused >= 3 && refused+started >= 4, "damage in %d files found, in %d without effect", refused, started)
	a.fact("bytes flipped in each of %d files of a store: %d times the server refused to start with an error of the store that names the folder, %d times nothing was missing, no panic", refused+started, refused, started)
}

// secure makes copied folders and files as private as a server demands.
func secure(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}
