package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto/keyfile"
)

func newKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a client's key",
		Long: `Make a client's key and print its public half. Each process that talks to a
cluster needs a key of its own. 'parley init --admit PUBLIC' makes a cluster that
serves it; a cluster made with --open serves any.`,
		Example: `  parley init --dir demo --admit $(parley keygen alice.key)
  parley put --cluster demo/cluster.json --key alice.key colour green`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := keyfile.GenerateClient(rand.Reader)
			if err != nil {
				return err
			}
			if err := k.Write(args[0]); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), k.Signing.Public().Hex())
			return nil
		},
	}
}
