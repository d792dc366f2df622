package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/kv"
)

// anyReplica is the --replica of a read through the log.
const anyReplica = -1

// replicaFlag is --replica.
func replicaFlag(cmd *cobra.Command, p *int) {
	cmd.Flags().IntVar(p, "replica", anyReplica,
		"ask this replica alone, without the log: quick, possibly stale, and a lie if that replica is faulty")
}

// readWay says whom a read asks: the log, unless one of these is set.
type readWay struct {
	replica    int
	withoutLog bool
	certified  bool // of get
}

func (w *readWay) flags(cmd *cobra.Command) {
	replicaFlag(cmd, &w.replica)
	cmd.Flags().BoolVar(&w.withoutLog, "without-log", false,
		"ask all replicas instead of the log: as sure, and cheaper; through the log only if they do not agree")
}

// readOne asks one replica, all of them, or the log.
func (o *operation) readOne(cmd *cobra.Command, w readWay, q []byte) (kv.Result, client.Answer, error) {
	switch {
	case w.replica == anyReplica && !w.withoutLog:
		return o.submit(cmd, q)
	case o.receipt != "":
		return kv.Result{}, client.Answer{}, usagef(cmd, "--receipt proves what went through the log: leave out --replica and --without-log")
	case w.replica != anyReplica && w.withoutLog:
		return kv.Result{}, client.Answer{}, usagef(cmd, "--replica asks one, --without-log asks all: leave out one of them")
	case w.withoutLog:
		return o.readAll(cmd, q)
	}
	replica := w.replica
	if err := o.resolve(cmd); err != nil {
		return kv.Result{}, client.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	d, err := o.direct()
	if err != nil {
		return kv.Result{}, client.Answer{}, err
	}
	defer d.close()
	if replica < 0 || replica >= d.roster.N() {
		return kv.Result{}, client.Answer{}, usagef(cmd, "--replica is %d: the cluster has 0 to %d", replica, d.roster.N()-1)
	}
	r, height, err := d.query(ctx, replica, q)
	var a client.Answer
	a.Ref.Height = pbft.Height(height)
	return r, a, err
}

// readAll asks all replicas.
func (o *operation) readAll(cmd *cobra.Command, q []byte) (kv.Result, client.Answer, error) {
	var a client.Answer
	if err := o.resolve(cmd); err != nil {
		return kv.Result{}, a, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	s, err := o.connect(ctx, nil)
	if err != nil {
		return kv.Result{}, a, err
	}
	defer s.close()
	found, err := s.Read(ctx, q, q)
	if err != nil {
		return kv.Result{}, a, err
	}
	a.Ref.Height = found.Height
	var r kv.Result
	if found.Logged != nil {
		r, err = kv.DecodeResult(*found.Logged)
	} else {
		r, err = kv.DecodeAnswer(found.Data)
	}
	if err != nil {
		return r, a, fmt.Errorf("the cluster's answer: %w", err)
	}
	return r, a, nil
}

func newGet() *cobra.Command {
	o := newOperation()
	var way readWay
	var certified certifiedFlags
	var verbose bool
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Read a key",
		Long: `Print the value of a key and a newline. The read goes through the log: it sees
every write that was acknowledged to anybody before. So does one with --without-log,
which asks all replicas how far they have come and believes more than may be faulty.
With --certified, where the cluster runs kv-store, one replica proves what the state had
at the last checkpoint: it cannot lie, and may be late by --max-age.
Exit code 4 if there is no such key.`,
		Example: `  parley get --dir demo colour
  parley get --dir demo --without-log colour
  parley get --dir demo --certified --max-age 1m --proof colour.proof colour
  parley get --dir demo --replica 2 colour    # what replica 2 has now`,
		Args: exactArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r kv.Result
			var a client.Answer
			var err error
			switch {
			case way.certified && (way.replica != anyReplica || way.withoutLog || o.receipt != ""):
				return usagef(cmd, "--certified goes without --replica, --without-log and --receipt; its proof is --proof")
			case way.certified:
				r, a, err = o.readCertified(cmd, &certified, []byte(args[0]))
			case certified.given(cmd):
				return usagef(cmd, "--max-age, --min-height and --proof are of a certified read: add --certified")
			default:
				r, a, err = o.readOne(cmd, way, kv.Get([]byte(args[0])))
			}
			if err != nil {
				return err
			}
			if err := judge(&r); err != nil {
				return o.proven(err)
			}
			out := cmd.OutOrStdout()
			switch {
			case o.json:
				if err := o.printJSON(cmd, &r, &a, r.Found); err != nil {
					return err
				}
			case r.Found && verbose:
				fmt.Fprintf(out, "%s = %s\ncreated at revision %d, changed at %d, version %d\n",
					text(r.KV.Key), text(r.KV.Value), r.KV.Create, r.KV.Mod, r.KV.Version)
			case r.Found:
				if _, err := out.Write(append(r.KV.Value, '\n')); err != nil {
					return err
				}
			}
			if !r.Found {
				return o.proven(&absentError{fmt.Sprintf("there is no key %s", text([]byte(args[0])))})
			}
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	way.flags(cmd)
	cmd.Flags().BoolVar(&way.certified, "certified", false, "ask one replica for what the last checkpoint certifies, with the proof")
	certified.flags(cmd)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print revisions and version too")
	return cmd
}

func newRange() *cobra.Command {
	o := newOperation()
	var way readWay
	var prefix string
	var limit uint32
	var keysOnly bool
	cmd := &cobra.Command{
		Use:   "range [START [END]]",
		Short: "List keys in order",
		Long: `Print the keys from START up to but not including END, in ascending order, as key,
tab, value; what is not printable is quoted. Long lists are read in pages, each
of which is consistent by itself.`,
		Example: `  parley range --dir demo --prefix user/
  parley range --dir demo --keys-only a b
  parley range --dir demo --limit 10 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return usagef(cmd, "unexpected argument %q", args[2])
			}
			if prefix != "" && len(args) > 0 {
				return usagef(cmd, "--prefix says it all: leave out START and END")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var start, end []byte
			if len(args) > 0 {
				start = []byte(args[0])
			}
			if len(args) > 1 {
				end = []byte(args[1])
			}
			if prefix != "" {
				start, end = []byte(prefix), prefixEnd(prefix)
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			left := limit
			for {
				r, _, err := o.readOne(cmd, way, kv.Range(start, end, kv.RangeOptions{Limit: left, KeysOnly: keysOnly}))
				if err == nil {
					err = judge(&r)
				}
				if err != nil {
					return err
				}
				if err := printRange(out, r.KVs, o.json); err != nil {
					return err
				}
				if !r.More || len(r.KVs) == 0 {
					return out.Flush()
				}
				if limit > 0 {
					if left -= uint32(len(r.KVs)); left == 0 {
						return out.Flush()
					}
				}
				start = kv.Next(r.KVs[len(r.KVs)-1].Key)
			}
		},
	}
	o.target.flags(cmd, operationTimeout)
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object a line")
	way.flags(cmd)
	f.StringVar(&prefix, "prefix", "", "the keys that begin with this")
	f.Uint32Var(&limit, "limit", 0, "at most so many keys (default all)")
	f.BoolVar(&keysOnly, "keys-only", false, "leave out the values")
	return cmd
}

func printRange(out *bufio.Writer, kvs []kv.KeyValue, asJSON bool) error {
	for i := range kvs {
		e := &kvs[i]
		switch {
		case asJSON:
			if err := json.NewEncoder(out).Encode(newJSONKV(e)); err != nil {
				return err
			}
		case e.Omitted:
			fmt.Fprintln(out, text(e.Key))
		default:
			fmt.Fprintf(out, "%s\t%s\n", text(e.Key), text(e.Value))
		}
	}
	return nil
}

// prefixEnd is the first key after all that begin with prefix, nil if there is none.
func prefixEnd(prefix string) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := []byte(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
