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
each replica has on the address contractListen of its replica.json ('parley contract
endpoints' lists them); what they read is the word of that one replica.

Amounts are in wei, of which 1000000000000000000 are one ether, and a chain made by
'parley init' without --genesis charges nothing for gas. Numbers are written in decimal
or as 0x..., and negative ones behind a --.`,
		Example: `  parley cluster --app contract --dir demo      # in another terminal
  parley contract key --dir demo
  parley contract deploy --dir demo Coin.json 1000000
  parley contract call --dir demo --abi Coin.json 0xADDRESS balanceOf 0xACCOUNT
  parley contract send --dir demo --abi Coin.json 0xADDRESS transfer 0xACCOUNT 5
  parley contract logs --dir demo --abi Coin.json 0xADDRESS`,
	}
	cmd.AddCommand(newContractKey(), newContractAccount(), newContractDeploy(), newContractSend(), newContractCall(),
		newContractReceipt(), newContractLogs(), newContractEndpoints())
	return cmd
}
