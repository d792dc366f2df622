package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

// content are the flags for what is in a record.
type content struct {
	schema     uint32
	commitment string
}

func (c *content) flags(cmd *cobra.Command) {
	cmd.Flags().Uint32Var(&c.schema, "schema", 0, "number of the schema that the data follow (default the latest)")
	cmd.Flags().StringVar(&c.commitment, "commitment", "", "what 'parley registry document new' printed, to stand for data that are kept elsewhere")
}

func (c *content) digest(cmd *cobra.Command) (d crypto.Digest, err error) {
	if c.commitment == "" {
		return d, nil
	}
	if err := d.UnmarshalText([]byte(c.commitment)); err != nil {
		return d, usagef(cmd, "--commitment: %v", err)
	}
	return d, nil
}

// recordArgs wants collection and id, and perhaps data.
func recordArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 3 {
		return nil
	}
	return exactArgs("COLLECTION", "ID")(cmd, args)
}

func dataArg(cmd *cobra.Command, args []string) ([]byte, error) {
	if len(args) < 3 {
		return nil, nil
	}
	return fileOrText(cmd, args[2])
}

func newRecordCreate() *cobra.Command {
	o := newRegistryWrite()
	var c content
	var owner string
	cmd := &cobra.Command{
		Use:   "create COLLECTION ID [DATA]",
		Short: "Create a record",
		Long: `Create a record. DATA is the text itself, @ and the name of a file, or - for standard
input. The owner is who creates it, or --owner.`,
		Example: `  parley registry create --dir demo batches B-1 '{"drug": "aspirin"}'
  parley registry create --dir demo people 7f3a --owner $KEY --commitment $COMMITMENT`,
		Args: recordArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := dataArg(cmd, args)
			if err != nil {
				return err
			}
			d, err := c.digest(cmd)
			if err != nil {
				return err
			}
			return o.do(cmd, &registry.CreateRecord{As: o.party(), Collection: args[0], ID: args[1], Owner: registry.Party(owner), Schema: c.schema, Data: data, Commitment: d})
		},
	}
	o.flags(cmd)
	c.flags(cmd)
	cmd.Flags().StringVar(&owner, "owner", "", "the party that shall own it (default you)")
	return cmd
}

func newRecordUpdate() *cobra.Command {
	o := newRegistryWrite()
	var c content
	var version uint64
	cmd := &cobra.Command{
		Use:   "update COLLECTION ID [DATA]",
		Short: "Change what is in a record",
		Long: `Replace data and commitment of a record: what is not given is not in it any more. DATA is
the text itself, @ and the name of a file, or - for standard input.`,
		Example: `  parley registry update --dir demo batches B-1 '{"drug": "aspirin", "recalled": true}' --version 3`,
		Args:    recordArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := dataArg(cmd, args)
			if err != nil {
				return err
			}
			d, err := c.digest(cmd)
			if err != nil {
				return err
			}
			return o.do(cmd, &registry.UpdateRecord{As: o.party(), Collection: args[0], ID: args[1], Version: version, Schema: c.schema, Data: data, Commitment: d})
		},
	}
	o.flags(cmd)
	c.flags(cmd)
	cmd.Flags().Uint64Var(&version, "version", 0, "the version that the record must have (default any)")
	return cmd
}

