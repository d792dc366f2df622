package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/registry"
)

const rulesHelp = "rules, separated by commas: open-create, immutable, no-transfer, direct-transfer, controller-revokes, commitments-only, require-data, require-commitment"

func parseRules(cmd *cobra.Command, s string) (registry.Rules, error) {
	r, err := registry.ParseRules(s)
	if err != nil {
		return 0, usagef(cmd, "--rules: %v", err)
	}
	return r, nil
}

func newCollectionCreate() *cobra.Command {
	o := newRegistryWrite()
	var schemaFile, rules, controller, about string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a collection",
		Long: `Make a collection of records, controlled by whoever makes it, or by --controller if that
signs too. --schema is a file with JSON Schema that the records' data must follow.`,
		Example: `  parley registry collection create --dir demo batches --schema batch.json
  parley registry collection create --dir demo consents --rules open-create,commitments-only`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRules(cmd, rules)
			if err != nil {
				return err
			}
			op := &registry.CreateCollection{As: o.party(), Name: args[0], Controller: registry.Party(controller), Rules: r, About: about}
			if schemaFile != "" {
				if op.Schema, err = os.ReadFile(schemaFile); err != nil {
					return fmt.Errorf("--schema: %w", err)
				}
			}
			return o.do(cmd, op)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&schemaFile, "schema", "", "file with the JSON Schema of the data")
	cmd.Flags().StringVar(&rules, "rules", "", rulesHelp)
	cmd.Flags().StringVar(&controller, "controller", "", "the party that controls it (default you)")
	cmd.Flags().StringVar(&about, "about", "", "what it is, for people")
	return cmd
}

func newCollectionSet() *cobra.Command {
	o := newRegistryWrite()
	var rules, controller, about string
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a collection's rules, description and controller",
		Long: `Replace rules and description: what is not given is taken away. With --controller replace
the controller, too; the new one must sign as well.`,
		Example: `  parley registry collection set --dir demo batches --rules immutable`,
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := parseRules(cmd, rules)
			if err != nil {
				return err
			}
			return o.do(cmd, &registry.SetCollection{As: o.party(), Collection: args[0], Controller: registry.Party(controller), Rules: r, About: about})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&rules, "rules", "", rulesHelp)
	cmd.Flags().StringVar(&controller, "controller", "", "the party that shall control it")
	cmd.Flags().StringVar(&about, "about", "", "what it is, for people")
	return cmd
}

func newCollectionShow() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a collection",
		Example: `  parley registry collection show --dir demo batches`,
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.ask(cmd, &registry.GetCollection{Name: args[0]})
			if err != nil {
				return err
			}
			if o.json {
				return o.proven(printJSON(cmd.OutOrStdout(), r.Collection))
			}
			c := r.Collection
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s\ncontroller  %s\nrules       %s\nschemas     %d, writes may name %d and later\nrecords     %d\ncreated     %s in block %d\n",
				c.Name, c.About, c.Controller, c.Rules, c.Schemas, c.Floor, c.Records, moment(c.Created.Time), c.Created.Height)
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}

// pages asks for one page after another. next asks for the page after the last one, and
// prints it.
func (o *registryRead) pages(cmd *cobra.Command, first registry.Operation, next func(*registry.Result) (registry.Operation, error)) error {
	for op := first; op != nil; {
		r, err := o.ask(cmd, op)
		if err != nil {
			return err
		}
		if op, err = next(r); err != nil {
			return err
		}
		if !r.More {
			break
		}
	}
	return o.proven(nil)
}

func newCollectionList() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the collections",
		Example: `  parley registry collection list --dir demo`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t := newTable(cmd.OutOrStdout(), "NAME", "RECORDS", "SCHEMAS", "CONTROLLER", "RULES")
			op := new(registry.ListCollections)
			err := o.pages(cmd, op, func(r *registry.Result) (registry.Operation, error) {
				for _, c := range r.Collections {
					t.row(c.Name, c.Records, c.Schemas, c.Controller, c.Rules)
					op.After = c.Name
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

func newSchemaAdd() *cobra.Command {
	o := newRegistryWrite()
	var floor uint32
	cmd := &cobra.Command{
		Use:   "add COLLECTION FILE",
		Short: "Add the next schema of a collection",
		Long: `Add a schema, which data must follow from now on unless they name an older one. --floor
retires those below a number: writes may not name them any more. Records that were
written keep the number of the schema that they followed.`,
		Example: `  parley registry schema add --dir demo batches batch-v2.json --floor 2`,
		Args:    exactArgs("COLLECTION", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			return o.do(cmd, &registry.AddSchema{As: o.party(), Collection: args[0], Schema: b, Floor: floor})
		},
	}
	o.flags(cmd)
	cmd.Flags().Uint32Var(&floor, "floor", 0, "the lowest schema that writes may still name (default as before)")
	return cmd
}

func newSchemaShow() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "show COLLECTION [NUMBER]",
		Short:   "Print a schema of a collection, the latest by default",
		Example: `  parley registry schema show --dir demo batches 1`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactArgs("COLLECTION")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			op := &registry.GetSchema{Collection: args[0]}
			if len(args) == 2 {
				n, err := strconv.ParseUint(args[1], 10, 32)
				if err != nil {
					return usagef(cmd, "NUMBER is %q: give a number from 1", args[1])
				}
				op.Number = uint32(n)
			}
			r, err := o.ask(cmd, op)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", r.Schema)
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}

func newAuthoritySet() *cobra.Command {
	o := newRegistryWrite()
	var topics []string
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "set COLLECTION PARTY",
		Short: "Say what a party may attest in a collection",
		Long: `Let a party attest records of a collection under --topics, which replace those that it
had; "*" is any topic. Without topics it may attest nothing any more.`,
		Example: `  parley registry authority set --dir demo batches lab --topics purity,weight --for 8760h`,
		Args:    exactArgs("COLLECTION", "PARTY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			slices.Sort(topics)
			return o.do(cmd, &registry.SetAuthority{As: o.party(), Collection: args[0], Authority: registry.Party(args[1]), Topics: slices.Compact(topics), Expires: deadline(length)})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&topics, "topics", nil, "topics, separated by commas")
	cmd.Flags().DurationVar(&length, "for", 0, "for how long (default for ever)")
	return cmd
}

func newAuthorityList() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "list COLLECTION",
		Short:   "List who may attest what in a collection",
		Example: `  parley registry authority list --dir demo batches`,
		Args:    exactArgs("COLLECTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t := newTable(cmd.OutOrStdout(), "AUTHORITY", "TOPICS", "UNTIL")
			op := &registry.ListAuthorities{Collection: args[0]}
			err := o.pages(cmd, op, func(r *registry.Result) (registry.Operation, error) {
				for _, a := range r.Authorities {
					t.row(a.Name, strings.Join(a.Topics, ","), moment(a.Expires))
					op.After = a.Name
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
