package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"

	"crypto/ecdsa"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	ecrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/contract"
)

func newContractKey() *cobra.Command {
	t := newContractTarget()
	var path string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make an account's key, or show the address of one",
		Long: `Make the key of an Ethereum account, in a file that only you can read, and print the
account's address. If the file is there already its address is printed.

The file holds the key as 64 digits, as geth's 'account import' reads it.`,
		Example: `  parley contract key --dir demo
  parley contract key --account alice.key`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				if err := t.resolve(cmd); err != nil {
					return err
				}
				path = filepath.Join(filepath.Dir(t.cluster), accountFile)
			}
			key, err := contractAccountKey(path)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), ecrypto.PubkeyToAddress(key.PublicKey))
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&path, "account", "", "the key's file (default "+accountFile+" in --dir)")
	return cmd
}

// contractAccountKey reads a key, or makes it.
func contractAccountKey(path string) (*ecdsa.PrivateKey, error) {
	if _, err := os.Lstat(path); err == nil {
		return ecrypto.LoadECDSA(path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(ecrypto.S256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%x", ecrypto.FromECDSA(key))
	return key, errors.Join(err, f.Close())
}

func addressArg(cmd *cobra.Command, s string) (common.Address, error) {
	if !common.IsHexAddress(s) {
		return common.Address{}, usagef(cmd, "%q is no address: write 0x and 40 digits", s)
	}
	return common.HexToAddress(s), nil
}

func newContractAccount() *cobra.Command {
	t := newContractTarget()
	var path string
	cmd := &cobra.Command{
		Use:     "account [ADDRESS]",
		Short:   "Show an account: balance, nonce, code",
		Long:    "Show an account's balance in wei, the nonce of its next transaction, and the size of its code.\nWithout an address it is that of the key file.",
		Example: "  parley contract account --dir demo 0x4e59b44847b379578588920cA78FbF26c0B4956C",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := t.read(cmd)
			if err != nil {
				return err
			}
			defer r.cancel()
			var addr common.Address
			if len(args) == 1 {
				if addr, err = addressArg(cmd, args[0]); err != nil {
					return err
				}
			} else {
				if path == "" {
					path = filepath.Join(filepath.Dir(t.cluster), accountFile)
				}
				key, err := ecrypto.LoadECDSA(path)
				if err != nil {
					return fmt.Errorf("account key %s: %w", path, err)
				}
				addr = ecrypto.PubkeyToAddress(key.PublicKey)
			}
			var balance hexutil.Big
			var nonce hexutil.Uint64
			var code hexutil.Bytes
			if err := errors.Join(r.call(&balance, "eth_getBalance", addr, "latest"), r.call(&nonce, "eth_getTransactionCount", addr, "latest"),
				r.call(&code, "eth_getCode", addr, "latest")); err != nil {
				return err
			}
			if t.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"address": addr, "balance": balance.ToInt().String(), "nonce": uint64(nonce), "codeBytes": len(code),
				})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%v: %v wei, nonce %d, %d bytes of code\n", addr, balance.ToInt(), uint64(nonce), len(code))
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&path, "account", "", "the key's file (default "+accountFile+" in --dir)")
	return cmd
}

func newContractDeploy() *cobra.Command {
	var s txSender
	s.contractTarget = *newContractTarget()
	cmd := &cobra.Command{
		Use:   "deploy ARTIFACT [ARGUMENT ...]",
		Short: "Deploy a contract",
		Long: `Deploy the contract of an artifact, the JSON file with abi and bytecode that a compiler
made (solc, Hardhat, Foundry), and print its address. The arguments are the
constructor's: numbers in decimal or 0x..., bytes as 0x..., lists as JSON.`,
		Example: "  parley contract deploy --dir demo Coin.json 1000000",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := loadArtifact(args[0])
			if err != nil {
				return err
			}
			if len(a.code) == 0 {
				return usagef(cmd, "%s has no bytecode: give the artifact of a contract that can be deployed", args[0])
			}
			data, err := packABI(a.abi.Constructor.Inputs, args[1:])
			if err != nil {
				return usagef(cmd, "constructor: %v", err)
			}
			o, err := s.submit(cmd, nil, append(a.code, data...), &a.abi)
			if err != nil {
				return err
			}
			return s.report(cmd, o, &a.abi)
		},
	}
	s.flags(cmd)
	return cmd
}

// packMethod finds a method and encodes its arguments.
func packMethod(cmd *cobra.Command, a *artifact, name string, args []string) (*abi.Method, []byte, error) {
	m, ok := a.abi.Methods[name]
	if !ok {
		return nil, nil, usagef(cmd, "the contract has no method %q", name)
	}
	data, err := packABI(m.Inputs, args)
	if err != nil {
		return nil, nil, usagef(cmd, "%s: %v", name, err)
	}
	return &m, append(append([]byte(nil), m.ID...), data...), nil
}

