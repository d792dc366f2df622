// Package ledger is a ledger of assets among parties who know each other and trust no
// single one: what issuers owe, who has it, and transactions in which everything happens
// or nothing. It is an application for a cluster of replicas (see package replica), and
// gets from it what is asked of a "blockchain" in finance: no operator to be trusted, a
// history that nobody rewrites, final in the moment of the answer.
//
// # Accounts
//
// An account has a name and keys, and a threshold: what the account does takes so many
// of its keys (m of n). Whoever the cluster serves may open accounts, or registrars alone,
// if the ledger began with some ([Genesis]). [SetKeys] gives an account other keys.
//
// # Assets
//
// An asset is defined by its issuer, an account: how many digits it is shown with, how
// much of it there may be, and its [Rules]. The issuer issues; units are retired by the
// issuer, or by holders where a rule says so. Other rules let the issuer freeze what an
// account has, or all of the asset, claw units back, or admit the accounts that may
// receive it. [RuleFixed] makes the rules final: holders can rely on them.
//
// Amounts are whole numbers of units, up to [MaxAmount], and no arithmetic wraps around.
// [ParseAmount] and [FormatAmount] are for people. The bound is of units, so digits after
// the point come out of what there can be of an asset: with 2 digits 92 million billion,
// with 9 digits 9.22 billion, with 18 digits 9.22 in all. Most money needs 2, and 6 leave room for
// 9.22 trillion; 18, as contracts of Ethereum like it, suit things of which there are
// few. A largest supply above the bound is refused with the definition, and before, by
// ParseAmount, with the digits that are to blame. It bounds what there is at a time: what
// was ever issued and retired are [Total]s, which have no bound.
//
// # Transactions
//
// A [Transaction] is a list of actions that run in order, all or none: the legs of a
// delivery against payment, a repo, a payment with its fee. Each action names the account
// whose authority it takes, in its comment. Authority comes from keys, in three ways that
// may be mixed:
//
//   - The client that submits the operation: its key signed the request ([Do], [Submit]).
//   - Detached signatures ([Transaction.Sign], [Submit]): the parties sign the same
//     transaction, each where its key is, and anybody brings it. A signature is good for
//     this cluster and this transaction only; each transaction runs once, because what ran is
//     remembered until it expires, and it must expire. One that was rejected may be brought
//     again until then: a party that thinks better of it names its account's sequence
//     number in what it signs, and counts it up ([Advance]).
//   - Proposals ([Propose], [Approve], [Withdraw]): the transaction waits in the ledger and
//     runs with the approval that completes it. If it is rejected then, so is that approval,
//     and the proposal waits on. One that is complete before its time (NotBefore) runs with
//     any approval given after that.
//
// NotBefore and Expires bound the block times at which a transaction may run. So the
// second leg of a repo can be signed together with the first.
//
// # Holds
//
// [PlaceHold] sets an amount aside for a payee: it cannot be spent, and goes to the payee
// ([Capture], all or a part), or back ([Release]), or back by itself at its time. An agent
// may be named who decides in the payee's place. A hold with a lock takes a secret, which
// capturing makes known: with one such hold in each of two ledgers, assets are exchanged
// between them. What expires is given back at the beginning of a block, at most
// [Limits.MaxExpiries] in one; it is no longer to be captured from its time on.
//
// # Trust lines
//
// An IOU is the debt of an account. A trust line is between two accounts and in units of
// an asset: each says how much the other may owe it ([Trust]). [Pay] pays with IOUs: along
// the path, each account owes the next one more, or is owed less by it. The payer's
// authority is enough, because everybody else has agreed before: the payee by its limit,
// those between by their limits and by letting payments through (ripple), and market
// makers by offers ([MakeOffer] with Credit) that turn what arrives in one asset into
// another. The path is given, or found: the one with the fewest hops that costs no more
// than it may, within the limits (hops, accounts gone on from, lines and offers looked at),
// so its cost is bounded and every replica finds the same. Lines that strangers open
// towards an account cost searches nothing and hide no path: a line counts from the side
// that has agreed to be paid over it. What somebody invents whom an account on the path
// does trust takes that one's share of the limits, and not the others'. All of the amount
// takes one path; several paths are several actions of one transaction.
//
// An IOU is not the asset: it is redeemed by paying it back along the line and getting the
// asset in one transaction. Freezing and admission are rules for the asset, not for IOUs.
//
// Offers without Credit are for balances: [TakeOffer] exchanges at once. Nothing is set
// aside for an offer; taking more than there is fails.
//
// # Results
//
// An operation's result is success, with the operation's name in statements, or a
// [Rejection] with a code, the action at fault, and amounts ([DecodeResult]). It is part
// of the replicated history, the same on every replica, and what is rejected has changed
// nothing. errors.Is tells them apart:
//
//	r, err := ledger.DecodeResult(answer.Result)
//	if errors.Is(r.Err(), ledger.ErrInsufficient) { ... }
//
// # Reading
//
// Everything is in an ordered map of records ([AccountKey], [DecodeAccount] and so on).
// [GetQuery] reads one, [RangeQuery] a page of what belongs together; [StatementQuery] reads
// the statement of an account in an asset, line by line from a number, a height or a time
// on; [PathQuery] says what a payment would cost. Submitted as operations their answers are
// of the log and certain; asked of one replica they are quick and as good as that replica.
// A replica proves what is under a key by store.ProofQuery, for whoever has a checkpoint.
//
// # What statements take
//
// Statements are the history, so they are kept whole unless the ledger began with a bound
// ([Genesis.StatementEntries]). A line takes about 115 bytes of key and value with short
// names, and its memo; the store's tree adds some 60. A transfer makes two: a million
// transfers a day are 350 MB a day, on every replica, for ever. With a
// bound of n lines a statement has the last n, and the state grows with the accounts alone.
// What is dropped is under a digest in the holding, to which an archive of statements must
// lead ([DroppedDigest]); the balance of then is in the first line that is kept.
//
// # The books
//
// An [Auditor] is given all of a state and says whether it adds up: of each asset, balances
// and holds are what was issued less what was retired; what is owed on trust lines cancels
// out; every statement leads line by line to what the account has. Build with the tag
// ledgercheck, or set [Config.CheckBlocks], and every replica checks itself after each
// block and stops if something is wrong. 'parley ledger audit' audits replicas from outside.
//
// # What it costs
//
// 'parley ledger bench' makes a million transfers among 100,000 accounts on four replicas and
// kills the primary half way. On one machine with two processors, for all replicas and the
// clients (29 November 2026, when snapshots still copied the state): 1706 s, 586 transfers/s, the
// longest pause 8.2 s, 2.9 ms of processor for a transfer at all four together. A replica had 880 MiB
// in memory at most and 2.6 GiB in its state folder, of which the ledger is a tenth: the rest are
// the heights that snapshots keep. All books were equal, and every statement added up.
//
// # Starting one
//
//	s, err := store.Open(ctx, store.DefaultConfig())
//	m, err := ledger.New(s, ledger.DefaultConfig(cluster.ID()))
//
// m is the Machine of a replica.Config. See examples/settlement for a program that settles
// a delivery against payment, a repo and an exchange across borders.
package ledger
