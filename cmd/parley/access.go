package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/access"
)

func newAccess() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "access",
		Short: "Who may read and submit what, in a cluster with an access policy",
		Long: `Work with the access policy of a cluster. It has one if 'parley init --policy FILE' was
given the first one (or --genesis, with the same in the field "access"):

  {"mode": "consortium",
   "administrators": {"m": 2, "keys": ["...", "...", "..."]},
   "roles": [{"name": "clerk", "submit": ["create-*"], "read": ["*"],
              "quota": {"operations": 1000, "seconds": 60}}],
   "members": [{"key": "...", "name": "Dora", "roles": ["clerk"]}]}

Any application but kv takes one. What its operations and queries are called, say its
packages: kv-store has put, get, txn ..., the ledger submit/transfer, submit/issue,
statement ..., the registry create-record, get-record ..., contracts
transaction/deploy, transaction/call, eth_call, eth_getLogs ... The sender of a contract's
transaction is a member by the key of 24 zeros and the 40 digits of its address. Of a role
named client the keys that init makes are members, of one named gateway those of the
JSON-RPC endpoints: what a gateway may read, whoever reaches its endpoint may. A field or a
kind that there is not is refused with those that there are.

Whoever changes it needs the signatures of m of n administrators. One proposes: the
commands below do if --key is an administrator's. Others see it with 'parley access
proposals' and approve it. Or --prepare FILE writes the change to a file, each signs it
with 'parley access sign', and anybody submits it with 'parley access submit'. Durations
are written as 60s or 24h. Exit code 4 says that the policy refused it, or what a change
is about, and why.`,
		Example: `  parley init --dir demo --app registry --policy policy.json
  parley access policy --dir demo
  parley access member set --dir demo $KEY --name Dora --roles clerk
  parley access audit --dir demo`,
	}
	role := &cobra.Command{Use: "role", Short: "What members may do"}
	role.AddCommand(newRoleSet(), newRoleRemove(), newRoleList())
	member := &cobra.Command{Use: "member", Short: "Clients that are known"}
	member.AddCommand(newMemberSet(), newMemberRemove(), newMemberShow(), newMemberList())
	cmd.AddCommand(newAccessPolicy(), newAccessMode(), newAccessAdministrators(), newAccessStrangers(), role, member,
		newAccessProposals(), newAccessApprove(), newAccessWithdraw(), newAccessAudit(), newAccessRefusals(), newAccessCheck(),
		accessEnvelopes().newSign(), newAccessSubmit())
	return cmd
}

// accessCommand is what these commands have in common.
type accessCommand struct {
	operation
	prepareFlags
	reason string
}

func (o *accessCommand) submitAccess(cmd *cobra.Command, op []byte) (*access.Result, uint64, error) {
	if err := o.resolve(cmd); err != nil {
		return nil, 0, err
	}
	ros, err := o.load()
	if err != nil {
		return nil, 0, err
	}
	if a := ros.Cluster.Application; a == nil {
		return nil, 0, errors.New("this cluster has no access policy: only a genesis with the field \"access\" gives it one")
	} else if policy, _, _ := splitGenesis(a.Genesis); policy == nil {
		return nil, 0, errors.New("this cluster has no access policy: only a genesis with the field \"access\" gives it one")
	}
	a, err := o.answer(cmd, op)
	if err != nil {
		return nil, 0, err
	}
	r, err := access.DecodeResult(a.Result)
	if err != nil {
		return nil, 0, fmt.Errorf("the cluster's answer: %w", err)
	}
	return r, uint64(a.Ref.Height), no(r.Err())
}

// writeFlags are those of a change.
func (o *accessCommand) writeFlags(cmd *cobra.Command) {
	o.operation.flags(cmd)
	o.prepareFlags.flags(cmd)
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the audit trail")
}

// propose submits a change, or writes it to a file.
func (o *accessCommand) propose(cmd *cobra.Command, g access.Change) error {
	if err := o.checkKinds(cmd, g.SetRoles); err != nil {
		return err
	}
	g.Reason = o.reason
	op := &access.Propose{Change: g}
	if o.prepare != "" {
		return o.write(cmd, "access", op.Kind(), access.Encode(op))
	}
	return o.bytes(cmd, op.Kind(), access.Encode(op))
}

