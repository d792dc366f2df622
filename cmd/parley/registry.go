package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

func newRegistry() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Records, owners and attestations of a cluster that runs the registry",
		Long: `Work with a cluster whose replicas run the registry ('parley init --app registry').

A collection is a set of records under common rules. A record has an owner, data that
follow the collection's schema, and a history that is kept. Authorities attest records.

Whoever runs a command acts as the key in client.key, or with --as as a party: another
key, or a name that was registered. Where several must sign, --prepare FILE writes the
operation to a file instead of submitting it; each signs it with 'parley registry sign'
(no connection is needed), and anybody submits it with 'parley registry submit'.

A party is written as its name, or as key: and the 64 digits of a key. Durations are
written as 90m or 720h. Reads go through the log; with --receipt they are proved. Exit
code 4 says that the registry refused it, and why; nothing was changed then.`,
		Example: `  parley cluster --app registry --dir demo      # in another terminal
  parley registry collection create --dir demo batches
  parley registry create --dir demo batches B-1 '{"drug": "aspirin"}'
  parley registry update --dir demo batches B-1 '{"drug": "aspirin", "checked": true}'
  parley registry history --dir demo batches B-1`,
	}
	party := &cobra.Command{Use: "party", Short: "Names with m of n keys"}
	party.AddCommand(newPartyRegister(), newPartyRotate(), newPartyShow())
	key := &cobra.Command{Use: "key", Short: "Keys that are not to be trusted any more"}
	key.AddCommand(newKeyRevoke(), newKeyShow())
	collection := &cobra.Command{Use: "collection", Short: "Sets of records under common rules"}
	collection.AddCommand(newCollectionCreate(), newCollectionSet(), newCollectionShow(), newCollectionList())
	schemas := &cobra.Command{Use: "schema", Short: "What data in a collection look like"}
	schemas.AddCommand(newSchemaAdd(), newSchemaShow())
	authority := &cobra.Command{Use: "authority", Short: "Who may attest what in a collection"}
	authority.AddCommand(newAuthoritySet(), newAuthorityList())
	document := &cobra.Command{Use: "document", Short: "Personal data that stay outside, of which single fields are shown (offline)"}
	document.AddCommand(newDocumentNew(), newDocumentDisclose(), newDocumentVerify())
	cmd.AddCommand(newRegistryInfo(), party, key, collection, schemas, authority,
		newRecordCreate(), newRecordUpdate(), newRecordRevoke(), newRecordShow(), newRecordHistory(), newRecordList(), newRecordOwned(),
		newRecordOffer(), newRecordAccept(), newRecordTransfer(), newDelegate(), newDelegations(),
		newAttest(), newUnattest(), newAttestations(), document, registryEnvelopes().newSign(), newRegistrySubmit())
	return cmd
}

// registryRead is what commands that read have in common.
type registryRead struct{ operation }

func newRegistryRead() *registryRead {
	return &registryRead{operation{target: target{app: registryApplication.name}}}
}

// ask runs a read through the log. What is not there is an absentError.
func (o *registryRead) ask(cmd *cobra.Command, op registry.Operation) (*registry.Result, error) {
	r, _, err := o.submitRegistry(cmd, registry.Encode(op))
	if err == nil {
		err = no(r.Err())
	}
	if errors.Is(err, registry.ErrNotFound) {
		err = &absentError{err.Error()}
	}
	return r, err
}

// answer is what the cluster answers to an operation of any application.
func (o *operation) answer(cmd *cobra.Command, op []byte) (a client.Answer, err error) {
	err = o.session(cmd, func(ctx context.Context, s *session) error {
		a, err = o.run(ctx, s, op)
		return err
	})
	return a, err
}

func (o *operation) submitRegistry(cmd *cobra.Command, op []byte) (*registry.Result, client.Answer, error) {
	a, err := o.answer(cmd, op)
	if err != nil {
		return nil, a, err
	}
	r, err := registry.DecodeResult(a.Result)
	if err != nil {
		return nil, a, fmt.Errorf("the cluster's answer: %w", err)
	}
	return r, a, nil
}

// registryWrite is what commands that write have in common.
type registryWrite struct {
	operation
	prepareFlags
	as string
}

func newRegistryWrite() *registryWrite {
	return &registryWrite{operation: operation{target: target{app: registryApplication.name}}}
}

func (o *registryWrite) flags(cmd *cobra.Command) {
	o.operation.flags(cmd)
	o.prepareFlags.flags(cmd)
	cmd.Flags().StringVar(&o.as, "as", "", "the party to act as: a name, or key:DIGITS (default the key of the command)")
}

// party is who acts.
func (o *registryWrite) party() registry.Party { return registry.Party(o.as) }

// do submits the operation, or writes it to a file.
func (o *registryWrite) do(cmd *cobra.Command, op registry.Operation) error {
	if o.prepare != "" {
		return o.write(cmd, "registry", op.Kind(), registry.Encode(op))
	}
	return o.bytes(cmd, op.Kind(), registry.Encode(op))
}

func (o *registryWrite) bytes(cmd *cobra.Command, kind fmt.Stringer, op []byte) error {
	r, a, err := o.submitRegistry(cmd, op)
	if err != nil {
		return err
	}
	if err := no(r.Err()); err != nil {
		return o.proven(err)
	}
	out := cmd.OutOrStdout()
	if o.json {
		return o.proven(printJSON(out, r))
	}
	fmt.Fprintf(out, "%s: done in block %d", kind, a.Ref.Height)
	if c := r.Change; c != nil {
		if c.Version != 0 {
			fmt.Fprintf(out, ", version %d", c.Version)
		}
		if c.Number != 0 {
			fmt.Fprintf(out, ", attestation %d", c.Number)
		}
	}
	fmt.Fprintln(out)
	return o.proven(nil)
}

// moment shows a block time.
func moment(t statemachine.Time) string {
	if t == 0 {
		return "-"
	}
	return time.Unix(0, int64(t)).UTC().Format("2006-01-02T15:04:05.000Z")
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// fileOrText returns what a file has if the argument is @ and its name, standard input
// for -, and the argument itself otherwise.
func fileOrText(cmd *cobra.Command, arg string) ([]byte, error) {
	if len(arg) > 0 && arg[0] == '@' {
		return os.ReadFile(arg[1:])
	}
	return value(cmd, arg)
}

func newRegistrySubmit() *cobra.Command {
	o := newRegistryWrite()
	return registryEnvelopes().newSubmit(o.operation.flags, o.bytes)
}

func newRegistryInfo() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "info",
		Short:   "What the registry is, and how much is in it",
		Example: `  parley registry info --dir demo`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := o.ask(cmd, &registry.GetInfo{})
			if err != nil {
				return err
			}
			if o.json {
				return o.proven(printJSON(cmd.OutOrStdout(), r.Info))
			}
			i := r.Info
			fmt.Fprintf(cmd.OutOrStdout(), "chain        %s\nparties      %d\ncollections  %d\nrecords      %d\nbytes        %d of %d\n",
				i.Chain.Hex(), i.Parties, i.Collections, i.Records, i.Bytes, i.Limits.MaxStateBytes)
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}
