package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/spf13/cobra"
)

func newContractCall() *cobra.Command {
	t := newContractTarget()
	var file, from string
	cmd := &cobra.Command{
		Use:   "call ADDRESS METHOD [ARGUMENT ...]",
		Short: "Call a method without changing anything",
		Long: `Call a method on the last state and print what it returns, one value a line. The answer
is what more replicas than may be faulty say alike. Exit code 4 if the contract refuses.`,
		Example: `  parley contract call --dir demo --abi Coin.json 0xADDRESS balanceOf 0xACCOUNT
  parley contract call --dir demo --abi Pool.json 0xADDRESS priceAt -- -5`,
		Args: leastArgs("ADDRESS", "METHOD"),
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
	cmd.Flags().StringVar(&from, "from", "", "the address that calls (default none, 0x00...00)")
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
through at once: on a longer chain give --from and --to.`,
		Example: `  parley contract logs --dir demo --abi Coin.json --event Transfer 0xADDRESS
  parley contract logs --dir demo --from 100 --to 200 --json`,
		Args: mostArgs("ADDRESS"),
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
