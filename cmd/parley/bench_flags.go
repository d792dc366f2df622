package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/kv"
)

// Bounds of what a benchmark may be asked for.
const (
	maxBenchClients = 60_000
	maxBenchRate    = 10_000_000
	// maxIdentities bounds the connections that a benchmark opens to each replica;
	// one serves 4096 unless it is told otherwise.
	maxIdentities = 2048
)

// validate checks the flags and makes points and pids of the lists.
func (b *bench) validate(cmd *cobra.Command) error {
	if err := b.readPoints(cmd); err != nil {
		return err
	}
	if err := b.readConnections(cmd); err != nil {
		return err
	}
	pids, err := parseList(b.pidList, strconv.Atoi)
	if err != nil {
		return usagef(cmd, "--pids is %q: give the numbers of processes, such as 11,12,13", b.pidList)
	}
	b.pids = pids
	switch largest := kv.DefaultLimits().MaxValueBytes; {
	case b.arrivals != "poisson" && b.arrivals != "even":
		return usagef(cmd, "--arrivals is %q: give poisson or even", b.arrivals)
	case b.size < 0 || b.size > largest:
		return usagef(cmd, "--size is %d: give 0 to %d", b.size, largest)
	case b.keys < 1 || b.keys > maxBenchKeys:
		return usagef(cmd, "--keys is %d: give 1 to %d", b.keys, maxBenchKeys)
	case b.seconds <= 0 || b.seconds > 86400:
		return usagef(cmd, "--seconds is %v: give a number above 0, up to 86400", b.seconds)
	case b.warmup < 0 || b.warmup > 86400:
		return usagef(cmd, "--warmup is %v: give a number from 0 to 86400", b.warmup)
	case b.runs < 1 || b.runs > 1000:
		return usagef(cmd, "--runs is %d: give 1 to 1000", b.runs)
	case b.maxQueueing < 0 || b.maxQueueing > time.Hour:
		return usagef(cmd, "--max-queueing is %v: give up to 1h, such as 500ms", b.maxQueueing)
	case b.plot != "" && plotKind(b.plot) == "":
		return usagef(cmd, "--plot is %q: name a file that ends in .svg or .html", b.plot)
	}
	return b.resolve(cmd)
}

func (b *bench) readPoints(cmd *cobra.Command) error {
	if cmd.Flags().Changed("rate") {
		if cmd.Flags().Changed("clients") {
			return usagef(cmd, "--clients is for the closed loop and --rate for the open one: give one of them")
		}
		rates, err := parseList(b.rateList, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
		if err != nil || len(rates) == 0 {
			return usagef(cmd, "--rate is %q: give numbers of operations a second, such as 1000,5000", b.rateList)
		}
		for _, r := range rates {
			if !(r > 0 && r <= maxBenchRate) {
				return usagef(cmd, "--rate is %v: give a number above 0, up to %d", r, maxBenchRate)
			}
			b.points = append(b.points, benchPoint{rate: r})
		}
		return nil
	}
	if cmd.Flags().Changed("arrivals") {
		return usagef(cmd, "--arrivals is for the open loop: give --rate too, or leave it out")
	}
	clients, err := parseList(b.clientList, strconv.Atoi)
	if err != nil || len(clients) == 0 {
		return usagef(cmd, "--clients is %q: give whole numbers, such as 1,16,128", b.clientList)
	}
	for _, n := range clients {
		if n < 1 || n > maxBenchClients {
			return usagef(cmd, "--clients is %d: give 1 to %d", n, maxBenchClients)
		}
		b.points = append(b.points, benchPoint{clients: n})
	}
	return nil
}

func (b *bench) readConnections(cmd *cobra.Command) error {
	given := cmd.Flags().Changed("connections")
	switch {
	case b.identities != "shared" && b.identities != "distinct":
		return usagef(cmd, "--identities is %q: give shared or distinct", b.identities)
	case given && cmd.Flags().Changed("identities"):
		return usagef(cmd, "--identities is %s and --connections %d: give one of them", b.identities, b.connections)
	case given && (b.connections < 1 || b.connections > maxIdentities):
		return usagef(cmd, "--connections is %d: give 1 to %d", b.connections, maxIdentities)
	case b.transports < 0 || b.transports > maxIdentities:
		return usagef(cmd, "--transports is %d: give 0 to %d", b.transports, maxIdentities)
	case b.identities == "distinct" && b.rateList != "":
		return usagef(cmd, "--identities is distinct, and an open loop (--rate) has no clients to count: say with --connections how many identities share the operations")
	}
	if b.identities == "distinct" {
		for _, p := range b.points {
			if p.clients > maxIdentities {
				return usagef(cmd, "--clients is %d: at most %d with distinct identities", p.clients, maxIdentities)
			}
		}
	}
	if !given {
		b.connections = 1
	}
	return nil
}

// parseList reads what stands between commas.
func parseList[T any](s string, parse func(string) (T, error)) (all []T, err error) {
	if s == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		v, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// plotKind is "svg", "html" or nothing.
func plotKind(path string) string {
	switch kind := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), "."); kind {
	case "svg", "html":
		return kind
	}
	return ""
}
