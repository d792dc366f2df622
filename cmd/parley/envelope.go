package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
)

// envelopes are operations of an application that are written to files to be signed.
type envelopes struct {
	app    string // whose operations, and what the commands are called under
	runs   string // what the cluster must run, empty if any will do
	space  func(crypto.Digest) signed.Space
	decode func([]byte) (kind fmt.Stringer, op any, err error)
	encode func(*signed.Envelope) []byte
}

func registryEnvelopes() *envelopes {
	return &envelopes{
		app: "registry", runs: registryApplication.name, space: registry.Space, encode: registry.EncodeSigned,
		decode: func(b []byte) (fmt.Stringer, any, error) {
			op, err := registry.Decode(b)
			if err != nil {
				return nil, nil, err
			}
			return op.Kind(), op, nil
		},
	}
}

func accessEnvelopes() *envelopes {
	return &envelopes{
		app: "access", space: access.Space, encode: access.EncodeSigned,
		decode: func(b []byte) (fmt.Stringer, any, error) {
			op, err := access.Decode(b)
			if err != nil {
				return nil, nil, err
			}
			return op.Kind(), op, nil
		},
	}
}

func (v *envelopes) load(path string) (e *signed.Envelope, kind fmt.Stringer, op any, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, nil, err
	}
	if e, err = signed.Decode(b); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w: name a file that --prepare wrote", path, err)
	}
	if kind, op, err = v.decode(e.Op); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, kind, op, nil
}

// prepareFlags are those of a command that can write its operation to a file.
type prepareFlags struct {
	prepare  string
	validFor time.Duration
}

func (p *prepareFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.prepare, "prepare", "", "write the operation to this new file, to be signed, and submit nothing")
	f.DurationVar(&p.validFor, "valid-for", 24*time.Hour, "with --prepare: how long signatures count")
}

// write writes an operation to the file.
func (p *prepareFlags) write(cmd *cobra.Command, app string, kind fmt.Stringer, op []byte) error {
	e := signed.Envelope{Deadline: deadline(p.validFor), Op: op}
	if err := writeNew(p.prepare, e.Encode()); err != nil {
		return fmt.Errorf("--prepare: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "wrote %s to %s: sign it with 'parley %s sign', then submit it within %v\n", kind, p.prepare, app, p.validFor)
	return nil
}

func (v *envelopes) newSign() *cobra.Command {
	t := &target{app: v.runs}
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign an operation that --prepare wrote (offline)",
		Long: `Print what an operation would do, and add the signature of --key to the file. It needs
the cluster file and no connection. The signature counts for that cluster alone, until
the deadline, and once.`,
		Example: "  parley " + v.app + " sign --dir demo --key alice.key prepared.op",
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
			e, kind, op, err := v.load(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, until %s\n", kind, moment(e.Deadline))
			describeOperation(cmd.OutOrStdout(), op)
			if err := e.Sign(v.space(ros.Cluster.ID()), ed25519.NewSigner(key.Signing)); err != nil {
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

// newSubmit returns the command that submits; submit runs the operation and reports.
func (v *envelopes) newSubmit(flags func(*cobra.Command), submit func(cmd *cobra.Command, kind fmt.Stringer, op []byte) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "submit FILE...",
		Short: "Submit a signed operation",
		Long: `Submit an operation that was signed with 'parley ` + v.app + ` sign'. Where several people
signed copies of it, name all of them: the signatures are put together.`,
		Example: "  parley " + v.app + " submit --dir demo prepared.op\n  parley " + v.app + " submit --dir demo from-alice.op from-bob.op",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "FILE is missing: name what --prepare wrote")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e, kind, _, err := v.load(args[0])
			if err != nil {
				return err
			}
			for _, path := range args[1:] {
				more, _, _, err := v.load(path)
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
			return submit(cmd, kind, v.encode(e))
		},
	}
	flags(cmd)
	return cmd
}

// describeOperation shows the fields of an operation that say something.
func describeOperation(out io.Writer, op any) {
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
		case access.Change:
			if b, err := json.Marshal(f); err == nil {
				shown = string(b)
			}
		}
		fmt.Fprintf(out, "  %-12s %s\n", v.Type().Field(i).Name, shown)
	}
}
