package main

import (
	"github.com/spf13/cobra"
)

func newContract() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "contract",
		Short: "Smart contracts: deploy, call, send, receipts, logs",
		Long: `Work with a cluster that runs Ethereum contracts ('parley init --app contract').

What changes something goes to the cluster as a signed Ethereum transaction and is
believed when more replicas than may be faulty report the same outcome. What only
reads asks all replicas and believes what more of them than may be faulty say alike.

Ethereum's own tools (ethers.js, cast, geth's ethclient) use the JSON-RPC endpoint that
each replica has on the address contractListen of its replica.json; what they read is
the word of that one replica.`,
		Example: `  parley cluster --app contract
  parley contract key --dir DIR
  parley contract deploy --dir DIR Coin.json 1000000
  parley contract call --dir DIR --abi Coin.json 0xADDRESS balanceOf 0xACCOUNT
  parley contract send --dir DIR --abi Coin.json 0xADDRESS transfer 0xACCOUNT 5
  parley contract logs --dir DIR --abi Coin.json 0xADDRESS`,
	}
	cmd.AddCommand(newContractKey(), newContractAccount(), newContractDeploy(), newContractSend(), newContractCall(),
		newContractReceipt(), newContractLogs(), newContractEndpoints())
	return cmd
}
