package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/internal/strictjson"
	"github.com/parley-bft/parley/statemachine/ledger"
)

// txFile is a transaction on its way from one party to the next.
type txFile struct {
	Cluster     crypto.Digest `json:"cluster"`     // for which it is
	Transaction []byte        `json:"transaction"` // encoded
	Signatures  []txSignature `json:"signatures"`
}

type txSignature struct {
	Key       crypto.PublicKey `json:"key"`
	Signature crypto.Signature `json:"signature"`
}

// maxTxFile bounds what is read of a file.
const maxTxFile = 8 << 20

func readTx(path string) (*txFile, *ledger.Transaction, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxTxFile {
		err = fmt.Errorf("%s has %d bytes: no transaction has", path, info.Size())
	}
	if err != nil {
		return nil, nil, err
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, nil, err
	}
	f := new(txFile)
	if err := strictjson.Decode(data, f); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	tx, err := ledger.DecodeTransaction(f.Transaction)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, tx, nil
}

func (f *txFile) encode() ([]byte, error) {
	data, err := json.MarshalIndent(f, "", "  ")
	return append(data, '\n'), err
}

// describe lists what a transaction does.
func describeTx(l *ledgerBook, tx *ledger.Transaction) string {
	var b strings.Builder
	fmt.Fprintf(&b, "transaction %s\n", tx.Digest().Hex())
	if tx.Memo != "" {
		fmt.Fprintf(&b, "  memo        %q\n", tx.Memo)
	}
	if tx.NotBefore != 0 {
		fmt.Fprintf(&b, "  not before  %s\n", blockTime(tx.NotBefore))
	}
	if tx.Expires != 0 {
		fmt.Fprintf(&b, "  expires     %s\n", blockTime(tx.Expires))
	}
	for _, s := range tx.Sequences {
		fmt.Fprintf(&b, "  sequence    %s must be at %d\n", s.Account, s.Number)
	}
	for i, a := range tx.Actions {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, describeAction(l, a))
	}
	return b.String()
}

func describeAction(l *ledgerBook, a ledger.Action) string {
	switch a := a.(type) {
	case *ledger.Transfer:
		return fmt.Sprintf("transfer %s from %s to %s", l.show(a.Asset, a.Amount), a.From, a.To)
	case *ledger.Issue:
		return fmt.Sprintf("issue %s to %s", l.show(a.Asset, a.Amount), a.To)
	case *ledger.Retire:
		return fmt.Sprintf("retire %s of %s", l.show(a.Asset, a.Amount), a.From)
	case *ledger.Clawback:
		return fmt.Sprintf("claw back %s from %s", l.show(a.Asset, a.Amount), a.From)
	case *ledger.PlaceHold:
		agent := ""
		if a.Agent != "" {
			agent = ", " + a.Agent + " decides"
		}
		return fmt.Sprintf("hold %s of %s for %s until %s, as %s%s", l.show(a.Asset, a.Amount), a.From, a.To, blockTime(a.Expires), a.Reference, agent)
	case *ledger.Capture:
		if a.Amount == 0 {
			return fmt.Sprintf("pay out hold %s of %s", a.Reference, a.From)
		}
		return fmt.Sprintf("pay out %d units of hold %s of %s", a.Amount, a.Reference, a.From)
	case *ledger.Release:
		return fmt.Sprintf("give hold %s back to %s", a.Reference, a.From)
	case *ledger.Trust:
		return fmt.Sprintf("%s lets %s owe it %s, ripple %t", a.Account, a.Peer, l.show(a.Asset, a.Limit), a.Ripple)
	case *ledger.Pay:
		return fmt.Sprintf("%s pays %s %s in IOUs for at most %s", a.From, a.To, l.show(a.Asset, a.Amount), l.show(a.Source, a.MaxCost))
	default:
		return fmt.Sprintf("%s %+v", strings.TrimPrefix(fmt.Sprintf("%T", a), "*ledger."), a)
	}
}

func newLedgerTx() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tx", Short: "Transactions of several parties: make, sign, submit, propose, approve",
		Long: `A transaction is legs that happen together or not at all. It is made into a file, which
each party signs where its key is; whoever has the file with all signatures submits it.
Or it is proposed to the ledger, and runs with the approval that completes it.`,
		Example: `  parley ledger tx make --dir demo trade.json --leg 'transfer EUR alice bob 200.00' --leg 'transfer BOND bob alice 2'
  parley ledger tx sign --dir demo trade.json --key alice.key
  parley ledger tx sign --dir demo trade.json --key bob.key
  parley ledger tx submit --dir demo trade.json`,
	}
	cmd.AddCommand(newLedgerTxMake(), newLedgerTxSign(), newLedgerTxShow(), newLedgerTxSubmit(), newLedgerTxPropose(), newLedgerTxApprove(), newLedgerTxWithdraw(), newLedgerTxList())
	return cmd
}

