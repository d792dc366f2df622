package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/client/stateproof"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/kv"
)

// certifiedFlags are those of a certified read.
type certifiedFlags struct {
	maxAge    time.Duration
	minHeight uint64
	proof     string
}

func (c *certifiedFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&c.maxAge, "max-age", 0, "of a certified read: how old the state may be, by its block's time and this machine's clock (default any age)")
	f.Uint64Var(&c.minHeight, "min-height", 0, "of a certified read: the block that the state must have reached, such as that of an own write; waits for it")
	f.StringVar(&c.proof, "proof", "", "of a certified read: write the proof to this new file, for 'parley verify-state'")
}

// given tells whether there is a flag that only a certified read has.
func (c *certifiedFlags) given(cmd *cobra.Command) bool {
	set := cmd.Flags().Changed
	return set("max-age") || set("min-height") || set("proof")
}

// read reads what the state has under a key.
func (c *certifiedFlags) read(ctx context.Context, cmd *cobra.Command, s *session, key []byte) (*receipt.State, error) {
	if c.maxAge < 0 {
		return nil, usagef(cmd, "--max-age is %v: give a positive duration, such as 10s", c.maxAge)
	}
	if c.proof != "" {
		if err := checkNew(c.proof); err != nil {
			return nil, fmt.Errorf("--proof: %w", err)
		}
	}
	st, err := s.ReadCertified(ctx, key, client.CertifiedOptions{MaxAge: c.maxAge, MinHeight: pbft.Height(c.minHeight)})
	if err != nil || c.proof == "" {
		return st, err
	}
	if err := writeNew(c.proof, stateproof.Of(key, st).Encode()); err != nil {
		return nil, fmt.Errorf("--proof: %w", err)
	}
	return st, nil
}

// readCertified reads a key of the key-value store.
func (o *operation) readCertified(cmd *cobra.Command, c *certifiedFlags, key []byte) (r kv.Result, a client.Answer, err error) {
	err = o.session(cmd, func(ctx context.Context, s *session) error {
		if name := applicationName(s.roster.Cluster); name != kvStoreApplication.name {
			return fmt.Errorf("the cluster runs %q, which proves nothing of its state: 'parley init --app %s' makes one that does", name, kvStoreApplication.name)
		}
		st, err := c.read(ctx, cmd, s, inPolicy(s.roster, kv.StoreKey(key)))
		if err != nil {
			return err
		}
		r.Kind, r.Found, a.Ref.Height = kv.KindGet, st.Proof.Present, st.Height()
		if r.Found {
			r.KV, err = kv.DecodeStored(key, st.Proof.Value)
		}
		return err
	})
	return r, a, err
}

