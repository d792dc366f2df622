package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/statemachine/kv"
)

func newPut() *cobra.Command {
	o := newOperation()
	cmd := &cobra.Command{
		Use:   "put KEY VALUE",
		Short: "Set a key",
		Long: `Set a key to a value, whatever was there. VALUE - reads it from standard input.

When the command succeeds the write is durable on a quorum of replicas.`,
		Example: `  parley put --dir demo colour green
  parley put --dir demo photo - < photo.jpg
  parley put --dir demo --receipt colour.receipt colour green`,
		Args: exactArgs("KEY", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := value(cmd, args[1])
			if err != nil {
				return err
			}
			if err := checkRecord([]byte(args[0]), v, kv.DefaultLimits()); err != nil {
				return err
			}
			r, a, err := o.submit(cmd, kv.Put([]byte(args[0]), v))
			if err != nil {
				return err
			}
			if err := judge(&r); err != nil {
				return o.proven(err)
			}
			if o.json {
				return o.proven(o.printJSON(cmd, &r, &a, true))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "put %s: revision %d, version %d, block %d\n", text(r.KV.Key), r.Revision, r.KV.Version, a.Ref.Height)
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}

func newDelete() *cobra.Command {
	o := newOperation()
	cmd := &cobra.Command{
		Use:     "del KEY",
		Short:   "Remove a key",
		Long:    "Remove a key. Removing what is not there is no error and changes nothing.",
		Example: `  parley del --dir demo colour`,
		Args:    exactArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkRecord([]byte(args[0]), nil, kv.DefaultLimits()); err != nil {
				return err
			}
			r, a, err := o.submit(cmd, kv.Delete([]byte(args[0])))
			if err != nil {
				return err
			}
			if err := judge(&r); err != nil {
				return o.proven(err)
			}
			if o.json {
				return o.proven(o.printJSON(cmd, &r, &a, r.Found))
			}
			if r.Found {
				fmt.Fprintf(cmd.OutOrStdout(), "deleted %s: revision %d, block %d\n", text([]byte(args[0])), r.Revision, a.Ref.Height)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "%s was not there\n", text([]byte(args[0])))
			}
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}

func newSwap() *cobra.Command {
	o := newOperation()
	var create bool
	var revision uint64
	cmd := &cobra.Command{
		Use:   "cas KEY OLD NEW",
		Short: "Set a key if it has the expected value",
		Long: `Compare and swap: set KEY to NEW if its value is OLD. With --create KEY must not
exist, with --revision N it must have been changed last at revision N; OLD is left
out then. NEW - reads the new value from standard input.

Exit code 4 says that the condition does not hold; nothing was changed.`,
		Example: `  parley cas --dir demo colour green blue
  parley cas --dir demo --create leader alice
  parley cas --dir demo --revision 17 leader bob`,
		Args: func(cmd *cobra.Command, args []string) error {
			if create && revision != 0 {
				return usagef(cmd, "--create wants no key, --revision one: give one of them")
			}
			if create || revision != 0 {
				return exactArgs("KEY", "NEW")(cmd, args)
			}
			return exactArgs("KEY", "OLD", "NEW")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			key := []byte(args[0])
			v, err := value(cmd, args[len(args)-1])
			if err != nil {
				return err
			}
			if err := checkRecord(key, v, kv.DefaultLimits()); err != nil {
				return err
			}
			var op []byte
			switch {
			case create:
				op = kv.Create(key, v)
			case revision != 0:
				op = kv.SwapAtRevision(key, revision, v)
			default:
				op = kv.CompareAndSwap(key, []byte(args[1]), v)
			}
			r, a, err := o.submit(cmd, op)
			if err != nil {
				return err
			}
			refused := judge(&r)
			if refused != nil && !errors.Is(r.Err(), kv.ErrCompareFailed) {
				return o.proven(refused)
			}
			if refused != nil && create {
				refused = &absentError{fmt.Sprintf("not created: %s exists, at revision %d, version %d", text(key), r.KV.Mod, r.KV.Version)}
			}
			if o.json {
				return o.proven(errors.Join(o.printJSON(cmd, &r, &a, refused == nil), refused))
			}
			if refused == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "swapped %s: revision %d, version %d, block %d\n", text(key), r.Revision, r.KV.Version, a.Ref.Height)
			}
			return o.proven(refused)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&create, "create", false, "the condition is that KEY does not exist")
	cmd.Flags().Uint64Var(&revision, "revision", 0, "the condition is that KEY was changed last at this revision")
	return cmd
}