func newRecordRevoke() *cobra.Command {
	o := newRegistryWrite()
	var reason string
	cmd := &cobra.Command{
		Use:     "revoke COLLECTION ID",
		Short:   "End a record: it stays readable and is changed no more",
		Example: `  parley registry revoke --dir demo consents 7f3a --reason withdrawn`,
		Args:    exactArgs("COLLECTION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, &registry.RevokeRecord{As: o.party(), Collection: args[0], ID: args[1], Reason: reason})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

// jsonVersion is a version with its data.
type jsonVersion struct {
	*registry.Version
	Data jsonBytes `json:"data,omitempty"`
}

func newRecordShow() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:   "show COLLECTION ID",
		Short: "Show a record",
		Long: `Show a record and what is in it. Exit code 4 if there is none. With --receipt FILE, the
proof that the record was so in that block: it verifies offline, and is what 'parley
registry document verify' checks fields against. A content that was made with a key that
was revoked later, as of an earlier time, is shown as NOT TRUSTED.`,
		Example: `  parley registry show --dir demo batches B-1
  parley registry show --dir demo people 7f3a --receipt ada.receipt`,
		Args: exactArgs("COLLECTION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.ask(cmd, &registry.GetRecord{Collection: args[0], ID: args[1]})
			if err != nil {
				return o.proven(err)
			}
			if o.json {
				return o.proven(printJSON(cmd.OutOrStdout(), struct {
					Record  *registry.Record `json:"record"`
					Content jsonVersion      `json:"content"`
				}{r.Record, jsonVersion{r.Version, r.Version.Data}}))
			}
			describeRecord(cmd.OutOrStdout(), r)
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}

func describeRecord(out io.Writer, r *registry.Result) {
	rec, v := r.Record, r.Version
	state := "in force"
	if rec.Revoked {
		state = "REVOKED"
	}
	fmt.Fprintf(out, "%s/%s, version %d, %s\nowner         %s\n", rec.Collection, text([]byte(rec.ID)), rec.Version, state, rec.Owner)
	if rec.Offer.To != "" {
		fmt.Fprintf(out, "offered to    %s until %s\n", rec.Offer.To, moment(rec.Offer.Expires))
	}
	fmt.Fprintf(out, "content       of version %d by %s, %s, block %d\n", v.Number, v.Author, moment(v.At.Time), v.At.Height)
	if v.Compromised != 0 {
		fmt.Fprintf(out, "NOT TRUSTED   %s\n", distrust(v.Compromised))
	}
	if len(v.Data) > 0 {
		fmt.Fprintf(out, "data          %s\n", text(v.Data))
	}
	if v.Schema != 0 {
		fmt.Fprintf(out, "schema        %d\n", v.Schema)
	}
	if !v.Commitment.IsZero() {
		fmt.Fprintf(out, "commitment    %s\n", v.Commitment.Hex())
	}
	fmt.Fprintf(out, "attestations  %d\n", rec.Attestations)
}

// distrust says of what a key signed that it is not to be trusted.
func distrust(since statemachine.Time) string {
	return "made with a key that is not to be trusted since " + moment(since)
}

func newRecordHistory() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:   "history COLLECTION ID",
		Short: "List the versions of a record",
		Long: `List the versions of a record. Where a version was made with a key that has been revoked
since, as of a time that is not after the version, KEY DISTRUSTED SINCE is that time: it
may be a thief's. Exit code 4 if there is no record.`,
		Example: `  parley registry history --dir demo batches B-1`,
		Args:    exactArgs("COLLECTION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []jsonVersion
			op := &registry.ListVersions{Collection: args[0], ID: args[1]}
			err := o.pages(cmd, op, func(r *registry.Result) (registry.Operation, error) {
				for i := range r.Versions {
					all = append(all, jsonVersion{&r.Versions[i], r.Versions[i].Data})
					op.After = r.Versions[i].Number
				}
				return op, nil
			})
			switch {
			case err != nil:
				return err
			case len(all) == 0:
				return &absentError{fmt.Sprintf("there is no record %s/%s", args[0], text([]byte(args[1])))}
			case o.json:
				return printJSON(cmd.OutOrStdout(), all)
			}
			t := newTable(cmd.OutOrStdout(), "VERSION", "WHEN", "BLOCK", "WHAT", "BY", "KEY DISTRUSTED SINCE", "OWNER", "DATA")
			for _, v := range all {
				t.row(v.Number, moment(v.At.Time), v.At.Height, v.Action, v.Author, moment(v.Compromised), v.Owner, text(v.Data))
			}
			return t.render()
		},
	}
	o.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func newRecordList() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "list COLLECTION",
		Short:   "List the records of a collection",
		Example: `  parley registry list --dir demo batches`,
		Args:    exactArgs("COLLECTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			op := &registry.ListRecords{Collection: args[0]}
			t, err := o.records(cmd, op, func(r *registry.Record) { op.After = r.ID })
			if err == nil && op.After == "" { // is it empty, or is there none?
				_, err = o.ask(cmd, &registry.GetCollection{Name: args[0]})
			}
			if err != nil {
				return err
			}
			return t.render()
		},
	}
	o.target.flags(cmd, operationTimeout)
	return cmd
}