func newCertified() *cobra.Command {
	t, c := &target{}, &certifiedFlags{}
	var asHex, asJSON bool
	cmd := &cobra.Command{
		Use:   "read-certified KEY",
		Short: "Read what the state has under a key, with the proof",
		Long: `Ask one replica what the application's state had under a key at the last checkpoint,
and check the proof that it sends: that members of the cluster certified that state.
The replica may be faulty, and is found out. The answer may be old: --max-age and
--min-height bound that. It costs the cluster nothing.

KEY is one of the application's store, as its package documents it; of kv-store it is k
and the key, of a ledger's account alice it is a, alice and a zero byte. Under an access policy it is
found without the prefix that this gives it. The value is printed as the application
encodes it. 'parley get --certified' is the same for kv-store.

Exit code 4 if there is no such key, which is proved too.`,
		Example: `  parley read-certified --dir demo kcolour
  parley read-certified --dir demo --hex 61616c69636500 --max-age 10s --proof alice.proof`,
		Args: exactArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key := []byte(args[0])
			if asHex {
				var err error
				if key, err = hex.DecodeString(args[0]); err != nil {
					return usagef(cmd, "KEY is %q, and with --hex it is written in pairs of hexadecimal digits", args[0])
				}
			}
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), t.timeout)
			defer cancel()
			s, err := t.connect(ctx, nil)
			if err != nil {
				return err
			}
			defer s.close()
			key = inPolicy(s.roster, key)
			st, err := c.read(ctx, cmd, s, key)
			if err != nil {
				return err
			}
			return describeState(cmd.OutOrStdout(), "", s.roster, stateproof.Of(key, st), asJSON)
		},
	}
	t.flags(cmd, operationTimeout)
	c.flags(cmd)
	cmd.Flags().BoolVar(&asHex, "hex", false, "KEY is written in hexadecimal digits")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newVerifyState() *cobra.Command {
	t := &target{}
	var asJSON, asHex bool
	var meant string
	cmd := &cobra.Command{
		Use:   "verify-state FILE",
		Short: "Check a proof of a key of the state, offline",
		Long: `Check that the cluster's members certified what the proof says: what the application's
state had under a key at a block, or that it had nothing. It needs the cluster file, no
key and no connection. 'parley get --certified --proof FILE' and 'parley read-certified'
make proofs. How old the state may be is for you to judge: the block's time is shown.

Of which key something is proved, whoever made the file chose. It is shown; a script
names the key that it means with --about, written as it is shown, or with --hex in
hexadecimal digits. What is shown as an entry of the state is no key of the application.

Exit code 6 if it does not verify, is damaged or is about another key; the message says
why. Exit code 4 if what is proved is that there is no such key.`,
		Example: `  parley verify-state --cluster cluster.json colour.proof
  parley verify-state --cluster cluster.json --about colour colour.proof`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := unhex(cmd, &meant, asHex); err != nil {
				return err
			}
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ros, err := roster.Load(t.cluster)
			if err != nil {
				return err
			}
			p, err := loadProof(args[0])
			if err != nil {
				return err
			}
			if err := stateproof.Verify(ros, p); err != nil {
				return &invalidError{fmt.Sprintf("INVALID %s: %v", args[0], err)}
			}
			if cmd.Flags().Changed("about") && !bytes.Equal(p.Key, stateKey(ros, []byte(meant))) {
				return &invalidError{fmt.Sprintf("INVALID %s: it is about %s, and not about the key %s", args[0], keyName(ros, p.Key), text([]byte(meant)))}
			}
			return describeState(cmd.OutOrStdout(), args[0], ros, p, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.dir, "dir", "", "the cluster's folder, with cluster.json (default $"+dirVariable+", or here)")
	f.StringVar(&t.cluster, "cluster", "", "cluster file (default cluster.json in --dir)")
	f.StringVar(&meant, "about", "", "the key that the proof must be about (default any)")
	f.BoolVar(&asHex, "hex", false, "--about is written in hexadecimal digits")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// unhex decodes --about if it is written in hexadecimal digits.
func unhex(cmd *cobra.Command, meant *string, asHex bool) error {
	switch {
	case !asHex:
		return nil
	case !cmd.Flags().Changed("about"):
		return usagef(cmd, "--hex says how --about is written: add --about")
	}
	key, err := hex.DecodeString(*meant)
	if err != nil {
		return usagef(cmd, "--about is %q, and with --hex it is written in pairs of hexadecimal digits", *meant)
	}
	*meant = string(key)
	return nil
}

func loadProof(path string) (*stateproof.Proof, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, stateproof.MaxSize+1))
	if err != nil {
		return nil, err
	}
	p, err := stateproof.Decode(data)
	if err != nil {
		return nil, &invalidError{fmt.Sprintf("INVALID %s: %v", path, err)}
	}
	return p, nil
}

