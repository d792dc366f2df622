package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
	"github.com/parley-bft/parley/statemachine/signed"
)

// thresholdFlags are m of n keys.
type thresholdFlags struct {
	name string
	keys []string
	m    int
}

func (t *thresholdFlags) flags(cmd *cobra.Command, name, what string) {
	t.name = name
	cmd.Flags().StringSliceVar(&t.keys, name, nil, "public keys of "+what+", as keygen prints them, separated by commas")
	cmd.Flags().IntVar(&t.m, name+"-threshold", 1, "how many of them must sign")
}

func (t *thresholdFlags) threshold(cmd *cobra.Command) (signed.Threshold, error) {
	var keys []crypto.PublicKey
	for _, s := range t.keys {
		k, err := crypto.ParsePublicKey(s)
		if err != nil {
			return signed.Threshold{}, usagef(cmd, "--%s: %q is no public key: write the 64 digits that 'parley keygen' prints", t.name, s)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return signed.Threshold{}, nil
	}
	th := signed.Of(t.m, keys...)
	if err := th.Validate(); err != nil {
		return th, usagef(cmd, "--%s: %v", t.name, err)
	}
	return th, nil
}

// partyKeys are the keys that a party is given, and its recovery, which it need not have.
func partyKeys(cmd *cobra.Command, keys, recovery *thresholdFlags) (k, rec signed.Threshold, err error) {
	if k, err = keys.threshold(cmd); err != nil {
		return k, rec, err
	}
	if k.IsZero() {
		return k, rec, usagef(cmd, "--keys is missing: give at least one")
	}
	rec, err = recovery.threshold(cmd)
	return k, rec, err
}

func newPartyRegister() *cobra.Command {
	o := newRegistryWrite()
	var keys, recovery thresholdFlags
	cmd := &cobra.Command{
		Use:   "register NAME --keys KEY,...",
		Short: "Give a name to m of n keys",
		Long: `Register a party. Enough of its keys must sign: where one is enough and it is yours,
this command is; else --prepare and 'parley registry sign'. A registry that has a
registrar wants its signature too.`,
		Example: `  parley registry party register --dir demo lab --keys $KEY --recovery $SAFE
  parley registry party register --dir demo board --keys $A,$B,$C --keys-threshold 2 --prepare board.op`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, rec, err := partyKeys(cmd, &keys, &recovery)
			if err != nil {
				return err
			}
			return o.do(cmd, &registry.RegisterParty{Name: registry.Party(args[0]), Keys: k, Recovery: rec})
		},
	}
	o.flags(cmd)
	keys.flags(cmd, "keys", "the party")
	recovery.flags(cmd, "recovery", "those who may replace lost keys")
	return cmd
}

func newPartyRotate() *cobra.Command {
	o := newRegistryWrite()
	var keys, recovery thresholdFlags
	cmd := &cobra.Command{
		Use:   "rotate NAME --keys KEY,...",
		Short: "Give a party new keys",
		Long: `Replace a party's keys. The old ones must sign, or its recovery; and enough of the
new ones. --recovery changes the recovery too, which must then sign itself.`,
		Example: `  parley registry party rotate --dir demo lab --keys $NEW --prepare rotate.op`,
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, rec, err := partyKeys(cmd, &keys, &recovery)
			if err != nil {
				return err
			}
			return o.do(cmd, &registry.RotateParty{Name: registry.Party(args[0]), Keys: k, SetRecovery: !rec.IsZero(), Recovery: rec})
		},
	}
	o.flags(cmd)
	keys.flags(cmd, "keys", "the party")
	recovery.flags(cmd, "recovery", "those who may replace lost keys")
	return cmd
}

func describeThreshold(t *signed.Threshold) string {
	if t.IsZero() {
		return "nobody"
	}
	var keys []string
	for _, k := range t.Keys {
		keys = append(keys, k.Hex())
	}
	return fmt.Sprintf("%d of %s", t.M, strings.Join(keys, ", "))
}

