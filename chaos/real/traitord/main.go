//go:build chaos

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// settings are what counts of replica.json here.
type settings struct {
	Cluster      string `json:"cluster"`
	Key          string `json:"key"`
	Data         string `json:"data"`
	Listen       string `json:"listen"`
	ClientListen string `json:"clientListen"`
	AdminListen  string `json:"adminListen"`
	AdminRemote  bool   `json:"adminRemote"`
	ReserveMiB   int64  `json:"reserveMiB"`
	RetainBlocks uint64 `json:"retainBlocks"`
}

func main() {
	dir := flag.String("dir", "", "the replica's folder, with replica.json")
	strategy := flag.String("strategy", "", "how to betray; honest if empty")
	offset := flag.Duration("clock-offset", 0, "what the clock is ahead of the right time")
	rate := flag.Float64("clock-rate", 1, "how fast the clock goes")
	seed := flag.Uint64("seed", 1, "what the traitor draws")
	flag.Parse()
	if err := run(*dir, *strategy, *offset, *rate, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "traitord:", err)
		os.Exit(1)
	}
}

func run(dir, strategy string, offset time.Duration, rate float64, seed uint64) error {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	cfg, app, err := configuration(dir, logger)
	if err != nil {
		return err
	}
	began := time.Now()
	cfg.Now = func() time.Time {
		now := time.Now()
		return now.Add(offset + time.Duration(float64(now.Sub(began))*(rate-1)))
	}
	ctx := context.Background()
	var server *replica.Server
	var traitor *chaos.Traitor
	if strategy == "" {
		server, err = replica.Start(ctx, cfg)
	} else {
		if _, ok := chaos.StrategyNamed(strategy); !ok {
			return fmt.Errorf("%w: %q", chaos.ErrStrategy, strategy)
		}
		server, err = replica.StartPuppet(ctx, cfg, func(s replica.Strings) replica.Puppeteer {
			traitor, err = chaos.NewTraitor(strategy, chaos.PuppetConfig{
				Core: s.Core, Schedule: pbft.NewSchedule(cfg.Roster.Weights()), Verifier: s.Verifier, Keys: s.Keys, Tick: s.Tick,
				Machine: app.twin, Limits: s.Limits,
				Seed: seed, Host: host{s, began},
			})
			if err != nil {
				panic(err) // the strategy's name was looked up
			}
			return traitor
		})
	}
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(closed)
	}()
	select {
	case <-closed:
	case <-server.Failed():
	}
	patience, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = errors.Join(server.Stop(patience), server.Err())
	if traitor != nil { // nobody leads it any more
		deeds := map[string]int{}
		traitor.EachDeed(func(what string, times int) { deeds[what] = times })
		logger.Info("TRAITOR", "strategy", strategy, "deeds", traitor.Deeds(), "kinds", fmt.Sprint(deeds))
	}
	return err
}

// configuration loads what replica.json names.
func configuration(dir string, logger *slog.Logger) (cfg replica.Config, app application, err error) {
	var none replica.Config
	data, err := os.ReadFile(filepath.Join(dir, "replica.json"))
	if err != nil {
		return none, app, err
	}
	var s settings
	if err := json.Unmarshal(data, &s); err != nil {
		return none, app, fmt.Errorf("replica.json: %w", err)
	}
	for _, p := range []*string{&s.Cluster, &s.Key, &s.Data} {
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	ros, err := roster.Load(s.Cluster)
	if err != nil {
		return none, app, err
	}
	keys, err := keyfile.LoadReplica(s.Key)
	if err != nil {
		return none, app, err
	}
	if app, err = applicationOf(ros.Cluster); err != nil {
		return none, app, err
	}
	cfg = replica.Config{
		Roster: ros, Keys: keys, DataDir: s.Data, Machine: app.machine, OpenMachine: app.open,
		Listen: s.Listen, ClientListen: s.ClientListen, AdminListen: s.AdminListen, AdminRemote: s.AdminRemote,
		Retain: pbft.Height(s.RetainBlocks), Reserve: s.ReserveMiB << 20, Build: "traitord", Logger: logger,
	}
	if s.ReserveMiB < 0 {
		cfg.Reserve = -1
	}
	return cfg, app, nil
}

// host is the real process as a traitor sees it.
type host struct {
	s     replica.Strings
	began time.Time
}

var _ chaos.PuppetHost = host{}

func (h host) Now() time.Duration { return time.Since(h.began) }

func (h host) Clock() pbft.Time { return h.s.Clock() }

func (h host) After(d time.Duration, do func()) { h.s.After(d, do) }

func (h host) Transmit(to pbft.ReplicaID, m pbft.Message, raw []byte) { h.s.Transmit(to, m, raw) }

func (h host) Node() *replica.Node { return h.s.Node() }