func (o *accessCommand) bytes(cmd *cobra.Command, kind fmt.Stringer, op []byte) error {
	r, height, err := o.submitAccess(cmd, op)
	if err != nil {
		return o.proven(err)
	}
	out := cmd.OutOrStdout()
	switch {
	case o.json:
		err = printJSON(out, r)
	case r.Effective:
		_, err = fmt.Fprintf(out, "change %d took effect in block %d\n", r.Number, height)
	case kind == access.KindWithdraw:
		_, err = fmt.Fprintf(out, "proposal %d was withdrawn in block %d\n", r.Number, height)
	default:
		_, err = fmt.Fprintf(out, "proposal %d waits for more administrators: 'parley access approve %d'\n", r.Number, r.Number)
	}
	return o.proven(err)
}

func newAccessSubmit() *cobra.Command {
	o := new(accessCommand)
	return accessEnvelopes().newSubmit(o.operation.flags, o.bytes)
}

// newAccessRead returns a command that asks for something and shows it.
func newAccessRead(use, short, example string, args []string, ask func(args []string) (access.Operation, error), show func(*access.Result, *table) error, header ...any) *cobra.Command {
	o := new(accessCommand)
	cmd := &cobra.Command{
		Use: use, Short: short, Example: "  parley access " + example, Args: exactArgs(args...),
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := ask(args)
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			var t *table
			for {
				r, _, err := o.submitAccess(cmd, access.Encode(op))
				if errors.Is(err, access.ErrNotFound) {
					err = &absentError{err.Error()}
				}
				if err != nil {
					return err
				}
				if o.json {
					if err := printJSON(cmd.OutOrStdout(), r); err != nil {
						return err
					}
				} else {
					if t == nil {
						t = newTable(cmd.OutOrStdout(), header...)
					}
					if err := show(r, t); err != nil {
						return err
					}
				}
				if !r.More || !nextPage(op, r) {
					break
				}
			}
			if t == nil {
				return nil
			}
			return t.render()
		},
	}
	o.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// nextPage makes op ask for what follows r.
func nextPage(op access.Operation, r *access.Result) bool {
	switch op := op.(type) {
	case *access.ListMembers:
		op.After = r.Members[len(r.Members)-1].Key
	case *access.ListRoles:
		op.After = r.Roles[len(r.Roles)-1].Name
	case *access.ListProposals:
		op.After = r.Proposals[len(r.Proposals)-1].Number
	case *access.ListAudit:
		op.After = r.Audit[len(r.Audit)-1].Number
	case *access.ListRefusals:
		last := r.Refusals[len(r.Refusals)-1]
		op.AfterClient, op.AfterRule = last.Client, last.Rule
	default:
		return false
	}
	return true
}

func describeQuota(q access.Quota) string {
	if !q.Limits() {
		return "no quota"
	}
	var parts []string
	if q.Operations != 0 {
		parts = append(parts, fmt.Sprintf("%d operations", q.Operations))
	}
	if q.Bytes != 0 {
		parts = append(parts, fmt.Sprintf("%d bytes", q.Bytes))
	}
	return fmt.Sprintf("%s in %v", strings.Join(parts, ", "), time.Duration(q.Seconds)*time.Second)
}

