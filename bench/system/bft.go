package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/bench/load"
	"github.com/parley-bft/parley/bench/proc"
	"github.com/parley-bft/parley/bench/wire"
)

// bft is a cluster of SmartBFT or CometBFT. Its replicas number from 1.
type bft struct {
	processes
	system string
	base   int
	signed bool
	// all tells that clients send to all replicas: SmartBFT's own advice.
	all bool
	ids atomic.Uint64
}

const bftReplicas = 4

func startSmart(ctx context.Context, cfg Config) (Cluster, error) {
	return startBFT(ctx, cfg, &bft{system: "smartbft", all: true})
}

func startSmartSigned(ctx context.Context, cfg Config) (Cluster, error) {
	return startBFT(ctx, cfg, &bft{system: "smartbft", all: true, signed: true})
}

func startComet(ctx context.Context, cfg Config) (Cluster, error) {
	return startBFT(ctx, cfg, &bft{system: "cometbft"})
}

func startBFT(ctx context.Context, cfg Config, b *bft) (Cluster, error) {
	b.dir, b.base = cfg.Dir, ports()
	common := []string{"-system", b.system, "-base", strconv.Itoa(b.base)}
	if b.signed {
		common = append(common, "-client-signatures")
	}
	if b.system == "cometbft" {
		args := append(common, "-prepare", "-dir", b.dir)
		if out, err := exec.CommandContext(ctx, cfg.Programs.BFT, args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("prepare cometbft: %w: %s", err, out)
		}
	}
	b.launch = func(i int) (*proc.Child, error) {
		home := b.home(i)
		if err := os.MkdirAll(home, 0o755); err != nil {
			return nil, err
		}
		return proc.Start(b.log(i), cfg.Programs.BFT, append(common, "-id", strconv.Itoa(i+1), "-dir", home)...)
	}
	if err := b.startAll(bftReplicas); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	ops, end, err := b.Clients(ctx, 1, 1)
	if err == nil {
		err = ops[0](ctx)
		end()
	}
	if err != nil {
		b.Stop()
		return nil, fmt.Errorf("%s: no first operation: %w", b.system, err)
	}
	return b, nil
}

func (b *bft) home(i int) string { return filepath.Join(b.dir, strconv.Itoa(i+1)) }

// retry is after how long a client sends a command again, to all replicas.
const retry = time.Second

// Clients implements Cluster. One connection to each replica serves all of them,
// which costs the replicas less than several would.
func (b *bft) Clients(_ context.Context, n, _ int) (ops []load.Op, end func(), err error) {
	cfg := wire.NoticeConfig{Need: 2, All: b.all, Retry: retry, Patience: startPatience}
	for i := range b.children {
		if b.children[i] != nil {
			cfg.Addresses = append(cfg.Addresses, fmt.Sprintf("127.0.0.1:%d", b.base+100+i+1))
		}
	}
	c, err := wire.DialNotices(cfg)
	if err != nil {
		return nil, nil, err
	}
	op := func(ctx context.Context) error {
		id := b.ids.Add(1)
		command := wire.Command(id)
		if b.signed {
			command = wire.Sign(id, command)
		}
		return c.Do(ctx, command)
	}
	for range n {
		ops = append(ops, op)
	}
	return ops, c.Close, nil
}

// Leader implements Cluster.
func (b *bft) Leader(ctx context.Context) (int, error) {
	return await(ctx, b.system+"'s leader", func(ctx context.Context) (int, error) {
		if b.system == "cometbft" {
			return b.proposer(ctx)
		}
		votes := make(map[int]int)
		for i := range b.children {
			text, err := os.ReadFile(filepath.Join(b.home(i), "leader"))
			if err != nil {
				continue
			}
			id, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			if votes[id]++; id > 0 && votes[id] > bftReplicas/2 {
				return id - 1, nil
			}
		}
		return 0, errors.New("they do not agree")
	})
}

// proposer is CometBFT's proposer of this moment.
func (b *bft) proposer(ctx context.Context) (int, error) {
	var state struct {
		Result struct {
			RoundState struct {
				Proposer struct{ Address string } `json:"proposer"`
			} `json:"round_state"`
		}
	}
	for i, child := range b.children {
		if child == nil {
			continue
		}
		if err := getJSON(ctx, fmt.Sprintf("http://127.0.0.1:%d/consensus_state", b.base+200+i+1), &state); err == nil {
			break
		}
	}
	for i := range b.children {
		var key struct{ Address string }
		text, err := os.ReadFile(filepath.Join(b.home(i), "config", "priv_validator_key.json"))
		if err != nil {
			return 0, err
		}
		if err := json.Unmarshal(text, &key); err != nil {
			return 0, err
		}
		if key.Address != "" && key.Address == state.Result.RoundState.Proposer.Address {
			return i, nil
		}
	}
	return 0, errors.New("no proposer")
}

func getJSON(ctx context.Context, url string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(v)
}
