package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/kv"
)

// operation is what put, get, del and cas have in common: one operation through
// the log, and perhaps the receipt of it.
type operation struct {
	target
	json    bool
	receipt string

	// noProof is why there is no receipt of the operation, which ran.
	noProof *noProofError
}

func newOperation() *operation { return &operation{target: target{app: kvApplication.name}} }

const operationTimeout = 15 * time.Second

func (o *operation) flags(cmd *cobra.Command) {
	o.target.flags(cmd, operationTimeout)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.Flags().StringVar(&o.receipt, "receipt", "", "write the proof of the result to this new file (waits for the next checkpoint)")
}

// submit runs an operation. The result is decoded and not yet judged. That only its
// receipt could not be had is no error here: see [operation.proven].
func (o *operation) submit(cmd *cobra.Command, op []byte) (r kv.Result, a client.Answer, err error) {
	err = o.session(cmd, func(ctx context.Context, s *session) error {
		if a, err = o.run(ctx, s, op); err != nil {
			return err
		}
		if r, err = kv.DecodeResult(a.Result); err != nil {
			return fmt.Errorf("the cluster's answer: %w", err)
		}
		return nil
	})
	return r, a, err
}

// session calls do with a connection to the cluster.
func (o *operation) session(cmd *cobra.Command, do func(context.Context, *session) error) error {
	if err := o.resolve(cmd); err != nil {
		return err
	}
	if o.receipt != "" {
		if err := checkNew(o.receipt); err != nil {
			return fmt.Errorf("--receipt: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	s, err := o.connect(ctx, nil)
	if err != nil {
		return err
	}
	defer s.close()
	return do(ctx, s)
}

// run runs an operation and gets its receipt, if that is wanted.
func (o *operation) run(ctx context.Context, s *session, op []byte) (client.Answer, error) {
	a, refused := s.Do(ctx, op)
	if refused != nil && !errors.As(refused, new(*access.Refusal)) || o.receipt == "" {
		return a, refused
	}
	proof, err := s.Receipt(ctx, a.Ref, op)
	if err == nil {
		err = writeNew(o.receipt, proof.Encode())
	}
	if err != nil {
		o.noProof = &noProofError{fmt.Sprintf("the operation was committed in block %d", a.Ref.Height), err}
	}
	return a, refused
}

// proven ends a command whose operation ran and was reported: err is how it went,
// and a receipt that is missing is an error beside that.
func (o *operation) proven(err error) error {
	switch {
	case o.noProof == nil:
		return err
	case err == nil:
		return o.noProof
	}
	return fmt.Errorf("%w; %w", err, o.noProof)
}

// judge turns a refusal by the store into an error.
func judge(r *kv.Result) error {
	err := r.Err()
	if errors.Is(err, kv.ErrCompareFailed) {
		if r.Found {
			return &absentError{fmt.Sprintf("not swapped: %s has another value, at revision %d, version %d", text(r.KV.Key), r.KV.Mod, r.KV.Version)}
		}
		return &absentError{"not swapped: there is no such key"}
	}
	return no(err)
}

// checkNew tells before an operation whether writeNew can work after it.
func checkNew(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists already: name a new file", path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".parley-probe-*")
	if err != nil {
		return fmt.Errorf("no file can be made in the folder of %s: name another, or correct the folder: %w", path, errors.Unwrap(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// writeNew makes a file and overwrites nothing.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// maxStdinValue bounds a value from standard input; the store's limit is lower.
const maxStdinValue = 64 << 20

// value returns an argument, or standard input for "-".
func value(cmd *cobra.Command, arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	v, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxStdinValue+1))
	if err != nil {
		return nil, fmt.Errorf("read the value from standard input: %w", err)
	}
	if len(v) > maxStdinValue {
		return nil, fmt.Errorf("standard input is longer than %d bytes: no value is", maxStdinValue)
	}
	return v, nil
}

// text shows bytes to people: as they are if they are printable, quoted otherwise.
func text(b []byte) string {
	if len(b) == 0 {
		return `""`
	}
	if !utf8.Valid(b) {
		return strconv.QuoteToASCII(string(b))
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) {
			return strconv.Quote(string(b))
		}
	}
	return string(b)
}

// jsonBytes is a string in JSON where that is faithful, and {"base64": ...} where not.
type jsonBytes []byte

func (b jsonBytes) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(struct {
		Base64 []byte `json:"base64"`
	}{b})
}

// jsonKV is a key for --json.
type jsonKV struct {
	Key            jsonBytes  `json:"key"`
	Value          *jsonBytes `json:"value,omitempty"`
	CreateRevision uint64     `json:"createRevision,omitempty"`
	ModRevision    uint64     `json:"modRevision,omitempty"`
	Version        uint64     `json:"version,omitempty"`
}

func newJSONKV(kv *kv.KeyValue) jsonKV {
	j := jsonKV{Key: kv.Key, CreateRevision: kv.Create, ModRevision: kv.Mod, Version: kv.Version}
	if !kv.Omitted {
		v := jsonBytes(kv.Value)
		j.Value = &v
	}
	return j
}

// jsonOutcome is an operation's outcome for --json.
type jsonOutcome struct {
	Done     bool    `json:"done"` // found, written, deleted, swapped
	Revision uint64  `json:"revision,omitempty"`
	Block    uint64  `json:"block,omitempty"`
	KV       *jsonKV `json:"kv,omitempty"`
	Receipt  string  `json:"receipt,omitempty"`
}

func (o *operation) printJSON(cmd *cobra.Command, r *kv.Result, a *client.Answer, done bool) error {
	j := jsonOutcome{Done: done, Revision: r.Revision, Block: uint64(a.Ref.Height)}
	if o.noProof == nil {
		j.Receipt = o.receipt
	}
	if len(r.KV.Key) > 0 {
		kv := newJSONKV(&r.KV)
		j.KV = &kv
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(j)
}
