package main

import "github.com/spf13/cobra"

func newLedgerBench() *cobra.Command { return &cobra.Command{Use: "bench"} }
