package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// stopPatience is how long clients may take to leave when a replica stops.
const stopPatience = 5 * time.Second

// stopDeadline is how long all of stopping may take: after the clients' time that is
// waiting for the disk. A process that ends in the middle of it ends as by kill -9.
const stopDeadline = 30 * time.Second

// startFlags are the flags of start; those given win over replica.json.
type startFlags struct {
	dir        string
	local      localConfig
	untilStdin bool
}

func newStart() *cobra.Command {
	f := &startFlags{}
	cmd := &cobra.Command{
		Use:   "start --dir DIR/replica-N",
		Short: "Run one replica",
		Long: `Run one replica of what its cluster file names (a key-value store by default) until it is told to stop (Ctrl-C, or
SIGTERM), which syncs and closes everything. If that takes more than 30 seconds, or
at a second signal, it ends at once, with exit code 1. That, a kill -9 or a power
cut at any moment loses nothing that was acknowledged: start it again.

--dir names a folder that 'parley init' made; its replica.json says the rest, and
flags win over it. Without --dir, --cluster, --key and --data say everything.

The log goes to standard error; where that is DIR/replica-N/log.txt, as under
'parley cluster', the file is bounded: after 64 MiB it becomes log.txt.1. --admin serves /metrics (Prometheus), /healthz,
/status, /debug/core and /debug/trace on a loopback address.

The key-value store kv is all in memory; other applications keep their state in the
folder state of the data folder, and of it --state-cache in memory. After a restart it
goes on from there, executing again what the log has beyond the last snapshot. A replica
that lost the folder, or part of it, makes it anew from a snapshot.

The garbage collector leaves up to 64 MiB beside what is in use, or half as much again
where that is more; GOGC and GOMEMLIMIT in the environment win over that. On Linux
timers may be late by half a millisecond, which saves much of the processor time of a
replica under light load; another timer slack than the usual one, such as systemd's
TimerSlackNSec, wins over that.`,
		Example: `  parley start --dir demo/replica-0
  parley start --dir demo/replica-0 --log-format json --log-level debug
  parley start --cluster cluster.json --key key.json --data /var/lib/parley`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.resolve(cmd)
			if err != nil {
				return err
			}
			return runReplica(cmd.Context(), cfg, f.untilStdin, cmd.InOrStdin(), boundedLog(cmd.ErrOrStderr(), f.dir))
		},
	}
	s := cmd.Flags()
	s.StringVar(&f.dir, "dir", "", "the replica's folder, with replica.json")
	s.StringVar(&f.local.Cluster, "cluster", "", "cluster file")
	s.StringVar(&f.local.Key, "key", "", "the replica's key file")
	s.StringVar(&f.local.Data, "data", "", "data folder")
	s.StringVar(&f.local.Listen, "listen", "", "address for the other replicas (default as in the cluster file)")
	s.StringVar(&f.local.ClientListen, "client-listen", "", "address for clients (default as in the cluster file)")
	s.StringVar(&f.local.AdminListen, "admin", "", "address for metrics and health, empty for none")
	s.StringVar(&f.local.ContractListen, "contract-listen", "", "address of Ethereum's JSON-RPC, for a cluster that runs contracts")
	s.BoolVar(&f.local.Pprof, "pprof", false, "serve Go's profiles on the admin address too")
	s.StringVar(&f.local.LogLevel, "log-level", "", "debug, info, warn or error (default info)")
	s.StringVar(&f.local.LogFormat, "log-format", "", "text or json (default text)")
	s.Int64Var(&f.local.ReserveMiB, "reserve", 0, "MiB to keep free on the disks of the log and of the state: with less the replica stops; -1 for no guard (default 256)")
	f.local.State.flags(cmd)
	s.BoolVar(&f.untilStdin, "until-stdin-closes", false, "stop when standard input closes")
	_ = s.MarkHidden("until-stdin-closes")
	return cmd
}

// resolve merges replica.json and the flags.
func (f *startFlags) resolve(cmd *cobra.Command) (localConfig, error) {
	cfg := localConfig{}
	if f.dir != "" {
		var err error
		if cfg, err = loadLocalConfig(replicaConfigPath(f.dir)); err != nil {
			return cfg, err
		}
	}
	set := cmd.Flags().Changed
	for _, o := range []struct {
		flag     string
		from, to *string
	}{
		{"cluster", &f.local.Cluster, &cfg.Cluster},
		{"key", &f.local.Key, &cfg.Key},
		{"data", &f.local.Data, &cfg.Data},
		{"listen", &f.local.Listen, &cfg.Listen},
		{"client-listen", &f.local.ClientListen, &cfg.ClientListen},
		{"admin", &f.local.AdminListen, &cfg.AdminListen},
		{"contract-listen", &f.local.ContractListen, &cfg.ContractListen},
		{"log-level", &f.local.LogLevel, &cfg.LogLevel},
		{"log-format", &f.local.LogFormat, &cfg.LogFormat},
	} {
		if set(o.flag) {
			*o.to = *o.from
		}
	}
	if set("pprof") {
		cfg.Pprof = f.local.Pprof
	}
	if set("reserve") {
		cfg.ReserveMiB = f.local.ReserveMiB
	}
	if err := cfg.State.override(cmd, &f.local.State); err != nil {
		return cfg, err
	}
	for _, need := range []struct{ flag, value, what string }{
		{"cluster", cfg.Cluster, "the cluster file"},
		{"key", cfg.Key, "the replica's key file"},
		{"data", cfg.Data, "the data folder"},
	} {
		if need.value == "" {
			return cfg, usagef(cmd, "--%s is missing: name %s, or give --dir with a replica's folder", need.flag, need.what)
		}
	}
	switch {
	case cfg.LogLevel != "" && !slices.Contains(logLevels, cfg.LogLevel):
		return cfg, usagef(cmd, "--log-level is %q: give one of %v", cfg.LogLevel, logLevels)
	case cfg.LogFormat != "" && !slices.Contains(logFormats, cfg.LogFormat):
		return cfg, usagef(cmd, "--log-format is %q: give one of %v", cfg.LogFormat, logFormats)
	case set("reserve") && (cfg.ReserveMiB == 0 || cfg.ReserveMiB < -1):
		return cfg, usagef(cmd, "--reserve is %d: give the MiB to keep free, from 1, or -1 for no guard", cfg.ReserveMiB)
	}
	return cfg, nil
}