func newRecordOwned() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "owned PARTY",
		Short:   "List the records that a party owns",
		Example: `  parley registry owned --dir demo wholesaler`,
		Args:    exactArgs("PARTY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			op := &registry.ListOwned{Owner: registry.Party(args[0])}
			t, err := o.records(cmd, op, func(r *registry.Record) { op.AfterCollection, op.AfterID = r.Collection, r.ID })
			if err != nil {
				return err
			}
			return t.render()
		},
	}
	o.target.flags(cmd, operationTimeout)
	return cmd
}

// records makes a table of the records on all pages of a list, which op asks for.
func (o *registryRead) records(cmd *cobra.Command, op registry.Operation, last func(*registry.Record)) (*table, error) {
	t := newTable(cmd.OutOrStdout(), "COLLECTION", "ID", "VERSION", "OWNER", "STATE")
	err := o.pages(cmd, op, func(r *registry.Result) (registry.Operation, error) {
		for i := range r.Records {
			rec := &r.Records[i]
			state := "in force"
			if rec.Revoked {
				state = "revoked"
			}
			t.row(rec.Collection, text([]byte(rec.ID)), rec.Version, rec.Owner, state)
			last(rec)
		}
		return op, nil
	})
	return t, err
}

func newRecordOffer() *cobra.Command {
	o := newRegistryWrite()
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "offer COLLECTION ID [PARTY]",
		Short: "Offer a record to a party, or without one withdraw the offer",
		Long: `Offer a record to a party, which becomes its owner by 'parley registry accept'. Without
PARTY the offer that there is is withdrawn.`,
		Example: `  parley registry offer --dir demo batches B-1 wholesaler --for 72h`,
		Args:    recordArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			op := &registry.OfferRecord{As: o.party(), Collection: args[0], ID: args[1], Expires: deadline(length)}
			if len(args) == 3 {
				op.To = registry.Party(args[2])
			}
			return o.do(cmd, op)
		},
	}
	o.flags(cmd)
	cmd.Flags().DurationVar(&length, "for", 0, "for how long (default until it is withdrawn)")
	return cmd
}

func newRecordAccept() *cobra.Command {
	o := newRegistryWrite()
	var version uint64
	cmd := &cobra.Command{
		Use:   "accept COLLECTION ID",
		Short: "Become the owner of a record that was offered to you",
		Long: `Become the owner of a record that was offered to you. With --version only if nothing in
it has changed since you have seen that version.`,
		Example: `  parley registry accept --dir demo batches B-1 --as wholesaler`,
		Args:    exactArgs("COLLECTION", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, &registry.AcceptRecord{As: o.party(), Collection: args[0], ID: args[1], Version: version})
		},
	}
	o.flags(cmd)
	cmd.Flags().Uint64Var(&version, "version", 0, "the version that the record must have (default any)")
	return cmd
}

func newRecordTransfer() *cobra.Command {
	o := newRegistryWrite()
	cmd := &cobra.Command{
		Use:   "transfer COLLECTION ID PARTY",
		Short: "Make a party the owner in one step, where the rules permit it or it signs too",
		Long: `Make a party the owner in one step: where the collection has the rule direct-transfer,
or where the party signs too, in a file that --prepare writes. Else offer the record.`,
		Example: `  parley registry transfer --dir demo batches B-1 pharmacy --prepare sale.op`,
		Args:    exactArgs("COLLECTION", "ID", "PARTY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd, &registry.TransferRecord{As: o.party(), Collection: args[0], ID: args[1], To: registry.Party(args[2])})
		},
	}
	o.flags(cmd)
	return cmd
}