func newPartyShow() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a party's keys",
		Example: `  parley registry party show --dir demo lab`,
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.ask(cmd, &registry.GetParty{Name: registry.Party(args[0])})
			if err != nil {
				return err
			}
			if o.json {
				return o.proven(printJSON(cmd.OutOrStdout(), r.Party))
			}
			p := r.Party
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s, version %d, changed %s\nkeys      %s\nrecovery  %s\n", p.Name, p.Version, moment(p.Changed.Time), describeThreshold(&p.Keys), describeThreshold(&p.Recovery))
			for i := range p.Revoked {
				fmt.Fprintf(out, "revoked   %s, %s\n", p.Revoked[i].Key.Hex(), describeRevoked(&p.Revoked[i]))
			}
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}

// describeRevoked says since when a key is not to be trusted, and what was said first.
func describeRevoked(k *registry.RevokedKey) string {
	s := "not to be trusted since " + moment(k.Since)
	if k.FirstSince != k.Since {
		s += fmt.Sprintf(" (at first, %s, since %s)", moment(k.First.Time), moment(k.FirstSince))
	}
	if k.Reason != "" {
		s += ": " + text([]byte(k.Reason))
	}
	return s
}

func newKeyRevoke() *cobra.Command {
	o := newRegistryWrite()
	var party, reason, from string
	var ago time.Duration
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Say that a key is not to be trusted any more",
		Long: `Revoke a key. Without --party the key itself must sign, and signs nothing any more. With
--party the party or its recovery signs, and the key does not sign for that party any
more. --since-ago, or --since, says from when on it was in wrong hands: what it signed
from then on is shown as not to be trusted, however long ago it was.

Whoever may revoke a key may do so again, to move that time back: a thief may have
revoked it first, as of now, so that what he had signed seems good. The time never moves
forward, and what was said first stays on record ('parley registry key show', 'party
show').`,
		Example: `  parley registry key revoke --dir demo $KEY --party lab --since-ago 48h --reason stolen
  parley registry key revoke --dir demo $KEY --party lab --since 2027-03-01T00:00:00Z --reason "stolen earlier than we knew"`,
		Args: exactArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := crypto.ParsePublicKey(args[0])
			if err != nil {
				return usagef(cmd, "KEY is %q: write the 64 digits that 'parley keygen' prints", args[0])
			}
			if ago < 0 {
				return usagef(cmd, "--since-ago is %v: give a positive duration, such as 48h", ago)
			}
			since, ok := statemachine.Time(0), true
			if ago != 0 {
				if since, ok = asBlockTime(time.Now().Add(-ago)); !ok {
					return usagef(cmd, "--since-ago is %v: that was before 1970", ago)
				}
			}
			if from != "" {
				at, err := time.Parse(time.RFC3339, from)
				if since, ok = asBlockTime(at); err != nil || !ok {
					return usagef(cmd, "--since is %q: give a time such as %s", from, time.Now().UTC().Format(time.RFC3339))
				}
				if ago != 0 {
					return usagef(cmd, "--since and --since-ago are given: leave out one of them")
				}
			}
			return o.do(cmd, &registry.RevokeKey{Party: registry.Party(party), Key: k, Since: since, Reason: reason})
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&party, "party", "", "revoke it for this party")
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	cmd.Flags().DurationVar(&ago, "since-ago", 0, "for how long it has not been to be trusted, by this machine's clock (default not before now)")
	cmd.Flags().StringVar(&from, "since", "", "the time from which on it is not to be trusted, such as 2027-03-01T00:00:00Z")
	return cmd
}

func newKeyShow() *cobra.Command {
	o := newRegistryRead()
	cmd := &cobra.Command{
		Use:     "show KEY",
		Short:   "Tell whether a key has revoked itself (exit code 4 if not)",
		Example: `  parley registry key show --dir demo $KEY`,
		Args:    exactArgs("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := crypto.ParsePublicKey(args[0])
			if err != nil {
				return usagef(cmd, "KEY is %q: write the 64 digits that 'parley keygen' prints", args[0])
			}
			r, err := o.ask(cmd, &registry.GetKey{Key: k})
			if err != nil {
				return err
			}
			if o.json {
				return o.proven(printJSON(cmd.OutOrStdout(), r.Key))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "revoked %s, %s\n", moment(r.Key.At.Time), describeRevoked(r.Key))
			return o.proven(nil)
		},
	}
	o.flags(cmd)
	return cmd
}
