package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// run is the whole program but for the process: what tests call.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	name := "parley"
	if cmd != nil {
		name = cmd.CommandPath()
	}
	var usage *usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(stderr, "%s: %v\nRun '%s --help' for the flags and examples.\n", name, err, name)
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %s\n", name, explain(err))
	return exitCode(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "parley",
		Short: "Byzantine fault tolerant replicated state machines",
		Long: `Parley keeps a service correct and available while fewer than one third of its
replicas lie, collude, crash or vanish. This program runs replicas of a
key-value store, in memory or on the disk, of a ledger, a registry or contracts
(init --app), and operates them.

Try it: 'parley cluster' starts four replicas on this machine.`,
		Example: `  parley cluster                          # a cluster to play with; Ctrl-C ends it
  parley put --dir DIR colour green       # in another terminal, DIR as printed
  parley get --dir DIR colour
  parley status --dir DIR`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef(cmd, "%v", err) })
	root.AddGroup(
		&cobra.Group{ID: "cluster", Title: "Clusters and replicas:"},
		&cobra.Group{ID: "data", Title: "The key-value store:"},
		&cobra.Group{ID: "apps", Title: "Other applications:"},
		&cobra.Group{ID: "proof", Title: "Proofs:"},
		&cobra.Group{ID: "test", Title: "Testing Parley:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("cluster", newClusterCommand(), newInit(), newStart(), newStatus(), newDoctor(), newTrace(), newBench(), newKeygen())
	add("data", newPut(), newGet(), newDelete(), newSwap(), newRange(), newLoad(), newVerifyLoad())
	add("apps", newLedger(), newRegistry(), newContract(), newAccess(), newWatch())
	add("proof", newVerifyReceipt(), newCertified(), newVerifyState())
	add("test", newChaos())
	root.AddCommand(newVersion(), &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  exitCodesHelp,
	})
	refuseUnknown(root)
	return root
}