func newContractSend() *cobra.Command {
	var s txSender
	s.contractTarget = *newContractTarget()
	var file, data string
	cmd := &cobra.Command{
		Use:   "send ADDRESS [METHOD [ARGUMENT ...]]",
		Short: "Send a transaction: call a method, or pay",
		Long: `Send a transaction to an address and wait for its outcome. With --abi a method is called;
--data sends bytes as they are; without either it is a payment of --value.

Exit code 4 says that the transaction was refused, or failed in the chain; what it
did is undone then.`,
		Example: `  parley contract send --dir demo --abi Coin.json 0xADDRESS transfer 0xACCOUNT 5
  parley contract send --dir demo --value 1000000000000000000 0xACCOUNT`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := addressArg(cmd, args[0])
			if err != nil {
				return err
			}
			var input []byte
			var known *abi.ABI
			switch {
			case len(args) > 1 && file == "":
				return usagef(cmd, "--abi is missing: name the file that says what %s takes", args[1])
			case len(args) > 1 && data != "":
				return usagef(cmd, "--data says it all: leave out the method")
			case len(args) > 1:
				a, err := loadArtifact(file)
				if err != nil {
					return err
				}
				known = &a.abi
				if _, input, err = packMethod(cmd, a, args[1], args[2:]); err != nil {
					return err
				}
			case data != "":
				if input, err = hexutil.Decode(data); err != nil {
					return usagef(cmd, "--data: %v", err)
				}
			}
			o, err := s.submit(cmd, &to, input, known)
			if err != nil {
				return err
			}
			return s.report(cmd, o, known)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&file, "abi", "", "artifact or ABI of the contract")
	cmd.Flags().StringVar(&data, "data", "", "the transaction's data, 0x...")
	return cmd
}

// report says what became of a transaction.
func (s *txSender) report(cmd *cobra.Command, o *contract.Outcome, known *abi.ABI) error {
	out := cmd.OutOrStdout()
	if s.json {
		j := map[string]any{"transaction": o.Hash, "block": o.Height, "index": o.Index, "gasUsed": o.GasUsed, "logs": len(o.Logs)}
		if o.Contract != (common.Address{}) {
			j["contract"] = o.Contract
		}
		if err := json.NewEncoder(out).Encode(j); err != nil {
			return err
		}
		return s.proven()
	}
	fmt.Fprintf(out, "transaction %v in block %d, %d gas\n", o.Hash, o.Height, o.GasUsed)
	if o.Contract != (common.Address{}) {
		fmt.Fprintf(out, "contract %v\n", o.Contract)
	}
	for _, l := range o.Logs {
		printContractLog(out, l, known)
	}
	return s.proven()
}

// proven says that the receipt of what ran is missing, if it is.
func (s *txSender) proven() error {
	if s.noProof == nil {
		return nil
	}
	return s.noProof
}

func printContractLog(out io.Writer, l *types.Log, known *abi.ABI) {
	if known != nil && len(l.Topics) > 0 {
		if e, err := known.EventByID(l.Topics[0]); err == nil {
			values := make(map[string]any)
			var indexed abi.Arguments
			for _, in := range e.Inputs {
				if in.Indexed {
					indexed = append(indexed, in)
				}
			}
			if e.Inputs.UnpackIntoMap(values, l.Data) == nil && abi.ParseTopicsIntoMap(values, indexed, l.Topics[1:]) == nil {
				fmt.Fprintf(out, "  %v %s", l.Address, e.Name)
				for _, in := range e.Inputs {
					fmt.Fprintf(out, " %s=%s", in.Name, formatABIValue(values[in.Name]))
				}
				fmt.Fprintln(out)
				return
			}
		}
	}
	fmt.Fprintf(out, "  %v topics=%v data=%s\n", l.Address, l.Topics, hexutil.Encode(l.Data))
}

func newContractCall() *cobra.Command {
	t := newContractTarget()
	var file, from string
	cmd := &cobra.Command{
		Use:   "call ADDRESS METHOD [ARGUMENT ...]",
		Short: "Call a method without changing anything",
		Long: `Call a method on the last state and print what it returns, one value a line. The answer
is what more replicas than may be faulty say alike.`,
		Example: "  parley contract call --dir demo --abi Coin.json 0xADDRESS balanceOf 0xACCOUNT",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := addressArg(cmd, args[0])
			if err != nil {
				return err
			}
			if file == "" {
				return usagef(cmd, "--abi is missing: name the file that says what %s takes", args[1])
			}
			a, err := loadArtifact(file)
			if err != nil {
				return err
			}
			m, data, err := packMethod(cmd, a, args[1], args[2:])
			if err != nil {
				return err
			}
			call := map[string]any{"to": to, "data": hexutil.Bytes(data)}
			if from != "" {
				if call["from"], err = addressArg(cmd, from); err != nil {
					return err
				}
			}
			r, err := t.read(cmd)
			if err != nil {
				return err
			}
			defer r.cancel()
			var out hexutil.Bytes
			if err := r.call(&out, "eth_call", call, "latest"); err != nil {
				return contractRefusal(err, &a.abi)
			}
			values, err := m.Outputs.Unpack(out)
			if err != nil {
				return fmt.Errorf("%s returned %s: %w (is that its ABI, and a contract there?)", args[1], out, err)
			}
			if t.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(values)
			}
			for _, v := range values {
				fmt.Fprintln(cmd.OutOrStdout(), formatABIValue(v))
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&file, "abi", "", "artifact or ABI of the contract")
	cmd.Flags().StringVar(&from, "from", "", "the address that calls")
	return cmd
}

