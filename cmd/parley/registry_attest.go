package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

func newDelegate() *cobra.Command {
	o := newRegistryWrite()
	var rights string
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "delegate COLLECTION PARTY [ID]",
		Short: "Let a party act for you, with one record or all that you have in a collection",
		Long: `Let a party do what --rights say in your name: create (of a controller), update,
transfer, revoke. They replace those that it has; without --rights these are taken back.`,
		Example: `  parley registry delegate --dir demo consents hospital 7f3a --rights update --for 720h
  parley registry delegate --dir demo consents hospital 7f3a      # takes them back`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				return nil
			}
			return exactArgs("COLLECTION", "PARTY")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := registry.ParseRights(rights)
			if err != nil {
				return usagef(cmd, "--rights: %v", err)
			}
			op := &registry.Delegate{As: o.party(), Collection: args[0], To: registry.Party(args[1]), Rights: r, Expires: deadline(length)}
			if len(args) == 3 {
				op.ID = args[2]
			}
			return o.do(cmd, op)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&rights, "rights", "", "create, update, transfer or revoke, or several separated by commas")
	cmd.Flags().DurationVar(&length, "for", 0, "for how long (default until they are taken back)")
	return cmd
}

func newDelegations() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "delegations COLLECTION [ID]",
		Short:   "List who may act for whom",
		Example: `  parley registry delegations --dir demo consents 7f3a`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactArgs("COLLECTION")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			op := &registry.ListDelegations{Collection: args[0]}
			if len(args) == 2 {
				op.ID = args[1]
			}
			t := newTable(cmd.OutOrStdout(), "FROM", "TO", "RIGHTS", "UNTIL")
			err := o.pages(cmd, op, func(r *registry.Result) (registry.Operation, error) {
				for _, d := range r.Delegations {
					t.row(d.From, d.To, d.Rights, moment(d.Expires))
					op.AfterFrom, op.AfterTo = d.From, d.To
				}
				return op, nil
			})
			if err != nil {
				return err
			}
			return t.render()
		},
	}
	o.target.flags(cmd, operationTimeout)
	return cmd
}

func newAttest() *cobra.Command {
	o := newRegistryWrite()
	var version uint64
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "attest COLLECTION ID TOPIC [STATEMENT]",
		Short: "State something about a record, as an authority",
		Long: `State something about the latest version of a record, or that of --version. STATEMENT is
the text itself, @ and the name of a file, or - for standard input. The collection's
controller says who may ('parley registry authority set').`,
		Example: `  parley registry attest --dir demo batches B-1 purity 99.8 --as lab --for 8760h`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 4 {
				return nil
			}
			return exactArgs("COLLECTION", "ID", "TOPIC")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			op := &registry.Attest{As: o.party(), Collection: args[0], ID: args[1], Topic: args[2], Version: version, Expires: deadline(length)}
			if len(args) == 4 {
				if op.Statement, err = fileOrText(cmd, args[3]); err != nil {
					return err
				}
			}
			return o.do(cmd, op)
		},
	}
	o.flags(cmd)
	cmd.Flags().Uint64Var(&version, "version", 0, "the version that it is about (default the latest)")
	cmd.Flags().DurationVar(&length, "for", 0, "for how long it is good (default for ever)")
	return cmd
}

func newUnattest() *cobra.Command {
	o := newRegistryWrite()
	var reason string
	cmd := &cobra.Command{
		Use:     "unattest COLLECTION ID NUMBER",
		Short:   "Take an attestation back",
		Example: `  parley registry unattest --dir demo batches B-1 2 --as lab --reason "bad scales"`,
		Args:    exactArgs("COLLECTION", "ID", "NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[2], 10, 64)
			if err != nil {
				return usagef(cmd, "NUMBER is %q: give one that 'parley registry attestations' lists", args[2])
			}
			return o.do(cmd, &registry.RevokeAttestation{As: o.party(), Collection: args[0], ID: args[1], Number: n, Reason: reason})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

// jsonAttestation is an attestation with its statement, and what it is worth now.
type jsonAttestation struct {
	*registry.Attestation
	Statement jsonBytes                  `json:"statement,omitempty"`
	Status    registry.AttestationStatus `json:"status"`
}

func newAttestations() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:   "attestations COLLECTION ID",
		Short: "List what authorities say about a record",
		Long: `List what authorities say about a record, and what each is worth now. What was made with
a key that has been revoked, as of a time that is not after that, is not to be trusted
since then, whether it was taken back or not.`,
		Example: `  parley registry attestations --dir demo batches B-1`,
		Args:    exactArgs("COLLECTION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := statemachine.Time(time.Now().UnixNano())
			var all []jsonAttestation
			op := &registry.ListAttestations{Collection: args[0], ID: args[1]}
			err := o.pages(cmd, op, func(r *registry.Result) (registry.Operation, error) {
				for i := range r.Attestations {
					a := &r.Attestations[i]
					all = append(all, jsonAttestation{a, a.Statement, a.Status(now)})
					op.After = a.Number
				}
				return op, nil
			})
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(cmd.OutOrStdout(), all)
			}
			t := newTable(cmd.OutOrStdout(), "NUMBER", "TOPIC", "AUTHORITY", "VERSION", "WHEN", "STATUS", "STATEMENT")
			for _, a := range all {
				status := string(a.Status)
				if a.Compromised != 0 {
					status += " since " + moment(a.Compromised)
				}
				if a.Reason != "" {
					status += fmt.Sprintf(" (%s)", text([]byte(a.Reason)))
				}
				t.row(a.Number, a.Topic, a.Authority, a.Version, moment(a.At.Time), status, text(a.Statement))
			}
			return t.render()
		},
	}
	o.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}
