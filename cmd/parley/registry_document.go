package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/registry/disclosure"
)

func newDocumentNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new FILE NAME=VALUE...",
		Short: "Make a document of named fields, and print its commitment",
		Long: `Write fields and their salts to a new file, which stays with whoever is responsible for
them, and print the commitment, which goes into the registry and says nothing about
them. Deleting the file makes the commitment meaningless for good.`,
		Example: `  parley registry document new ada.json name=Ada born=1815-12-10`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactArgs("FILE", "NAME=VALUE")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			values := make(map[string]string)
			for _, a := range args[1:] {
				name, v, ok := strings.Cut(a, "=")
				if _, twice := values[name]; !ok || twice {
					return usagef(cmd, "%q is no field, or is there twice: write NAME=VALUE", a)
				}
				values[name] = v
			}
			d, err := disclosure.New(values, rand.Reader)
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(d, "", "  ")
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = f.Write(append(b, '\n'))
			if errClose := f.Close(); err == nil {
				err = errClose
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), d.Commitment().Hex())
			return nil
		},
	}
	return cmd
}

func newDocumentDisclose() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "disclose FILE NAME...",
		Short:   "Print what shows some fields of a document, and no others",
		Example: `  parley registry document disclose ada.json born > born.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactArgs("FILE", "NAME")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			d, err := disclosure.Parse(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			shown, err := d.Disclose(args[1:]...)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), shown)
		},
	}
	return cmd
}

func newDocumentVerify() *cobra.Command {
	t := &target{app: registryApplication.name}
	var commitment, receiptFile string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check fields that somebody shows, offline",
		Long: `Check what 'parley registry document disclose' printed, against a --commitment, or
against a --receipt that 'parley registry show --receipt' wrote: then it is proved that
the cluster had the record with that commitment. Exit code 6 if it does not hold. That the
record was made with a key that had been revoked by then is said as well; of what was
revoked since only a new read can tell.`,
		Example: `  parley registry document verify --dir demo --receipt ada.receipt born.json`,
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (commitment == "") == (receiptFile == "") {
				return usagef(cmd, "give --receipt or --commitment")
			}
			b, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			shown := new(disclosure.Disclosure)
			if err := json.Unmarshal(b, shown); err != nil {
				return &invalidError{fmt.Sprintf("%s is no disclosure: %v", args[0], err)}
			}
			out := cmd.OutOrStdout()
			var of crypto.Digest
			origin := ""
			if commitment != "" {
				if err := of.UnmarshalText([]byte(commitment)); err != nil {
					return usagef(cmd, "--commitment: %v", err)
				}
			} else {
				r, height, err := t.provenRecord(cmd, receiptFile)
				if err != nil {
					return err
				}
				of = r.Version.Commitment
				state := "in force"
				if r.Record.Revoked {
					state = "REVOKED"
				}
				if r.Version.Compromised != 0 {
					state += ", NOT TRUSTED: " + distrust(r.Version.Compromised)
				}
				origin = fmt.Sprintf("of %s/%s, owned by %s, %s in block %d\n", r.Record.Collection, text([]byte(r.Record.ID)), r.Record.Owner, state, height)
			}
			fields, err := shown.Verify(of)
			if err != nil {
				return &invalidError{err.Error()}
			}
			for _, f := range fields {
				fmt.Fprintf(out, "%s = %s\n", text([]byte(f.Name)), text([]byte(f.Value)))
			}
			_, err = io.WriteString(out, origin)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.dir, "dir", "", "the cluster's folder, with cluster.json (default $"+dirVariable+", or here)")
	f.StringVar(&t.cluster, "cluster", "", "cluster file (default cluster.json in --dir)")
	f.StringVar(&commitment, "commitment", "", "the commitment of the record")
	f.StringVar(&receiptFile, "receipt", "", "the receipt of a read of the record")
	return cmd
}

// provenRecord returns what a receipt proves about a record.
func (t *target) provenRecord(cmd *cobra.Command, path string) (*registry.Result, uint64, error) {
	if err := t.resolve(cmd); err != nil {
		return nil, 0, err
	}
	ros, err := roster.Load(t.cluster)
	if err != nil {
		return nil, 0, err
	}
	rec, err := checkReceipt(ros, path, nil)
	if err != nil {
		return nil, 0, &invalidError{fmt.Sprintf("%s: %v", path, err)}
	}
	r, err := registry.DecodeResult(rec.Result)
	if err != nil || r.Record == nil || r.Version == nil {
		return nil, 0, &invalidError{fmt.Sprintf("%s is a receipt of something else than 'parley registry show'", path)}
	}
	return r, uint64(rec.Height), nil
}