// jsonState is what a proof says, for --json.
type jsonState struct {
	File     string     `json:"file,omitempty"`
	Valid    bool       `json:"valid"`
	Key      jsonBytes  `json:"key"`
	Entry    bool       `json:"entry,omitempty"` // Key is the state's, and none of the application's
	Present  bool       `json:"present"`
	Value    *jsonBytes `json:"value,omitempty"`
	Revision uint64     `json:"modRevision,omitempty"`
	Version  uint64     `json:"version,omitempty"`
	Block    uint64     `json:"block"`
	Time     time.Time  `json:"time"`
	Signers  []string   `json:"signers"`
}

// describeState says what a proof that was checked proves. The values of kv-store are
// shown as such.
func describeState(out io.Writer, path string, ros *roster.Roster, p *stateproof.Proof, asJSON bool) error {
	key, ours := shownKey(ros, p.Key)
	what := ""
	j := jsonState{File: path, Valid: true, Block: uint64(p.State.Height()), Time: p.State.Time().UTC()}
	for _, id := range p.State.Certificate.Signers.IDs() {
		j.Signers = append(j.Signers, ros.Member(id).Name)
	}
	v, present := p.Value()
	if ours && present && isKVStore(ros) {
		e, err := kv.DecodeStored(key, v)
		if err != nil {
			return err
		}
		v, j.Revision, j.Version = e.Value, e.Mod, e.Version
		what = fmt.Sprintf(", changed at revision %d, version %d", e.Mod, e.Version)
	}
	if j.Key, j.Entry, j.Present = key, !ours, present; present {
		j.Value = (*jsonBytes)(&v)
	}
	var err error
	switch {
	case asJSON:
		err = json.NewEncoder(out).Encode(&j)
	default:
		if path != "" {
			fmt.Fprintf(out, "VALID %s\n  ", path)
		}
		if present {
			fmt.Fprintf(out, "%s = %s%s\n", strings.TrimPrefix(keyName(ros, p.Key), "key "), text(v), what)
		} else {
			fmt.Fprintf(out, "there is no %s\n", keyName(ros, p.Key))
		}
		fmt.Fprintf(out, "  in the state after block %d, of %s, signed by %s\n", j.Block, j.Time.Format(time.RFC3339), signerNames(ros, p.State.Certificate.Signers))
	}
	if err == nil && !present {
		return &absentError{"it is proved that there is no such key"}
	}
	return err
}

func isKVStore(ros *roster.Roster) bool {
	return applicationName(ros.Cluster) == kvStoreApplication.name
}

// stateKey is where the state has what people write as a key.
func stateKey(ros *roster.Roster, key []byte) []byte {
	if isKVStore(ros) {
		key = kv.StoreKey(key)
	}
	return inPolicy(ros, key)
}

// shownKey is what people write for a key of the state. There is something else in a state
// than what they mean by keys, which could look like one of them, and be absent where that
// is not: ours is false then.
func shownKey(ros *roster.Roster, stored []byte) (key []byte, ours bool) {
	key = outOfPolicy(ros, stored)
	if k, ok := kv.KeyOf(key); ok && isKVStore(ros) {
		key = k
	}
	if bytes.Equal(stateKey(ros, key), stored) {
		return key, true
	}
	return stored, false
}

// keyName is a key of the state, as it is shown.
func keyName(ros *roster.Roster, stored []byte) string {
	key, ours := shownKey(ros, stored)
	if ours {
		return "key " + text(key)
	}
	return "entry " + text(key) + " of the state"
}

// inPolicy is where the state has a key of the application's.
func inPolicy(ros *roster.Roster, key []byte) []byte {
	if hasPolicy(ros) {
		return append([]byte(access.AppPrefix), key...)
	}
	return key
}

// outOfPolicy is the opposite.
func outOfPolicy(ros *roster.Roster, key []byte) []byte {
	if hasPolicy(ros) {
		return bytes.TrimPrefix(key, []byte(access.AppPrefix))
	}
	return key
}

func hasPolicy(ros *roster.Roster) bool {
	a := ros.Cluster.Application
	if a == nil {
		return false
	}
	policy, _, _ := splitGenesis(a.Genesis)
	return policy != nil
}
