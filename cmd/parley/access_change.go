package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/access"
)

// newChange returns a command that proposes a change.
func newChange(use, short, long, example string, args []string, flags func(*cobra.Command), change func(cmd *cobra.Command, args []string) (access.Change, error)) *cobra.Command {
	o := new(accessCommand)
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: "  parley access " + example, Args: exactArgs(args...),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := change(cmd, args)
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			return o.propose(cmd, g)
		},
	}
	o.writeFlags(cmd)
	if flags != nil {
		flags(cmd)
	}
	return cmd
}

// quotaFlags are a quota.
type quotaFlags struct {
	q   access.Quota
	per time.Duration
}

func (f *quotaFlags) flags(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&f.q.Operations, "operations", 0, "operations that a client may submit in --per (default any number)")
	cmd.Flags().Uint64Var(&f.q.Bytes, "bytes", 0, "bytes of operations that a client may submit in --per (default any number)")
	cmd.Flags().DurationVar(&f.per, "per", time.Minute, "the window of the quota, in whole seconds")
}

func (f *quotaFlags) quota() (access.Quota, error) {
	if !f.q.Limits() {
		return access.Quota{}, nil
	}
	if f.per < time.Second || f.per%time.Second != 0 {
		return f.q, fmt.Errorf("--per is %v: give whole seconds", f.per)
	}
	f.q.Seconds = uint64(f.per / time.Second)
	return f.q, nil
}

func newAccessMode() *cobra.Command {
	return newChange("mode MODE", "Change what strangers may",
		"Change the mode: open (anybody reads and submits), consortium (anybody reads, members\nsubmit) or private (members only).",
		"mode --dir demo private --reason \"the trial is over\"", []string{"MODE"}, nil,
		func(_ *cobra.Command, args []string) (g access.Change, err error) {
			if err = g.Mode.UnmarshalText([]byte(args[0])); err != nil {
				err = fmt.Errorf("MODE is %q: %w", args[0], err)
			}
			return g, err
		})
}

func newAccessAdministrators() *cobra.Command {
	var keys thresholdFlags
	return newChange("administrators --keys KEY,...", "Change the administrators",
		"Replace the administrators. Proposals that wait are void then. Make sure that the new\nones can sign: if not, nobody can change the policy any more.",
		"administrators --dir demo --keys $A,$B,$C --keys-threshold 2", nil,
		func(cmd *cobra.Command) { keys.flags(cmd, "keys", "the administrators") },
		func(cmd *cobra.Command, _ []string) (g access.Change, err error) {
			if g.Administrators, err = keys.threshold(cmd); err == nil && g.Administrators.IsZero() {
				err = fmt.Errorf("--keys is missing: give at least one")
			}
			return g, err
		})
}

func newAccessStrangers() *cobra.Command {
	var q quotaFlags
	return newChange("strangers", "Change the quota of those who are no members",
		"Bound what each client that is no member submits; without --operations and --bytes nothing\ndoes. It matters where the mode lets strangers submit.", "strangers --dir demo --operations 10 --per 60s", nil, q.flags,
		func(*cobra.Command, []string) (g access.Change, err error) {
			g.SetStrangers = true
			g.Strangers, err = q.quota()
			return g, err
		})
}

func newRoleSet() *cobra.Command {
	r := access.Role{}
	var q quotaFlags
	return newChange("set NAME", "Make or replace a role",
		"Make a role, or replace it: what is not given it does not permit any more. --submit and\n--read are names of kinds of operations and queries, or beginnings of them and '*':\ncreate-record, create-*, access/*, store/proof, *. One that covers nothing is refused with\na list of all. What only reads is a matter of --read, also when it goes through the log.",
		"role set --dir demo clerk --submit 'create-*' --read '*' --operations 1000", []string{"NAME"},
		func(cmd *cobra.Command) {
			cmd.Flags().StringSliceVar(&r.Submit, "submit", nil, "kinds of operations that it may submit, separated by commas")
			cmd.Flags().StringSliceVar(&r.Read, "read", nil, "kinds that it may read, separated by commas")
			q.flags(cmd)
		},
		func(_ *cobra.Command, args []string) (g access.Change, err error) {
			r.Name = args[0]
			r.Quota, err = q.quota()
			g.SetRoles = []access.Role{r}
			return g, err
		})
}

func newRoleRemove() *cobra.Command {
	return newChange("remove NAME", "Remove a role, from its members too", "", "role remove --dir demo clerk", []string{"NAME"}, nil,
		func(_ *cobra.Command, args []string) (access.Change, error) {
			return access.Change{RemoveRoles: args}, nil
		})
}

func newMemberSet() *cobra.Command {
	var m access.Member
	return newChange("set KEY", "Make somebody a member, or change one",
		"Make a client a member, or replace all that is known of it: name, roles, suspension. KEY is\nwhat 'parley keygen' printed, or of a contract's sender 24 zeros and the 40 digits of its\naddress.",
		"member set --dir demo $KEY --name Dora --roles clerk", []string{"KEY"},
		func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&m.Name, "name", "", "for people")
			cmd.Flags().StringSliceVar(&m.Roles, "roles", nil, "roles, separated by commas")
			cmd.Flags().BoolVar(&m.Suspended, "suspend", false, "may nothing until it is set again without this")
		},
		func(_ *cobra.Command, args []string) (g access.Change, err error) {
			m.Key, err = parseKey(args[0])
			g.SetMembers = []access.Member{m}
			return g, err
		})
}

func newMemberRemove() *cobra.Command {
	return newChange("remove KEY", "Make a member a stranger", "", "member remove --dir demo $KEY", []string{"KEY"}, nil,
		func(_ *cobra.Command, args []string) (g access.Change, err error) {
			k, err := parseKey(args[0])
			g.RemoveMembers = []crypto.PublicKey{k}
			return g, err
		})
}

func newAccessApprove() *cobra.Command {
	o := new(accessCommand)
	var digest string
	cmd := &cobra.Command{
		Use:   "approve NUMBER --digest DIGEST",
		Short: "Approve a change, as an administrator",
		Long: `Approve a proposal. DIGEST is what 'parley access proposals' shows beside the change:
whoever approves has seen it.`,
		Example: `  parley access approve --dir demo 3 --digest $DIGEST --key bob.key`,
		Args:    exactArgs("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := proposalNumber(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			op := &access.Approve{Number: n}
			if digest == "" {
				return usagef(cmd, "--digest is missing: give the one that 'parley access proposals' shows beside the change")
			}
			if err := op.Digest.UnmarshalText([]byte(digest)); err != nil {
				return usagef(cmd, "--digest is %q: write the 64 digits that 'parley access proposals' shows", digest)
			}
			return o.bytes(cmd, op.Kind(), access.Encode(op))
		},
	}
	o.operation.flags(cmd)
	cmd.Flags().StringVar(&digest, "digest", "", "digest of the change, as 'parley access proposals' shows it (needed)")
	return cmd
}

func newAccessWithdraw() *cobra.Command {
	o := new(accessCommand)
	cmd := &cobra.Command{
		Use:     "withdraw NUMBER",
		Short:   "Take back a proposal that you have approved",
		Example: `  parley access withdraw --dir demo 3`,
		Args:    exactArgs("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := proposalNumber(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			op := &access.Withdraw{Number: n}
			return o.bytes(cmd, op.Kind(), access.Encode(op))
		},
	}
	o.operation.flags(cmd)
	return cmd
}
