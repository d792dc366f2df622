package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/internal/strictjson"
)

// localFormat is the version of replica.json.
const localFormat = 1

// localConfig is replica.json: what concerns one replica on its machine and need
// not be agreed on. Paths are relative to the file. Empty means the default.
type localConfig struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	Key     string `json:"key"`
	Data    string `json:"data"`

	// Listen and ClientListen replace the member's addresses of the cluster file,
	// where the replica is behind an address translation.
	Listen       string `json:"listen,omitempty"`
	ClientListen string `json:"clientListen,omitempty"`
	AdminListen  string `json:"adminListen,omitempty"`
	AdminRemote  bool   `json:"adminRemote,omitempty"`
	Pprof        bool   `json:"pprof,omitempty"`

	// ContractListen is the address of Ethereum's JSON-RPC where the cluster runs contracts,
	// empty for none, a loopback address unless ContractRemote; ContractKey is the file
	// with the key of a client that signs what the endpoint has ordered. ContractHosts and
	// ContractOrigins are the names by which it answers and the web pages that may use it.
	ContractListen  string   `json:"contractListen,omitempty"`
	ContractRemote  bool     `json:"contractRemote,omitempty"`
	ContractKey     string   `json:"contractKey,omitempty"`
	ContractHosts   []string `json:"contractHosts,omitempty"`
	ContractOrigins []string `json:"contractOrigins,omitempty"`

	LogLevel  string `json:"logLevel,omitempty"`  // debug, info, warn, error
	LogFormat string `json:"logFormat,omitempty"` // text or json

	// State is about the application's state, where that is kept on the disk.
	State stateConfig `json:"state,omitzero"`

	// ReserveMiB must stay free on the disks that have the log and the application's state:
	// the replica stops before they are full. 0 is the default, 256, and -1 no guard.
	ReserveMiB int64 `json:"reserveMiB,omitempty"`
	// PoolMiB and PoolPerClient bound the requests that wait here.
	PoolMiB       int `json:"poolMiB,omitempty"`
	PoolPerClient int `json:"poolPerClient,omitempty"`
	// RetainBlocks stay below the last snapshot for replicas that lag and for
	// receipts: a checkpoint interval, at least 1024.
	RetainBlocks uint64 `json:"retainBlocks,omitempty"`
	// ReceiptBlocks is for how many blocks below the last snapshot receipts can be
	// had: as many as RetainBlocks, which is the most. -1: none.
	ReceiptBlocks int64 `json:"receiptBlocks,omitempty"`
	// TraceBlocks is of how many of the last blocks 'parley trace' can tell: 4096. -1:
	// none.
	TraceBlocks int `json:"traceBlocks,omitempty"`
	// ScrubEvery is how often all that the application keeps on the disk is read, to find
	// what the disk has damaged: 168h. A negative one: never.
	ScrubEvery crypto.Duration `json:"scrubEvery,omitempty"`
	// Tick is the unit of the protocol's timeouts.
	Tick crypto.Duration `json:"tick,omitempty"`
}

func defaultLocalConfig() localConfig {
	return localConfig{
		Format: localFormat, Cluster: filepath.Join("..", clusterFileName), Key: replicaKeyName, Data: dataDirName,
		LogLevel: "info", LogFormat: "text", ReserveMiB: 256,
	}
}

func (c localConfig) write(path string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// loadLocalConfig reads replica.json and makes its paths absolute or relative to
// the working folder.
func loadLocalConfig(path string) (localConfig, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return localConfig{}, fmt.Errorf("local settings: %w", err)
	}
	var c localConfig
	if err := strictjson.Decode(data, &c); err != nil {
		return c, fmt.Errorf("local settings %s: %w ('parley init' writes an example)", path, err)
	}
	if c.Format != localFormat {
		return c, fmt.Errorf("local settings %s: format is %d, this program knows %d: use the program that the file is for, or write %d and check every field",
			path, c.Format, localFormat, localFormat)
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("local settings %s: %w", path, err)
	}
	dir := filepath.Dir(path)
	for _, p := range []*string{&c.Cluster, &c.Key, &c.Data, &c.ContractKey} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return c, nil
}

func (c *localConfig) validate() error {
	switch {
	case c.LogLevel != "" && !slices.Contains(logLevels, c.LogLevel):
		return fmt.Errorf("logLevel is %q: write one of %v", c.LogLevel, logLevels)
	case c.LogFormat != "" && !slices.Contains(logFormats, c.LogFormat):
		return fmt.Errorf("logFormat is %q: write one of %v", c.LogFormat, logFormats)
	case c.ReserveMiB < -1:
		return fmt.Errorf("reserveMiB is %d: write the MiB to keep free, or -1 for no guard", c.ReserveMiB)
	case c.PoolMiB < 0 || c.PoolMiB > 1<<20:
		return fmt.Errorf("poolMiB is %d: write 1 to %d", c.PoolMiB, 1<<20)
	case c.PoolPerClient < 0:
		return fmt.Errorf("poolPerClient is %d: write a positive number", c.PoolPerClient)
	case c.ReceiptBlocks < -1:
		return fmt.Errorf("receiptBlocks is %d: write a number of blocks, or -1 for no receipts", c.ReceiptBlocks)
	case c.TraceBlocks < -1 || c.TraceBlocks > 1<<20:
		return fmt.Errorf("traceBlocks is %d: write a number of blocks up to %d, or -1 for none", c.TraceBlocks, 1<<20)
	case c.Tick != 0 && (time.Duration(c.Tick) < time.Millisecond || time.Duration(c.Tick) > time.Second):
		return fmt.Errorf("tick is %v: write 1ms to 1s", c.Tick)
	}
	return c.State.validate()
}