func newLedgerTxMake() *cobra.Command {
	o := newLedgerOperation()
	var legs, sequences []string
	var memo string
	var life, wait time.Duration
	cmd := &cobra.Command{
		Use: "make FILE", Short: "Make a transaction of several legs", Args: exactArgs("FILE"),
		Long: `Make a transaction and write it to a new file, to be signed. A leg is written like the
command that does it alone, with its flags: 'transfer EUR alice bob 200.00', 'hold place
BOND bob alice 2 --ref repo-1 --for 720h'.`,
		Example: `  parley ledger tx make --dir demo trade.json --leg 'transfer EUR alice bob 200.00' --leg 'transfer BOND bob alice 2'
  parley ledger tx make --dir demo back.json --after 168h --expires 240h --leg 'transfer EUR bob alice 201.00' --leg 'hold release bob repo-1'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(legs) == 0 {
				return usagef(cmd, "--leg is missing: give one for each leg")
			}
			if life <= 0 || wait < 0 {
				return usagef(cmd, "--expires is %v and --after %v: give positive durations, such as 24h", life, wait)
			}
			return o.session(cmd, func(ctx context.Context, s *session) error {
				l := &ledgerBook{cmd: cmd, ctx: ctx, session: s}
				tx := &ledger.Transaction{Memo: memo, Expires: fromNow(life)}
				if wait > 0 {
					tx.NotBefore = fromNow(wait)
				}
				for _, leg := range legs {
					a, err := l.leg(leg)
					if err != nil {
						return err
					}
					tx.Actions = append(tx.Actions, a)
				}
				slices.Sort(sequences)
				for _, name := range slices.Compact(sequences) {
					v, err := l.get(ledger.AccountKey(name), "there is no account "+name)
					if err != nil {
						return err
					}
					a, err := ledger.DecodeAccount(v)
					if err != nil {
						return err
					}
					tx.Sequences = append(tx.Sequences, ledger.Sequence{Account: name, Number: a.Sequence})
				}
				f := &txFile{Cluster: s.roster.Cluster.ID(), Transaction: tx.Encode(), Signatures: []txSignature{}}
				data, err := f.encode()
				if err != nil {
					return err
				}
				if err := writeNew(args[0], data); err != nil {
					return err
				}
				fmt.Fprint(cmd.OutOrStdout(), describeTx(l, tx))
				return nil
			})
		},
	}
	o.target.flags(cmd, operationTimeout)
	f := cmd.Flags()
	f.StringArrayVar(&legs, "leg", nil, "a leg, as the words of its command; may be repeated")
	f.StringVar(&memo, "memo", "", "goes into the statements")
	f.DurationVar(&life, "expires", 24*time.Hour, "after how long it can no longer run")
	f.DurationVar(&wait, "after", 0, "before how long it cannot run")
	f.StringSliceVar(&sequences, "sequence", nil, "an account that can void it by 'account advance'; may be repeated")
	return cmd
}

// leg reads an action from the words of its command.
func (l *ledgerBook) leg(text string) (ledger.Action, error) {
	v, words := findLedgerVerb(strings.Fields(text))
	if v == nil {
		return nil, usagef(l.cmd, "--leg: %q begins with no command of the ledger, such as transfer or 'hold place'", text)
	}
	cmd, build := v.bare()
	if err := cmd.ParseFlags(words); err != nil {
		return nil, usagef(l.cmd, "--leg %q: %v", text, err)
	}
	args := cmd.Flags().Args()
	if err := v.checkArgs(cmd, args); err != nil {
		return nil, usagef(l.cmd, "--leg %q: %v", text, err)
	}
	return build(l, args)
}

func newLedgerTxSign() *cobra.Command {
	t := target{app: ledgerApplication.name}
	cmd := &cobra.Command{
		Use: "sign FILE", Short: "Sign a transaction", Args: exactArgs("FILE"),
		Long: `Show what the transaction in a file does, and add a signature with a client's key
(--key, or client.key in --dir). Nothing is sent: it takes the cluster file and the key,
and amounts are shown in units.`,
		Example: `  parley ledger tx sign --dir demo trade.json --key alice.key`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.resolve(cmd); err != nil {
				return err
			}
			ros, err := t.load()
			if err != nil {
				return err
			}
			k, err := keyfile.LoadClient(cmp.Or(t.key, t.keyPath()))
			if err != nil {
				return err
			}
			f, tx, err := readTx(args[0])
			if err != nil {
				return err
			}
			if err := f.check(args[0], ros); err != nil {
				return err
			}
			sig := tx.Sign(f.Cluster, ed25519.NewSigner(k.Signing))
			if slices.ContainsFunc(f.Signatures, func(s txSignature) bool { return s.Key == sig.Key }) {
				return fmt.Errorf("%s has a signature of key %s already", args[0], sig.Key.Hex())
			}
			f.Signatures = append(f.Signatures, txSignature{sig.Key, sig.Sig})
			data, err := f.encode()
			if err != nil {
				return err
			}
			if err := os.WriteFile(args[0], data, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%ssigned by %s\n", describeTx(&ledgerBook{cmd: cmd}, tx), sig.Key.Hex())
			return nil
		},
	}
	t.flags(cmd, 0)
	return cmd
}

func (f *txFile) check(path string, ros *roster.Roster) error {
	if id := ros.Cluster.ID(); f.Cluster != id {
		return fmt.Errorf("%s is for the cluster %s, and this one is %s: name the cluster that it is for", path, f.Cluster.Hex(), id.Hex())
	}
	return nil
}

func newLedgerTxShow() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "show FILE", Short: "What a transaction in a file does, and who signed it", Args: exactArgs("FILE"),
		Long: "What a transaction in a file does, and the keys that signed it, and whether they did.", Example: `  parley ledger tx show --dir demo trade.json`,
	}, func(_ *ledgerRead, l *ledgerBook, args []string) error {
		f, tx, err := readTx(args[0])
		if err != nil {
			return err
		}
		out := l.cmd.OutOrStdout()
		fmt.Fprint(out, describeTx(l, tx))
		d, v := tx.Digest(), ed25519.NewVerifier(1)
		for _, s := range f.Signatures {
			word := "signed by"
			if !v.Verify(s.Key, ledger.Context(f.Cluster), d[:], s.Signature) {
				word = "NOT SIGNED by"
			}
			fmt.Fprintf(out, "  %s %s\n", word, s.Key.Hex())
		}
		return nil
	})
}

// fileVerb is a command that takes a transaction from a file to the ledger.
func fileVerb(use, short, long, example string, op func(*txFile, *ledger.Transaction) []byte) *cobra.Command {
	o := newLedgerOperation()
	cmd := &cobra.Command{
		Use: use + " FILE", Short: short, Long: long, Example: example, Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, tx, err := readTx(args[0])
			if err != nil {
				return err
			}
			return o.act(cmd, func(l *ledgerBook) ([]byte, error) {
				return op(f, tx), f.check(args[0], l.session.roster)
			}, use)
		},
	}
	o.flags(cmd)
	return cmd
}

func newLedgerTxSubmit() *cobra.Command {
	return fileVerb("submit", "Run a transaction that is signed",
		"Run the transaction in a file, by the authority of its signatures and of the key that the\ncommand acts with.", `  parley ledger tx submit --dir demo trade.json`,
		func(f *txFile, _ *ledger.Transaction) []byte {
			signatures := make([]ledger.Signature, len(f.Signatures))
			for i, s := range f.Signatures {
				signatures[i] = ledger.Signature{Key: s.Key, Sig: s.Signature}
			}
			return ledger.SubmitEncoded(f.Transaction, signatures...)
		})
}

func newLedgerTxPropose() *cobra.Command {
	return fileVerb("propose", "Put a transaction up for approval",
		"Put the transaction in a file up for approval in the ledger, with the approval of the key\nthat the command acts with. It runs with the approval that completes it.", `  parley ledger tx propose --dir demo trade.json`,
		func(_ *txFile, tx *ledger.Transaction) []byte { return ledger.Propose(tx) })
}

// digestVerb is a command about a proposal.
func digestVerb(use, short, long string, op func(crypto.Digest) []byte) *cobra.Command {
	o := newLedgerOperation()
	cmd := &cobra.Command{
		Use: use + " DIGEST", Short: short, Long: long, Args: exactArgs("DIGEST"),
		Example: "  parley ledger tx " + use + " --dir demo 6e1f...",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := hexDigest(cmd, args[0])
			if err != nil {
				return err
			}
			return o.act(cmd, func(*ledgerBook) ([]byte, error) { return op(d), nil }, use)
		},
	}
	o.flags(cmd)
	return cmd
}

func newLedgerTxApprove() *cobra.Command {
	return digestVerb("approve", "Approve a proposal", "Approve a proposal with the key that the command acts with. If that completes it, it runs; if\nthe ledger refuses it then, the approval is refused too.", ledger.Approve)
}

func newLedgerTxWithdraw() *cobra.Command {
	return digestVerb("withdraw", "Take back an approval", "Take back the approval of the key that the command acts with. If that key proposed it, the\nproposal is gone.", ledger.Withdraw)
}

func newLedgerTxList() *cobra.Command {
	return newLedgerRead(&cobra.Command{
		Use: "list", Short: "Open proposals", Args: exactArgs(),
		Long: "The open proposals: what each does, and which keys have approved it.", Example: `  parley ledger tx list --dir demo`,
	}, func(_ *ledgerRead, l *ledgerBook, _ []string) error {
		return l.each(ledger.ProposalsPage(), func(_ []string, _, v []byte) error {
			p, err := ledger.DecodeProposal(v)
			if err != nil {
				return err
			}
			tx, err := ledger.DecodeTransaction(p.Body)
			if err != nil {
				return err
			}
			fmt.Fprint(l.cmd.OutOrStdout(), describeTx(l, tx))
			for _, k := range p.Approvals {
				fmt.Fprintf(l.cmd.OutOrStdout(), "  approved by %s\n", k.Hex())
			}
			return nil
		})
	})
}
