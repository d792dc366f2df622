// Contract is a token that nobody has to trust anybody for: OpenZeppelin's ERC-20 on four
// replicas, driven by go-ethereum's own client. Run it:
//
//	go run ./examples/contract
//
// Four replicas start in this process, each with an endpoint that speaks Ethereum's
// JSON-RPC. Ann deploys the token through the first, Ben spends through the second, and
// the third is asked what happened. At the end one replica is stopped, and the others go
// on.
//
// The same works with ethers.js, cast or a wallet: give them one of the printed addresses.
package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"os"
	"os/signal"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
	"github.com/parley-bft/parley/statemachine/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "contract-*")
	if err != nil {
		log.Fatal(err)
	}
	err = run(ctx, dir, os.Stdout)
	_ = os.RemoveAll(dir)
	if err != nil {
		log.Fatal(err)
	}
}

// chain is a cluster that runs contracts.
type chain struct {
	cluster   *replica.LocalCluster
	machines  []*contract.Machine
	endpoints []*endpoint.Server
	clients   []*ethclient.Client
}

// startChain starts four replicas with an endpoint each. This is all that embedding
// contracts takes.
func startChain(ctx context.Context, dir string) (*chain, error) {
	c := new(chain)
	var failed error
	cluster, err := replica.StartLocal(ctx, replica.LocalConfig{Dir: dir, NewMachine: func() statemachine.StateMachine {
		s, err := store.Open(ctx, store.DefaultConfig())
		if err != nil {
			failed = err
			return nil
		}
		m, err := contract.New(s, contract.DefaultGenesis())
		if err != nil {
			failed = err
			return nil
		}
		c.machines = append(c.machines, m)
		return m
	}})
	if failed != nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	c.cluster = cluster
	for i, m := range c.machines {
		server := cluster.Servers[i]
		e, err := endpoint.Start(ctx, endpoint.Config{
			Machine: m, Submit: server, Listen: "127.0.0.1:0",
			// So that nobody is told what is in a state that was found wrong.
			Serving: server.Serving, Interrupted: server.Interrupted, Behind: server.Behind,
		})
		if err != nil {
			c.close()
			return nil, err
		}
		c.endpoints = append(c.endpoints, e)
		client, err := ethclient.DialContext(ctx, e.URL())
		if err != nil {
			c.close()
			return nil, err
		}
		c.clients = append(c.clients, client)
	}
	return c, nil
}

func (c *chain) close() {
	for _, client := range c.clients {
		client.Close()
	}
	for _, e := range c.endpoints {
		e.Stop()
	}
	_ = c.cluster.Close()
}

// account is a user with a key.
type account struct {
	key *ecdsa.PrivateKey
	at  common.Address
}

func newAccount() (*account, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, err
	}
	return &account{key, crypto.PubkeyToAddress(key.PublicKey)}, nil
}

// signs is the account as go-ethereum's bindings want it.
func (a *account) signs(ctx context.Context) *bind.TransactOpts {
	opts := bind.NewKeyedTransactor(a.key, new(big.Int).SetUint64(contract.DevChainID))
	opts.Context = ctx
	return opts
}

func run(ctx context.Context, dir string, out io.Writer) error {
	c, err := startChain(ctx, dir)
	if err != nil {
		return err
	}
	defer c.close()
	for i, e := range c.endpoints {
		fmt.Fprintf(out, "replica %d speaks JSON-RPC at %s\n", i, e.URL())
	}
	ann, err := newAccount()
	if err != nil {
		return err
	}
	ben, err := newAccount()
	if err != nil {
		return err
	}

	// Ann deploys a thousand coins through replica 0.
	coin := contracttest.Load("Coin")
	code := append(append([]byte(nil), coin.Code...), coin.Call("", big.NewInt(1000))...)
	token, tx, err := bind.DeployContract(ann.signs(ctx), code, c.clients[0], nil)
	if err != nil {
		return err
	}
	receipt, err := bind.WaitMined(ctx, c.clients[0], tx.Hash())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Ann's token is deployed in block %v, for %d gas\n", receipt.BlockNumber, receipt.GasUsed)

	// She pays Ben, who pays her back through replica 1, and once too much.
	at := func(i int) *bind.BoundContract {
		return bind.NewBoundContract(token, coin.ABI, c.clients[i], c.clients[i], c.clients[i])
	}
	pay := func(i int, from, to *account, amount int64) error {
		tx, err := at(i).Transact(from.signs(ctx), "transfer", to.at, big.NewInt(amount))
		if err != nil {
			return err
		}
		// Whoever pays next may do so through the other one, which may be a moment behind.
		for _, client := range c.clients[:2] {
			if _, err = bind.WaitMined(ctx, client, tx.Hash()); err != nil {
				return err
			}
		}
		return nil
	}
	if err := pay(0, ann, ben, 100); err != nil {
		return err
	}
	if err := pay(1, ben, ann, 30); err != nil {
		return err
	}
	if err := pay(1, ben, ann, 500); err == nil {
		return errors.New("a payment of what Ben does not have")
	}
	fmt.Fprintln(out, "Ben cannot pay 500: the contract refuses")

	// Replica 2 is asked what happened. It may be a moment behind the others.
	height, err := c.clients[1].BlockNumber(ctx)
	if err != nil {
		return err
	}
	if err := c.machines[2].Await(ctx, height); err != nil {
		return err
	}
	logs, err := c.clients[2].FilterLogs(ctx, ethereum.FilterQuery{FromBlock: new(big.Int), Addresses: []common.Address{token}})
	if err != nil {
		return err
	}
	for _, l := range logs {
		values, err := coin.ABI.Unpack("Transfer", l.Data)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "block %d: %s gave %s %v\n", l.BlockNumber, name(l.Topics[1], ann, ben), name(l.Topics[2], ann, ben), values[0])
	}

	// Three replicas of four go on.
	if err := c.cluster.Servers[3].Stop(ctx); err != nil {
		return err
	}
	if err := pay(0, ann, ben, 5); err != nil {
		return err
	}
	var balance []any
	if err := at(0).Call(&bind.CallOpts{Context: ctx}, &balance, "balanceOf", ben.at); err != nil {
		return err
	}
	fmt.Fprintf(out, "replica 3 has stopped, and Ben has %v\n", balance[0])
	return nil
}

func name(topic common.Hash, ann, ben *account) string {
	switch common.BytesToAddress(topic[:]) {
	case ann.at:
		return "Ann"
	case ben.at:
		return "Ben"
	}
	return "nobody"
}