// serverConfig loads what the settings name.
func (c localConfig) serverConfig(logger *slog.Logger) (replica.Config, error) {
	ros, err := roster.Load(c.Cluster)
	if err != nil {
		return replica.Config{}, err
	}
	keys, err := keyfile.LoadReplica(c.Key)
	if err != nil {
		return replica.Config{}, err
	}
	if _, err := ros.FindSelf(keys.Public()); err != nil {
		return replica.Config{}, fmt.Errorf("key file %s and cluster file %s: %w", c.Key, c.Cluster, err)
	}
	data := filepath.Clean(c.Data)
	cfg := replica.Config{
		Roster: ros, Keys: keys, DataDir: data,
		Listen: c.Listen, ClientListen: c.ClientListen, AdminListen: c.AdminListen, AdminRemote: c.AdminRemote, Pprof: c.Pprof, TraceBlocks: c.TraceBlocks,
		Tick: time.Duration(c.Tick), Retain: pbft.Height(c.RetainBlocks), ReceiptRetain: c.ReceiptBlocks,
		MaxPoolBytes: c.PoolMiB << 20, MaxPoolPerClient: c.PoolPerClient,
		Build: readBuildInfo().short(), Logger: logger,
	}
	if err := c.State.useApplication(ros.Cluster, &cfg); err != nil {
		return replica.Config{}, fmt.Errorf("cluster file %s: %w", c.Cluster, err)
	}
	if err := c.endpointKey(&cfg); err != nil {
		return replica.Config{}, err
	}
	cfg.ScrubEvery = time.Duration(c.ScrubEvery)
	switch {
	case c.ReserveMiB > 0:
		cfg.Reserve = c.ReserveMiB << 20
	case c.ReserveMiB < 0:
		cfg.Reserve = -1
	}
	return cfg, nil
}

// runReplica runs a replica until ctx ends, standard input closes (if wanted), or
// it fails.
func runReplica(ctx context.Context, local localConfig, untilStdin bool, stdin io.Reader, stderr io.Writer) error {
	logger := newLogger(stderr, local.LogLevel, local.LogFormat)
	cfg, err := local.serverConfig(logger)
	if err != nil {
		return err
	}
	if untilStdin {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			_, _ = io.Copy(io.Discard, bufio.NewReader(stdin))
			cancel()
		}()
	}
	defer keepHeadroom()()
	server, err := replica.Start(ctx, cfg)
	if err != nil {
		return err
	}
	stopEndpoint, err := local.startEndpoint(ctx, &cfg, server, logger)
	if err != nil {
		return errors.Join(err, server.Stop(context.WithoutCancel(ctx)))
	}
	self, _ := cfg.Roster.FindSelf(cfg.Keys.Public())
	m := cfg.Roster.Member(self)
	logger.Info("listening", "peers", firstOf(cfg.Listen, m.PeerAddress), "clients", firstOf(cfg.ClientListen, m.ClientAddress),
		"admin", firstOf(cfg.AdminListen, "none"), "data", cfg.DataDir)
	select {
	case <-ctx.Done():
		logger.Info("stopping")
	case <-server.Failed():
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	// Not ctx, which has ended: stopping has its own patience.
	stopErr := stopWithin(context.WithoutCancel(ctx), func(ctx context.Context) error {
		stopEndpoint() // it reads the state, which goes with the server
		return server.Stop(ctx)
	}, again)
	if err := server.Err(); err != nil {
		if stopErr != nil {
			logger.Error("stopping", "error", stopErr)
		}
		return err
	}
	return stopErr
}

// stopWithin stops, but for no longer than stopDeadline, or until another signal.
func stopWithin(ctx context.Context, stop func(context.Context) error, again <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- stop(ctx) }()
	deadline := time.NewTimer(stopDeadline)
	defer deadline.Stop()
	const noLoss = "as kill -9 would, which loses nothing that was acknowledged: start it again"
	select {
	case err := <-done:
		return err
	case s := <-again:
		return fmt.Errorf("ended at once by another signal (%v), %s", s, noLoss)
	case <-deadline.C:
		return fmt.Errorf("the replica did not stop within %v (does its disk answer?) and was ended, %s", stopDeadline, noLoss)
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
