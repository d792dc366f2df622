package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/contract"
)

func newContractDeploy() *cobra.Command {
	var s txSender
	s.contractTarget = *newContractTarget()
	cmd := &cobra.Command{
		Use:   "deploy ARTIFACT [ARGUMENT ...]",
		Short: "Deploy a contract",
		Long: `Deploy the contract of an artifact, the JSON file with abi and bytecode that a compiler
made (solc, Hardhat, Foundry), and print its address. The arguments are the
constructor's: numbers in decimal or 0x... (negative ones behind a --), bytes as 0x...,
lists as JSON. It is a transaction, with what 'parley contract send --help' says of them.`,
		Example: `  parley contract deploy --dir demo Coin.json 1000000
  parley contract deploy --dir demo Pool.json -- -100 '["0xACCOUNT"]'`,
		Args: leastArgs("ARTIFACT"),
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
--data sends bytes as they are; without either it is a payment of --value, in wei, of
which 1000000000000000000 are one ether.

It is tried first, to find out how much gas it takes; if the contract refuses it then,
nothing is sent. With --gas it is not tried. It is sent with the account's next nonce.

Exit code 4 says that the transaction was refused and nothing is changed, or that it
failed in the chain, where what it did is undone and only the nonce and the gas are used
up: the message says which, and why.`,
		Example: `  parley contract send --dir demo --abi Coin.json 0xADDRESS transfer 0xACCOUNT 5
  parley contract send --dir demo --value 1000000000000000000 0xACCOUNT`,
		Args: leastArgs("ADDRESS"),
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