// changed shows a change on one line.
func changed(g access.Change) string {
	b, err := json.Marshal(g)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func noArguments(op access.Operation) func([]string) (access.Operation, error) {
	return func([]string) (access.Operation, error) { return op, nil }
}

func newAccessPolicy() *cobra.Command {
	return newAccessRead("policy", "Show mode, administrators and counts", "policy --dir demo", nil, noArguments(&access.GetPolicy{}),
		func(r *access.Result, t *table) error {
			i := r.Info
			t.row("mode", i.Mode)
			t.row("administrators", describeThreshold(&i.Administrators))
			t.row("strangers", describeQuota(i.Strangers))
			t.row("members", i.Members)
			t.row("changes", i.Changes)
			t.row("chain", i.Chain.Hex())
			return nil
		}, "POLICY", "")
}

func newRoleList() *cobra.Command {
	return newAccessRead("list", "List the roles", "role list --dir demo", nil, noArguments(&access.ListRoles{}),
		func(r *access.Result, t *table) error {
			for _, role := range r.Roles {
				t.row(role.Name, strings.Join(role.Submit, ","), strings.Join(role.Read, ","), describeQuota(role.Quota))
			}
			return nil
		}, "ROLE", "SUBMIT", "READ", "QUOTA")
}

func memberRow(t *table, m *access.Member, used string) {
	state := "member"
	if m.Suspended {
		state = "suspended"
	}
	t.row(m.Key.Hex(), m.Name, strings.Join(m.Roles, ","), state, used)
}

func newMemberList() *cobra.Command {
	return newAccessRead("list", "List the members", "member list --dir demo", nil, noArguments(&access.ListMembers{}),
		func(r *access.Result, t *table) error {
			for i := range r.Members {
				memberRow(t, &r.Members[i], "")
			}
			return nil
		}, "KEY", "NAME", "ROLES", "STATE", "")
}

func newMemberShow() *cobra.Command {
	return newAccessRead("show KEY", "Show a member, and what of its quota is used", "member show --dir demo $KEY", []string{"KEY"},
		func(args []string) (access.Operation, error) {
			k, err := parseKey(args[0])
			return &access.GetMember{Key: k}, err
		},
		func(r *access.Result, t *table) error {
			used := "nothing"
			if r.Member.Since != 0 {
				used = describeQuota(r.Member.Used) + " since " + moment(r.Member.Since)
			}
			memberRow(t, &r.Member.Member, used)
			return nil
		}, "KEY", "NAME", "ROLES", "STATE", "USED")
}

func newAccessProposals() *cobra.Command {
	return newAccessRead("proposals", "List the changes that wait for approvals", "proposals --dir demo", nil, noArguments(&access.ListProposals{}),
		func(r *access.Result, t *table) error {
			for _, p := range r.Proposals {
				t.row(p.Number, len(p.Approvals), moment(p.Expires), p.Digest.Hex(), changed(p.Change))
			}
			return nil
		}, "NUMBER", "APPROVALS", "UNTIL", "DIGEST", "CHANGE")
}

func newAccessAudit() *cobra.Command {
	return newAccessRead("audit", "List the changes that took effect: what, when, by whom", "audit --dir demo", nil, noArguments(&access.ListAudit{}),
		func(r *access.Result, t *table) error {
			for _, e := range r.Audit {
				var by []string
				for _, k := range e.By {
					by = append(by, k.String())
				}
				t.row(e.Number, moment(e.Time), e.Height, strings.Join(by, ","), changed(e.Change))
			}
			return nil
		}, "NUMBER", "WHEN", "BLOCK", "BY", "CHANGE")
}

func newAccessRefusals() *cobra.Command {
	return newAccessRead("refusals", "List how often whom was refused what", "refusals --dir demo", nil, noArguments(&access.ListRefusals{}),
		func(r *access.Result, t *table) error {
			for _, n := range r.Refusals {
				who := n.Client.Hex()
				if n.Client.IsZero() {
					who = "strangers"
				}
				t.row(who, n.Rule, n.Count, moment(n.Last), n.What)
			}
			return nil
		}, "WHO", "RULE", "TIMES", "LAST", "WHAT")
}

func newAccessCheck() *cobra.Command {
	read := false
	o := new(accessCommand)
	cmd := &cobra.Command{
		Use:   "check KEY KIND",
		Short: "Tell whether a client may submit, or read, something (exit code 4 if not)",
		Long: `Tell whether a client may submit an operation of a kind, or with --read read it, and if
not by which rule. Quotas are left aside. A KIND that there is not is refused with a list
of those that there are.`,
		Example: `  parley access check --dir demo $KEY create-record
  parley access check --dir demo $KEY get-record --read`,
		Args: exactArgs("KEY", "KIND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := parseKey(args[0])
			if err != nil {
				return usagef(cmd, "%v", err)
			}
			if err := o.checkKind(cmd, args[1], read); err != nil {
				return err
			}
			r, _, err := o.submitAccess(cmd, access.Encode(&access.Check{Client: k, What: args[1], Read: read}))
			if err != nil {
				return err
			}
			if r.Refusal != nil {
				return &absentError{r.Refusal.Error()}
			}
			fmt.Fprintln(cmd.OutOrStdout(), "permitted")
			return nil
		},
	}
	o.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&read, "read", false, "tell whether it may read KIND, and not submit it")
	return cmd
}

func parseKey(s string) (crypto.PublicKey, error) {
	k, err := crypto.ParsePublicKey(s)
	if err != nil {
		return k, fmt.Errorf("%q is no public key: write the 64 digits that 'parley keygen' prints", s)
	}
	return k, nil
}

func proposalNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number: give one that 'parley access proposals' lists", s)
	}
	return n, nil
}