func newContractReceipt() *cobra.Command {
	t := newContractTarget()
	var file string
	cmd := &cobra.Command{
		Use:     "receipt HASH",
		Short:   "Show a transaction's receipt",
		Long:    "Show what became of a transaction. Exit code 4 if the cluster knows none of that hash.",
		Example: "  parley contract receipt --dir demo 0xHASH",
		Args:    exactArgs("HASH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := hexutil.Decode(args[0])
			if err != nil || len(b) != common.HashLength {
				return usagef(cmd, "%q is no transaction's hash: write 0x and 64 digits", args[0])
			}
			known, err := optionalABI(file)
			if err != nil {
				return err
			}
			r, err := t.read(cmd)
			if err != nil {
				return err
			}
			defer r.cancel()
			var raw json.RawMessage
			if err := r.call(&raw, "eth_getTransactionReceipt", common.BytesToHash(b)); err != nil {
				return err
			}
			if string(raw) == "null" {
				return &absentError{"there is no transaction " + args[0]}
			}
			if t.json {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
				return nil
			}
			var rc types.Receipt
			if err := json.Unmarshal(raw, &rc); err != nil {
				return err
			}
			status := "succeeded"
			if rc.Status != types.ReceiptStatusSuccessful {
				status = "failed"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "transaction %v %s in block %v, %d gas\n", rc.TxHash, status, rc.BlockNumber, rc.GasUsed)
			if rc.ContractAddress != (common.Address{}) {
				fmt.Fprintf(cmd.OutOrStdout(), "contract %v\n", rc.ContractAddress)
			}
			for _, l := range rc.Logs {
				printContractLog(cmd.OutOrStdout(), l, known)
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&file, "abi", "", "artifact or ABI, to name the events")
	return cmd
}

func optionalABI(file string) (*abi.ABI, error) {
	if file == "" {
		return nil, nil
	}
	a, err := loadArtifact(file)
	if err != nil {
		return nil, err
	}
	return &a.abi, nil
}

func newContractLogs() *cobra.Command {
	t := newContractTarget()
	var file, event string
	var from, to int64
	cmd := &cobra.Command{
		Use:   "logs [ADDRESS]",
		Short: "List events",
		Long: `List the events of a contract, or of all, oldest first. At most 10,000 blocks can be looked
through at once.`,
		Example: `  parley contract logs --dir demo --abi Coin.json --event Transfer 0xADDRESS
  parley contract logs --dir demo --from 100 --to 200 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			known, err := optionalABI(file)
			if err != nil {
				return err
			}
			filter := map[string]any{"fromBlock": (*hexutil.Big)(big.NewInt(from))}
			if to >= 0 {
				filter["toBlock"] = (*hexutil.Big)(big.NewInt(to))
			}
			if len(args) == 1 {
				if filter["address"], err = addressArg(cmd, args[0]); err != nil {
					return err
				}
			}
			if event != "" {
				if known == nil {
					return usagef(cmd, "--abi is missing: name the file that has the event %s", event)
				}
				e, ok := known.Events[event]
				if !ok {
					return usagef(cmd, "the contract has no event %q", event)
				}
				filter["topics"] = []any{e.ID}
			}
			r, err := t.read(cmd)
			if err != nil {
				return err
			}
			defer r.cancel()
			var logs []*types.Log
			if err := r.call(&logs, "eth_getLogs", filter); err != nil {
				return err
			}
			for _, l := range logs {
				if t.json {
					if err := json.NewEncoder(cmd.OutOrStdout()).Encode(l); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "block %d", l.BlockNumber)
				printContractLog(cmd.OutOrStdout(), l, known)
			}
			return nil
		},
	}
	t.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&file, "abi", "", "artifact or ABI, to name the events")
	f.StringVar(&event, "event", "", "only this event of --abi")
	f.Int64Var(&from, "from", 0, "first block")
	f.Int64Var(&to, "to", -1, "last block (default the last there is)")
	return cmd
}

func newContractEndpoints() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "endpoints --dir DIR",
		Short: "List the addresses of JSON-RPC",
		Long: `List where the replicas in a cluster's folder serve JSON-RPC, for ethers.js, cast and
other tools, one URL a line. Each speaks for its replica alone.`,
		Example: "  cast block-number --rpc-url $(parley contract endpoints --dir demo | head -1)",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := target{app: contractApplication.name, dir: dir}
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ros, err := t.load()
			if err != nil {
				return err
			}
			for i := range ros.N() {
				local, err := loadLocalConfig(replicaConfigPath(replicaDir(filepath.Dir(t.cluster), i)))
				if errors.Is(err, os.ErrNotExist) {
					continue // on another machine
				}
				if err != nil {
					return err
				}
				if local.ContractListen != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "http://%s\n", local.ContractListen)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the cluster's folder (default $"+dirVariable+", or here)")
	return cmd
}
