package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	ecrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
)

// contractTarget is a cluster that runs contracts.
type contractTarget struct {
	target
	json bool
}

func newContractTarget() *contractTarget {
	return &contractTarget{target: target{app: contractApplication.name}}
}

func (t *contractTarget) flags(cmd *cobra.Command) {
	t.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&t.json, "json", false, "print JSON")
}

func contractGenesis(c *crypto.Cluster) (*contract.Genesis, error) {
	_, own, err := splitGenesis(c.Application.Genesis)
	if err != nil {
		return nil, err
	}
	return contract.ParseGenesis(own)
}

// contractReading is a connection to all replicas, for reads that more of them agree on than may
// be faulty.
type contractReading struct {
	ctx    context.Context
	dir    *directory
	cancel func()
}

func (t *contractTarget) read(cmd *cobra.Command) (*contractReading, error) {
	if err := t.resolve(cmd); err != nil {
		return nil, err
	}
	d, err := t.direct()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), t.timeout)
	return &contractReading{ctx, d, func() { cancel(); d.close() }}, nil
}

// contractCallError is an error that replicas agree on.
type contractCallError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

func (e *contractCallError) Error() string { return e.Message }

// call makes a call of JSON-RPC and decodes its result.
func (r *contractReading) call(result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	q, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	answer, err := r.agree(q)
	if err != nil {
		return err
	}
	var reply struct {
		Result json.RawMessage    `json:"result"`
		Error  *contractCallError `json:"error"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return fmt.Errorf("the cluster's answer: %w", err)
	}
	if reply.Error != nil {
		return reply.Error
	}
	return json.Unmarshal(reply.Result, result)
}

// agree asks all replicas until some say the same that cannot all be faulty. They may
// differ for a moment, while one has executed a block that another has not.
func (r *contractReading) agree(q []byte) ([]byte, error) {
	for {
		answer, err := r.poll(q)
		if answer != nil || r.ctx.Err() != nil || errors.Is(err, client.ErrQuery) {
			return answer, err
		}
		select {
		case <-time.After(contractPatience):
		case <-r.ctx.Done():
			return nil, fmt.Errorf("replicas did not agree on an answer: %w", errors.Join(r.ctx.Err(), err))
		}
	}
}

func (r *contractReading) poll(q []byte) ([]byte, error) {
	type said struct {
		weight uint64
		answer []byte
		err    error
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	ros := r.dir.roster
	all := make(chan said, ros.N())
	for i, w := range ros.Weights() {
		go func() {
			m, err := r.dir.replica(i).Query(ctx, &api.QueryRequest{Query: q})
			if err != nil {
				all <- said{weight: w, err: fmt.Errorf("%s: %w", r.dir.name(i), err)}
				return
			}
			all <- said{w, m.Answer, nil}
		}()
	}
	weights, refusals := make(map[string]uint64), make(map[string]uint64)
	refused := uint64(0)
	var errs []error
	for range ros.N() {
		s := <-all
		if no := status.Convert(s.err); no.Code() == codes.InvalidArgument { // it will say no again
			refused += s.weight
			if refusals[no.Message()] += s.weight; refusals[no.Message()] > ros.Cluster.FaultyWeight() {
				return nil, fmt.Errorf("%w: %s", client.ErrQuery, no.Message())
			}
		}
		if s.err != nil {
			errs = append(errs, s.err)
			continue
		}
		if weights[string(s.answer)] += s.weight; weights[string(s.answer)] > ros.Cluster.FaultyWeight() {
			return append([]byte{}, s.answer...), nil
		}
	}
	if refused > ros.Cluster.FaultyWeight() { // though not all in the same words, of which one's may be anything
		return nil, fmt.Errorf("%w: %w", client.ErrQuery, errors.Join(errs...))
	}
	return nil, errors.Join(errs...)
}

// accountFile is where an account's key is if no other file is named.
const accountFile = "account.key"

// txSender is an account that signs transactions.
type txSender struct {
	contractTarget
	key   string
	value string
	gas   uint64
	nonce int64 // -1: the account's next one

	receipt string
	noProof *noProofError // why there is no receipt of what ran
}

func (s *txSender) flags(cmd *cobra.Command) {
	s.contractTarget.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.key, "account", "", "file with the account's key (default "+accountFile+" in --dir; 'parley contract key' makes it)")
	f.StringVar(&s.value, "value", "0", "wei to send along, in decimal or 0x...")
	f.Uint64Var(&s.gas, "gas", 0, "gas limit, the most that it may use (default estimated by trying it, which also finds out beforehand whether the contract refuses it)")
	f.Int64Var(&s.nonce, "nonce", -1, "the transaction's number among those of the account, from 0 (default the account's next one)")
	f.StringVar(&s.receipt, "receipt", "", "write the proof of the outcome to this new file (waits for the next checkpoint)")
}

// submit signs a transaction, has it executed, and returns its outcome. A refusal, also
// by the contract, is an error.
func (s *txSender) submit(cmd *cobra.Command, to *common.Address, data []byte, contractABI *abi.ABI) (*contract.Outcome, error) {
	value, ok := new(big.Int).SetString(s.value, 0)
	if !ok || value.Sign() < 0 || value.BitLen() > 256 {
		return nil, usagef(cmd, "--value is %q: give the wei in decimal or 0x...", s.value)
	}
	if s.nonce < -1 {
		return nil, usagef(cmd, "--nonce is %d: give a number from 0, or leave it out", s.nonce)
	}
	if s.receipt != "" {
		if err := checkNew(s.receipt); err != nil {
			return nil, fmt.Errorf("--receipt: %w", err)
		}
	}
	r, err := s.read(cmd)
	if err != nil {
		return nil, err
	}
	defer r.cancel()
	path := s.key
	if path == "" {
		path = filepath.Join(filepath.Dir(s.cluster), accountFile)
	}
	key, err := ecrypto.LoadECDSA(path)
	if err != nil {
		return nil, fmt.Errorf("account key %s: %w", path, err)
	}
	from := ecrypto.PubkeyToAddress(key.PublicKey)
	g, err := contractGenesis(r.dir.roster.Cluster)
	if err != nil {
		return nil, err
	}
	nonce := hexutil.Uint64(s.nonce)
	if s.nonce < 0 {
		if err := r.call(&nonce, "eth_getTransactionCount", from, "latest"); err != nil {
			return nil, err
		}
	}
	gas := hexutil.Uint64(s.gas)
	if gas == 0 {
		args := map[string]any{"from": from, "to": to, "value": (*hexutil.Big)(value), "data": hexutil.Bytes(data)}
		if err := r.call(&gas, "eth_estimateGas", args, "latest"); err != nil {
			return nil, notSent(err, contractABI)
		}
	}
	price := new(big.Int).SetUint64(g.BaseFee)
	tx, err := types.SignNewTx(key, types.LatestSigner(g.ChainConfig()), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(g.ChainID), Nonce: uint64(nonce), To: to, Value: value, Data: data,
		Gas: uint64(gas), GasFeeCap: price, GasTipCap: new(big.Int),
	})
	if err != nil {
		return nil, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return nil, err
	}
	c, err := s.connect(r.ctx, nil)
	if err != nil {
		return nil, err
	}
	defer c.close()
	a, err := c.Do(r.ctx, raw)
	if err != nil {
		return nil, err
	}
	if s.receipt != "" {
		proof, err := c.Receipt(r.ctx, a.Ref, raw)
		if err == nil {
			err = writeNew(s.receipt, proof.Encode())
		}
		if err != nil {
			s.noProof = &noProofError{fmt.Sprintf("the transaction was committed in block %d", a.Ref.Height), err}
		}
	}
	o, err := contract.DecodeOutcome(a.Result)
	var rejected *contract.RejectedError
	switch {
	case errors.As(err, &rejected):
		return nil, &absentError{"refused, and nothing was changed: " + r.rejection(rejected.Code, g, from, tx)}
	case err != nil:
		return nil, err
	case a.Result.Code != statemachine.CodeOK:
		return o, &absentError{fmt.Sprintf("transaction %v in block %d failed, and only its nonce and %d gas are used up: %s",
			o.Hash, o.Height, o.GasUsed, failureText(a.Result.Code, o, tx, contractABI))}
	}
	return o, nil
}
