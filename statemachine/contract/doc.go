// Package contract runs smart contracts: Ethereum's transactions, executed by the EVM of
// go-ethereum, replicated by Parley. Contracts, compilers, wallets and tools that exist
// work unchanged; what is new is under them. A block is final the moment it is there,
// and its order, its receipts and its state are those of every honest replica.
//
// It is a package of its own so that whoever embeds Parley for something else does not
// compile go-ethereum. [New] returns the machine for replica.Config; package endpoint
// serves JSON-RPC for it; examples/contract is a program to copy; package contracttest
// has OpenZeppelin's contracts compiled and stories to tell with them.
//
//	s, err := store.Open(ctx, store.DefaultConfig())
//	m, err := contract.New(s, &contract.Genesis{ChainID: 4711})
//
// # Operations and results
//
// An operation is a signed transaction in Ethereum's encoding (what eth_sendRawTransaction
// takes): legacy with a chain id, or of type 1, 2 or 4. The signature in it is what
// authorises; the client of Parley that has it ordered is only the messenger, so the
// same transaction may come through any number of replicas and runs once, for its nonce
// is used then.
//
// A transaction that is in the chain has an [Outcome] as its result, which also the
// receipts of Parley prove: gas, events, the new contract's address, what was returned.
// One that fails there (CodeReverted to CodeFailed) is undone, but for what Ethereum
// takes: the nonce, and the price of the gas. One that cannot be in the chain (all other
// codes) changes nothing at all. Codes are this package's own and no text of go-ethereum
// is in any result, since another version may say it in other words.
//
//	CodeOK                it ran
//	CodeReverted          the contract said no, and Output has its reason
//	CodeOutOfGas          its gas limit did not suffice
//	CodeBadInstruction    no such instruction, jump or stack
//	CodeNotDeployed       oversized or forbidden code, or the address is taken
//	CodeFailed            another failure of the execution
//	CodeNonceUsed         a replay, or another one was quicker
//	CodeNonceAhead        transactions before it are missing
//	CodeForeign           signed for another chain, for all, or not at all
//	CodeFunds             the sender cannot pay
//	CodeGasTooLow         less than the transaction costs before it runs
//	CodeGasTooHigh        above Genesis.TxGasLimit
//	CodeBlockFull         no room in the block: send the same one again
//	CodeFeeTooLow         below Genesis.BaseFee
//	CodeSender            the sender is a contract
//	CodeMalformed, CodeUnsupported (blobs), CodeTooLarge (over 128 KiB, or init code over 48 KiB)
//
// # Rules
//
// [Genesis.Fork] chooses Ethereum's rules, osaka (of December 2025) unless it says prague.
// Nothing switches them later: a new fork is a new genesis. Gas is metered by
// go-ethereum, to the unit: tests run the same transactions by go-ethereum's own state
// and state processor, random programs too, and the module crosscheck on its simulated
// backend.
//
// Gas has a price only if the genesis says so. A price of 0 is sound here, because what
// protects the replicas is not the price but [Genesis.BlockGasLimit] and TxGasLimit, and
// the admission and fair shares of Parley's clients. The base fee never moves. It is
// burnt; what is paid above it goes to [Genesis.Coinbase].
//
// Differences from a public Ethereum chain, which contracts can notice:
//
//   - block.number is the height of Parley's log. Blocks come when there is something to
//     do, so a duration in blocks means little: let a Governor count seconds
//     (ERC-6372, mode=timestamp), or choose periods with care.
//   - block.timestamp is block time in whole seconds. It never goes back, and several
//     blocks may have the same.
//   - block.prevrandao is the digest of Parley's block. Its proposer chooses what is in
//     the block, so it is NO source of fair randomness: use commit and reveal.
//   - blockhash is the hash of a header in Ethereum's form, of the last 256 blocks.
//   - block.coinbase is the same in every block; blobs, withdrawals and the system
//     contracts of beacon chains do not exist; blob base fee is 1.
//   - A transaction without a chain id (before EIP-155) is refused: it would be good on
//     every chain.
//
// The precompiled contracts are go-ethereum's, all of the fork. They are pure Go but for
// the recovery of signatures, which is C where cgo is on; both give the same results, by
// go-ethereum's own tests. All the same let the replicas run the same build.
//
// # State
//
// Accounts, storage, code, headers, transactions and receipts are in the store, under the
// keys that keys.go lists. Blocks older than [Genesis.History] are forgotten with their
// transactions, receipts and logs; accounts are not.
//
// A header is a genuine header of Ethereum, with its hash; tools that compute the hash
// find the same. The state root in it is the digest of the store BEFORE the block: it
// commits to all that led to it, headers included, and proofs of the store verify against
// it ([AccountKey], [StorageKey], store.ProofQuery). It is no root of a Merkle-Patricia
// trie, so there is no eth_getProof: it is answered with error -32004, which names what
// there is instead. What certifies a proof of the store is a checkpoint of Parley.
//
// Bounds: a transaction has at most 128 KiB, code 24 KiB, a block the gas of the genesis;
// memory and calls are bounded by gas, as everywhere. With the default of 30 million a
// block is well below a second of work. An ERC-20 transfer costs some 170 us of
// processor time, half of it for the signature, which is checked on all processors.
//
// # Reading
//
// [Machine.API] has the methods of JSON-RPC that read, at any height that the store keeps.
// Machine.Query answers the same requests from the last state, byte for byte alike on
// every replica that has it, so that a client of Parley can compare replicas: 'parley
// contract call' believes what more weight than may be faulty says.
//
// [Machine.Check] looks through everything for what can never be.
package contract
