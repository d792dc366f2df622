package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
)

func loadEnvelope(path string) (*signed.Envelope, registry.Operation, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	e, err := signed.Decode(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: name a file that --prepare wrote", path, err)
	}
	op, err := registry.Decode(e.Op)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, op, nil
}

func newRegistrySign() *cobra.Command {
	t := &target{app: registryApplication.name}
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign an operation that --prepare wrote (offline)",
		Long: `Print what an operation would do, and add the signature of --key to the file. It needs
the cluster file and no connection. The signature counts for that cluster alone, until
the deadline, and once.`,
		Example: `  parley registry sign --dir demo --key alice.key transfer.op`,
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ros, err := t.load()
			if err != nil {
				return err
			}
			key, err := keyfile.LoadClient(cmp.Or(t.key, t.keyPath()))
			if err != nil {
				return err
			}
			e, op, err := loadEnvelope(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, until %s\n", op.Kind(), moment(e.Deadline))
			describeOperation(cmd.OutOrStdout(), op)
			if err := e.Sign(registry.Space(ros.Cluster.ID()), ed25519.NewSigner(key.Signing)); err != nil {
				return err
			}
			if err := os.WriteFile(args[0], e.Encode(), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "signed by %s, %d in all\n", key.Signing.Public().Hex(), len(e.Signatures))
			return nil
		},
	}
	t.flags(cmd, 0)
	return cmd
}

// describeOperation shows the fields of an operation that say something.
func describeOperation(out io.Writer, op registry.Operation) {
	v := reflect.ValueOf(op).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		shown := fmt.Sprintf("%v", v.Field(i).Interface())
		switch f := v.Field(i).Interface().(type) {
		case []byte:
			shown = text(f)
		case string:
			shown = text([]byte(f))
		case statemachine.Time:
			shown = moment(f)
		case signed.Threshold:
			shown = describeThreshold(&f)
		case crypto.PublicKey:
			shown = f.Hex()
		case crypto.Digest:
			shown = f.Hex()
		}
		fmt.Fprintf(out, "  %-12s %s\n", v.Type().Field(i).Name, shown)
	}
}

func newRegistrySubmit() *cobra.Command {
	o := newRegistryWrite()
	cmd := &cobra.Command{
		Use:   "submit FILE...",
		Short: "Submit a signed operation",
		Long: `Submit an operation that was signed with 'parley registry sign'. Where several people
signed copies of it, name all of them: the signatures are put together.`,
		Example: `  parley registry submit --dir demo transfer.op
  parley registry submit --dir demo from-alice.op from-bob.op`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "FILE is missing: name what --prepare wrote")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e, op, err := loadEnvelope(args[0])
			if err != nil {
				return err
			}
			for _, path := range args[1:] {
				more, _, err := loadEnvelope(path)
				if err != nil {
					return err
				}
				if more.Digest(signed.Space{}) != e.Digest(signed.Space{}) {
					return errors.New(path + " is another operation than " + args[0] + ": submit it by itself")
				}
				for _, s := range more.Signatures {
					e.Add(s)
				}
			}
			return o.bytes(cmd, op.Kind(), registry.EncodeSigned(e))
		},
	}
	o.operation.flags(cmd)
	return cmd
}
