package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	ecrypto "github.com/ethereum/go-ethereum/crypto"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
	"github.com/parley-bft/parley/statemachine/store"
)

var contractApplication = application{
	name: "contract", about: "Ethereum's contracts, with JSON-RPC",
	check: func(genesis json.RawMessage) error {
		_, err := contract.ParseGenesis(genesis)
		return err
	},
	onStore: func(cfg applicationConfig, s *store.Store) (statemachine.StateMachine, error) {
		g, err := contract.ParseGenesis(cfg.genesis)
		if err != nil {
			return nil, err
		}
		if cfg.policy != nil {
			return contract.NewGuarded(s, g, cfg.cluster, *cfg.policy)
		}
		return contract.New(s, g)
	},
	kinds: contract.Kinds,
	greet: greetContract,
	tryout: func(dir string) []string {
		return []string{"contract key --dir " + dir, "contract account --dir " + dir, "contract endpoints --dir " + dir}
	},
}

// greetContract sends a transaction of nobody to nobody.
func greetContract(ctx context.Context, s *session) (string, error) {
	g, err := contractGenesis(s.roster.Cluster)
	if err != nil {
		return "", err
	}
	if g.BaseFee > 0 {
		return fmt.Sprintf("  chain %d, where gas costs %d wei\n", g.ChainID, g.BaseFee), nil
	}
	key, err := ecrypto.GenerateKey()
	if err != nil {
		return "", err
	}
	to := ecrypto.PubkeyToAddress(key.PublicKey)
	tx, err := types.SignNewTx(key, types.LatestSigner(g.ChainConfig()), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(g.ChainID), To: &to, Gas: 21000, GasFeeCap: new(big.Int), GasTipCap: new(big.Int),
	})
	if err != nil {
		return "", err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return "", err
	}
	a, err := s.Do(ctx, raw)
	if err != nil {
		return "", err
	}
	o, err := contract.DecodeOutcome(a.Result)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("  chain %d: a first transaction, %v, is in block %d and used %d gas\n", g.ChainID, o.Hash, o.Height, o.GasUsed), nil
}

// endpointKey makes key the one that signs what the endpoint of a replica orders.
func (c localConfig) endpointKey(cfg *replica.Config) error {
	if c.ContractKey == "" {
		return nil
	}
	k, err := keyfile.LoadClient(c.ContractKey)
	if err != nil {
		return err
	}
	cfg.LocalClient = ed25519.NewSigner(k.Signing)
	return nil
}

// startEndpoint serves JSON-RPC if the replica is to. The function that it returns stops
// that.
func (c localConfig) startEndpoint(ctx context.Context, cfg *replica.Config, server *replica.Server, logger *slog.Logger) (func(), error) {
	if c.ContractListen == "" {
		return func() {}, nil
	}
	m, ok := server.Machine().(*contract.Machine)
	if !ok {
		return nil, errors.New("contractListen is given, and this cluster does not run contracts: leave it out")
	}
	var caller crypto.PublicKey // a stranger
	if cfg.LocalClient != nil {
		caller = cfg.LocalClient.Public()
	}
	e, err := endpoint.Start(ctx, endpoint.Config{
		Machine: m, Submit: server, Serving: server.Serving, Interrupted: server.Interrupted, Behind: server.Behind, Caller: caller, Listen: c.ContractListen, Remote: c.ContractRemote, Hosts: c.ContractHosts, Origins: c.ContractOrigins,
		MaxRequestBytes: int(cfg.Roster.Cluster.Parameters.MaxOperationBytes), Version: "parley/" + readBuildInfo().short(), Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	logger.Info("JSON-RPC", "url", e.URL(), "chain", m.Genesis().ChainID)
	return e.Stop, nil
}

// contractPatience is how long an answer that replicas do not give alike yet is asked
// for again.
const contractPatience = 20 * time.Millisecond
