package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/kv"
)

func newVerifyReceipt() *cobra.Command {
	t := &target{}
	var asJSON, quiet bool
	var key, val string
	cmd := &cobra.Command{
		Use:   "verify-receipt FILE...",
		Short: "Check receipts, offline",
		Long: `Check that the cluster's members certified what the receipts say. It needs the
cluster file, no key and no connection, and trusts nothing but the cluster file.
'parley put --receipt FILE' and 'parley load --receipts DIR' make receipts.

A receipt proves: in that block the cluster gave that operation that result. With
--put-key and --put-value it is also checked that the operation is that put.

Exit code 6 if any receipt does not verify; the message says why. Exit code 1 if
none is bad, but a file cannot be read.`,
		Example: `  parley verify-receipt --cluster cluster.json colour.receipt
  parley verify-receipt --dir demo --put-key colour --put-value green colour.receipt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "FILE is missing: name at least one receipt")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ros, err := roster.Load(t.cluster)
			if err != nil {
				return err
			}
			var want []byte
			if cmd.Flags().Changed("put-key") || cmd.Flags().Changed("put-value") {
				want = kv.Put([]byte(key), []byte(val))
			}
			invalid, unreadable := 0, 0
			for _, path := range args {
				r, err := checkReceipt(ros, path, want)
				if err != nil {
					verdict := "INVALID"
					var file *fs.PathError
					if errors.As(err, &file) {
						unreadable++
						verdict, err = "CANNOT READ", file.Err
					} else {
						invalid++
					}
					if asJSON {
						_ = json.NewEncoder(cmd.OutOrStdout()).Encode(jsonReceipt{File: path, Unreadable: file != nil, Error: err.Error()})
					}
					fmt.Fprintf(cmd.ErrOrStderr(), "%s %s: %v\n", verdict, path, err)
					continue
				}
				switch {
				case asJSON:
					err = json.NewEncoder(cmd.OutOrStdout()).Encode(newJSONReceipt(path, ros, r))
				case !quiet:
					describeReceipt(cmd.OutOrStdout(), path, ros, r)
				}
				if err != nil {
					return err
				}
			}
			unread := fmt.Sprintf("%d of %d files cannot be read, and nothing is known of them: check the paths and who may read them", unreadable, len(args))
			switch {
			case invalid > 0 && unreadable > 0:
				return &invalidError{fmt.Sprintf("%d of %d receipts do not verify; %s", invalid, len(args), unread)}
			case invalid > 0:
				return &invalidError{fmt.Sprintf("%d of %d receipts do not verify", invalid, len(args))}
			case unreadable > 0:
				return errors.New(unread)
			}
			if quiet || len(args) > 1 && !asJSON {
				fmt.Fprintf(cmd.OutOrStdout(), "%d receipts verify\n", len(args))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.dir, "dir", "", "the cluster's folder, with cluster.json (default $"+dirVariable+", or here)")
	f.StringVar(&t.cluster, "cluster", "", "cluster file (default cluster.json in --dir)")
	f.StringVar(&key, "put-key", "", "the receipt must be of a put of this key, with --put-value")
	f.StringVar(&val, "put-value", "", "and this value")
	f.BoolVar(&asJSON, "json", false, "print one JSON object for each receipt")
	f.BoolVarP(&quiet, "quiet", "q", false, "print only what is wrong, and a count")
	return cmd
}

func checkReceipt(ros *roster.Roster, path string, want []byte) (*receipt.Receipt, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, receipt.MaxSize+1))
	if err != nil {
		return nil, err
	}
	r, err := receipt.Decode(data)
	if err != nil {
		return nil, err
	}
	if err := receipt.Verify(ros, r); err != nil {
		return nil, err
	}
	if want != nil {
		if op, ok := r.Operation(); ok && !bytes.Equal(op, want) {
			return nil, fmt.Errorf("%w: the operation is not that put", receipt.ErrOtherRequest)
		}
		if err := r.CheckOperation(want); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// proved is what a verified receipt of the key-value store says, in words.
func proved(r *receipt.Receipt) string {
	if r.Status != statemachine.Executed {
		return fmt.Sprintf("the request was turned down: %v", r.Status)
	}
	res, err := kv.DecodeResult(r.Result)
	if err != nil {
		if o, err := contract.DecodeOutcome(r.Result); err == nil {
			return fmt.Sprintf("transaction %v: %s, %d gas, %d events", o.Hash, contract.CodeText(r.Result.Code), o.GasUsed, len(o.Logs))
		}
		return fmt.Sprintf("an operation that is none of the key-value store ended with code %v", r.Result.Code)
	}
	what := map[kv.Kind]string{kv.KindGet: "get", kv.KindPut: "put", kv.KindDelete: "delete", kv.KindSwap: "compare-and-swap",
		kv.KindRange: "range", kv.KindTxn: "transaction"}[res.Kind]
	if what == "" {
		what = "operation"
	}
	if len(res.KV.Key) > 0 {
		what += " " + text(res.KV.Key)
	}
	if v, ok := putValue(r, &res); ok {
		what += " = " + text(v)
	}
	if res.Kind == kv.KindGet && res.Found {
		what += " = " + text(res.KV.Value)
	}
	switch {
	case errors.Is(res.Err(), kv.ErrCompareFailed):
		return what + " did not take place: the condition did not hold"
	case res.Err() != nil:
		return fmt.Sprintf("%s was refused: %v", what, res.Err())
	}
	return fmt.Sprintf("%s, revision %d, version %d", what, res.Revision, res.KV.Version)
}

// putValue finds the value in a put's encoding: it is the one v for which the
// operation is Put(key, v).
func putValue(r *receipt.Receipt, res *kv.Result) ([]byte, bool) {
	op, ok := r.Operation()
	if !ok || res.Kind != kv.KindPut {
		return nil, false
	}
	at := len(kv.Put(res.KV.Key, nil))
	if len(op) < at {
		return nil, false
	}
	v := op[at:]
	return v, bytes.Equal(kv.Put(res.KV.Key, v), op)
}

func describeReceipt(out io.Writer, path string, ros *roster.Roster, r *receipt.Receipt) {
	c := r.Certificate
	fmt.Fprintf(out, "VALID %s\n", path)
	fmt.Fprintf(out, "  %s\n", proved(r))
	fmt.Fprintf(out, "  in block %d of cluster %q (%s), request %s\n", r.Height, ros.Cluster.Name, ros.ID.Hex()[:16], r.Request.Hex()[:16])
	fmt.Fprintf(out, "  certified by the checkpoint at block %d, signed by %s\n", c.Height, signerNames(ros, c.Signers))
}

func signerNames(ros *roster.Roster, signers crypto.Bitmap) string {
	names := ""
	for i, id := range signers.IDs() {
		if i > 0 {
			names += ", "
		}
		names += ros.Member(id).Name
	}
	return names
}

type jsonReceipt struct {
	File       string   `json:"file"`
	Valid      bool     `json:"valid"`
	Unreadable bool     `json:"unreadable,omitempty"` // not verified
	Error      string   `json:"error,omitempty"`
	Proves     string   `json:"proves,omitempty"`
	Block      uint64   `json:"block,omitempty"`
	Request    string   `json:"request,omitempty"`
	Checkpoint uint64   `json:"checkpoint,omitempty"`
	Signers    []string `json:"signers,omitempty"`
}

func newJSONReceipt(path string, ros *roster.Roster, r *receipt.Receipt) jsonReceipt {
	j := jsonReceipt{File: path, Valid: true, Proves: proved(r), Block: uint64(r.Height), Request: r.Request.Hex(), Checkpoint: uint64(r.Certificate.Height)}
	for _, id := range r.Certificate.Signers.IDs() {
		j.Signers = append(j.Signers, ros.Member(id).Name)
	}
	return j
}
