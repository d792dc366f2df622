package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cometbft/cometbft/abci/example/kvstore"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/log"
	cometnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"github.com/parley-bft/parley/bench/wire"
)

// cometConfig is what somebody sets who wants CometBFT to be fast: no pause between
// blocks, no index, quick gossip, no limits on rates. Timeouts are its defaults.
func cometConfig(n node, home string, i int) *config.Config {
	c := config.DefaultConfig()
	c.SetRoot(home)
	c.Moniker = fmt.Sprintf("node%d", i)
	c.LogLevel = "error"
	c.RPC.ListenAddress = "tcp://" + n.rpc(i)
	c.GRPC.ListenAddress = ""
	c.P2P.ListenAddress = "tcp://" + n.peer(i)
	c.P2P.AddrBookStrict = false
	c.P2P.AllowDuplicateIP = true
	c.P2P.PexReactor = false
	c.P2P.FlushThrottleTimeout = time.Millisecond
	c.P2P.SendRate, c.P2P.RecvRate = 500<<20, 500<<20
	c.P2P.MaxPacketMsgPayloadSize = 64 << 10
	c.Consensus.TimeoutCommit = 0
	c.Consensus.CreateEmptyBlocks = false
	c.Consensus.PeerGossipSleepDuration = time.Millisecond
	c.Mempool.Size, c.Mempool.CacheSize = 50_000, 100_000
	c.Mempool.MaxTxsBytes = 1 << 30
	c.Mempool.Recheck = false
	c.TxIndex.Indexer = "null"
	c.Storage.DiscardABCIResponses = true
	return c
}

func cometHome(dir string, i int) string { return filepath.Join(dir, fmt.Sprint(i)) }

// prepareComet makes keys and the genesis file of a network, one folder a node.
func prepareComet(n node) error {
	var validators []types.GenesisValidator
	for i := 1; i <= replicas; i++ {
		c := cometConfig(n, cometHome(n.dir, i), i)
		for _, folder := range []string{"config", "data"} {
			if err := os.MkdirAll(filepath.Join(c.RootDir, folder), 0o755); err != nil {
				return err
			}
		}
		key := privval.NewFilePV(ed25519.GenPrivKey(), c.PrivValidatorKeyFile(), c.PrivValidatorStateFile())
		key.Save()
		if _, err := p2p.LoadOrGenNodeKey(c.NodeKeyFile()); err != nil {
			return err
		}
		public, err := key.GetPubKey()
		if err != nil {
			return err
		}
		validators = append(validators, types.GenesisValidator{Address: public.Address(), PubKey: public, Power: 1, Name: c.Moniker})
	}
	genesis := &types.GenesisDoc{ChainID: "bench", GenesisTime: time.Now(), ConsensusParams: types.DefaultConsensusParams(), InitialHeight: 1, Validators: validators}
	for i := 1; i <= replicas; i++ {
		if err := genesis.SaveAs(filepath.Join(cometHome(n.dir, i), "config", "genesis.json")); err != nil {
			return err
		}
	}
	return nil
}

// reporter tells clients of a block's commands once the application has committed it.
type reporter struct {
	*kvstore.Application
	ids     []uint64
	clients *wire.NoticeServer
}

// FinalizeBlock implements the application.
func (r *reporter) FinalizeBlock(ctx context.Context, q *abci.FinalizeBlockRequest) (*abci.FinalizeBlockResponse, error) {
	r.ids = r.ids[:0]
	for _, tx := range q.Txs {
		if id, ok := wire.ID(tx); ok {
			r.ids = append(r.ids, id)
		}
	}
	return r.Application.FinalizeBlock(ctx, q)
}

// Commit implements the application.
func (r *reporter) Commit(ctx context.Context, q *abci.CommitRequest) (*abci.CommitResponse, error) {
	answer, err := r.Application.Commit(ctx, q)
	if len(r.ids) > 0 {
		r.clients.Executed(r.ids)
	}
	return answer, err
}

// runComet is one node with CometBFT's own key-value store.
func runComet(n node) error {
	if n.prepare {
		return prepareComet(n)
	}
	c := cometConfig(n, n.dir, n.id)
	for i := 1; i <= replicas; i++ {
		if i == n.id {
			continue
		}
		key, err := p2p.LoadNodeKey(cometConfig(n, cometHome(filepath.Dir(n.dir), i), i).NodeKeyFile())
		if err != nil {
			return err
		}
		if c.P2P.PersistentPeers != "" {
			c.P2P.PersistentPeers += ","
		}
		c.P2P.PersistentPeers += p2p.IDAddressString(key.ID(), n.peer(i))
	}
	validator := privval.LoadFilePV(c.PrivValidatorKeyFile(), c.PrivValidatorStateFile())
	nodeKey, err := p2p.LoadNodeKey(c.NodeKeyFile())
	if err != nil {
		return err
	}
	clients := new(wire.NoticeServer)
	app := &reporter{Application: kvstore.NewPersistentApplication(filepath.Join(n.dir, "data")), clients: clients}
	logger := log.NewFilter(log.NewTMLogger(log.NewSyncWriter(os.Stderr)), log.AllowError())
	comet, err := cometnode.NewNode(context.Background(), c, validator, nodeKey, proxy.NewConnSyncLocalClientCreator(app),
		cometnode.DefaultGenesisDocProviderFunc(c), config.DefaultDBProvider, cometnode.DefaultMetricsProvider(c.Instrumentation), logger)
	if err != nil {
		return err
	}
	if err := comet.Start(); err != nil {
		return err
	}
	pool := comet.Mempool()
	if err := clients.Listen(n.client(n.id), func(tx []byte) { _, _ = pool.CheckTx(tx, "") }); err != nil {
		return err
	}
	<-comet.Quit()
	return fmt.Errorf("the node has stopped")
}
