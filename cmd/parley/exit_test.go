package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/kv"
	"github.com/parley-bft/parley/statemachine/registry"
)

// A no is exit code 4, whichever application says it, and whatever it is wrapped in.
func TestExitCodeOfARefusal(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, exitOK},
		{errors.New("the disk is full"), exitFailed},
		{fmt.Errorf("%w: no majority", client.ErrUnavailable), exitFailed},
		{usagef(&cobra.Command{}, "no such flag"), exitUsage},
		{client.ErrOutcomeUnknown, exitUnknown},
		{&absentError{"no such key"}, exitAbsent},
		{no(kv.ErrNoSpace), exitAbsent},
		{no(fmt.Errorf("%w: ann has not signed", registry.ErrUnauthorized)), exitAbsent},
		{no(fmt.Errorf("%w: proposal 1", access.ErrConflict)), exitAbsent},
		{&access.Refusal{Rule: access.RuleRoles, Detail: "no role"}, exitAbsent},
		{fmt.Errorf("query replica-1: rpc error: %v", &access.Refusal{Rule: access.RuleRoles, Detail: "no role"}), exitAbsent},
		// A replica that lies settles nothing that its cluster has not settled.
		{fmt.Errorf("%w: replica-3: %v", client.ErrOutcomeUnknown, &access.Refusal{Rule: access.RuleRoles, Detail: "no role"}), exitUnknown},
		{fmt.Errorf("%w: %w", client.ErrOutcomeUnknown, &access.Refusal{Rule: access.RuleRoles, Detail: "no role"}), exitUnknown},
		{fmt.Errorf("%w: replica-0: connection refused; replica-3: %v", client.ErrUnavailable, &access.Refusal{Rule: access.RuleRoles, Detail: "no role"}), exitFailed},
		{&noProofError{"done", errors.New("no receipt")}, exitNoProof},
		{&invalidError{"not valid"}, exitInvalid},
	} {
		require.Equal(t, c.code, exitCode(c.err), "%v", c.err)
		if c.err != nil && c.code != exitUsage {
			require.Equal(t, c.code, exitCode(fmt.Errorf("while at it: %w", c.err)), "%v", c.err)
		}
	}
	require.NoError(t, no(nil))
}

// Whoever acts as a client says by the same flags where, and as whom.
func TestClientFlagsAreOne(t *testing.T) {
	want := map[string]string{
		"dir":     "the cluster's folder, with cluster.json and client.key (default $PARLEY_DIR, or here)",
		"cluster": "cluster file (default cluster.json in --dir)",
		"key":     "the client's key file (default client.key in --dir)",
	}
	with := 0
	var walk func(cmd *cobra.Command, top string)
	walk = func(cmd *cobra.Command, top string) {
		for _, sub := range cmd.Commands() {
			name := top
			if name == "" {
				name = sub.Name()
			}
			walk(sub, name)
		}
		switch top {
		case "ledger", "registry", "contract", "access", "put", "get", "del", "cas", "range":
		default:
			return
		}
		require.Nil(t, cmd.Flags().Lookup("signer"), cmd.CommandPath())
		if cmd.Flags().Lookup("key") == nil {
			return // it talks to no cluster, or makes files
		}
		with++
		for flag, usage := range want {
			f := cmd.Flags().Lookup(flag)
			require.NotNil(t, f, "%s --%s", cmd.CommandPath(), flag)
			require.Equal(t, usage, f.Usage, "%s --%s", cmd.CommandPath(), flag)
		}
	}
	walk(newRoot(), "")
	require.Greater(t, with, 60)
	sign, _, err := newRoot().Find([]string{"ledger", "tx", "sign"})
	require.NoError(t, err)
	require.NotNil(t, sign.Flags().Lookup("key"))
}
