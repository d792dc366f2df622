// Package endpoint serves Ethereum's JSON-RPC for a replica that runs package contract,
// over HTTP and WebSocket, by the server of go-ethereum's package rpc. ethers.js, cast,
// wallets and geth's ethclient deploy, call, send and read through it.
//
//	e, err := endpoint.Start(ctx, endpoint.Config{
//		Machine: m, Submit: server, Serving: server.Serving, Interrupted: server.Interrupted, Behind: server.Behind,
//	})
//	client, err := ethclient.Dial(e.URL())
//
// # Whom to trust
//
// An endpoint speaks for its replica. What it says of the chain is that replica's word
// and certified by nobody: use that of a replica you trust, compare several, or read with
// a client of Parley (see contract.Machine.Query). What it cannot do is change anything
// in your name, for the keys stay with the user: it has no accounts, and
// eth_sendTransaction and eth_sign do not exist.
//
// It has no authentication either. It listens on loopback addresses unless Config.Remote
// says otherwise; put a proxy with TLS and credentials before one that others are to
// reach. Against pages in the browser of a user of the same machine it answers only to IP
// addresses, localhost and Config.Hosts (a page that rebinds its name is refused), and to
// pages of the same origin and of Config.Origins alone, over HTTP and WebSocket alike
// (geth's --http.corsdomain and --ws.origins). Both lists are empty by default; a page of
// localhost on another port is a stranger too. They are contractHosts and
// contractOrigins in a replica's replica.json.
//
// # Under an access policy
//
// Where the machine has one (contract.NewGuarded), everything that an endpoint reads is
// read in the name of Config.Caller, the gateway's key: what that may read, by the names of
// the methods, whoever reaches the endpoint may. A refusal is an error that names the rule. A
// transaction is its sender's, whom the policy knows by contract.AddressKey; one that it refuses
// is an error with code -32003.
//
// # While the state is wrong
//
// A replica whose state was found not to be the certified one, or that gets another one by a
// transfer, is not to be asked (Config.Serving): requests and new connections are refused
// with status 503. WebSockets that are open then are closed with code 1013 and the reason
// (Config.Interrupted), also if all is well again at once: what was told over them may have
// been wrong, and the next block need not follow on the last. Filters are forgotten for the
// same reason. Whoever subscribed subscribes again, here or at another replica, and looks by
// eth_getLogs for what came in between.
//
// # No gaps
//
// Subscriptions and filters leave out no block. A subscription that cannot go on (it is so
// slow that a block is not kept any more, one block has more logs than an answer may have,
// the policy lets the gateway read no more, the other end takes nothing up) ends, and since
// no notification can say so, its WebSocket is closed with code 1013 and the reason. A filter
// that was not asked for long goes on in pieces, one with each call; when what comes next is
// not to be had it is an error with the reason, and the filter is gone.
//
// # How a transaction gets into the log
//
// Config.Submit orders it: a replica signs the request with a key of its own, the
// gateway's, which a cluster with a list of clients must list ('parley init' makes and
// lists one for each replica). Its signature means nothing to the application; the
// transaction's own does.
//
// eth_sendRawTransaction returns when the transaction has been committed by a quorum and
// executed here, so a receipt can be read at once, and the next nonce sent. A refusal is
// an error with code -32003 and the reason; the transaction has changed nothing. A
// transaction that is in the chain and failed is no error: see its receipt. An error that
// is neither (a timeout, the end of the replica) means that the outcome is unknown: send
// the same bytes again, here or at another replica, which cannot run twice. If they have
// run, the answer is their hash, as the first time, for as long as Genesis.History keeps
// the transaction; after that it is "nonce too low".
//
// Transactions of one account go to the cluster in the order of their nonces, those that
// have come in the meantime together in one request. Those of a batch of calls, over HTTP or
// WebSocket, begin together, in whatever order it has them. One that is early waits up to
// Config.Gap for those before it, which may come through another replica; one that found
// its block full goes again. Of two with the same nonce the first stays: there is no
// replacement by price, since nobody waits long enough for it.
//
// # With ethers.js, viem and cast
//
// 'make ethers' has these use the endpoints of a cluster of four replicas, of the versions
// that tools/package-lock.json names, once where gas is free and once where it has a price:
//
//	ethers.js 6.17.0   tools/ethers.mjs   deploys, calls, sends, reads logs, follows events by
//	                                      eth_newFilter, eth_getLogs and eth_subscribe
//	viem 2.57.20       tools/viem.mjs     the same, and eth_sendRawTransactionSync
//	cast 1.7.1         cast_test.go       send, call, run, logs and what else Foundry's command
//	                                      does with a chain
//
// The scripts run against any cluster; they say how. go-ethereum's ethclient needs no such
// target: the other tests use it. What to know of these tools:
//
// ethers keeps answers for 250 ms, in which a transaction here is long since executed, and
// then signs the next one with the nonce of before. Switch that off:
//
//	new ethers.JsonRpcProvider(url, undefined, { cacheTimeout: -1 })
//
// Blocks come when there is something to do. A transaction is final in the block that it is
// in, so wait for one confirmation (the default of all three): a second one comes with
// somebody else's transaction, perhaps tomorrow. For the same reason wait at the replica that
// you sent to, where the receipt is there at once: at another one waitForTransaction of ethers
// may look just before the block comes and then wait for the next.
//
// Listeners of ethers over HTTP use a filter, and do not ask for another one when the replica
// has started again or its state was replaced: they fall silent. With the option polling: true
// they use eth_getLogs, which nothing can forget.
//
// Where the base fee is 0 ethers takes it for none and sends legacy transactions, unless a
// fee is given.
//
// viem makes batches of up to 1000 calls if it is told to make any, and an endpoint takes 100
// (Config.MaxBatch): http(url, { batch: { batchSize: 100 } }).
//
// # Methods
//
//	eth_   chainId blockNumber syncing accounts gasPrice maxPriorityFeePerGas blobBaseFee feeHistory
//	       getBalance getTransactionCount getCode getStorageAt call estimateGas createAccessList
//	       getBlockByNumber getBlockByHash getBlockTransactionCountBy{Number,Hash} getBlockReceipts
//	       getTransactionByHash getTransactionByBlock{Number,Hash}AndIndex getRawTransactionByHash
//	       getTransactionReceipt getLogs
//	       sendRawTransaction sendRawTransactionSync
//	       newFilter newBlockFilter newPendingTransactionFilter getFilterChanges getFilterLogs uninstallFilter
//	       subscribe (newHeads, logs, newPendingTransactions; over WebSocket) unsubscribe
//	net_   version listening peerCount
//	web3_  clientVersion sha3
//
// syncing is false unless the replica has executed less than it knows to be committed or
// prepared, by more than the window of blocks that are always under way ([Config.Behind]).
// latest, pending, safe and finalized name the same block: the last one, which is final.
// States can be read as far back as the store keeps them (128 heights by default), blocks
// and logs as far as Genesis.History.
//
// Nobody is told of transactions that wait: their filter and their subscription are there for
// tools that ask, and say nothing.
//
// call and estimateGas take overrides of state and block, createAccessList of the state, in
// go-ethereum's notation; what is built in cannot be moved or be another.
//
// Not offered: getProof (error -32004 says what there is instead), simulateV1, fillTransaction
// (viem asks for it and does without), uncles, whatever needs keys or a pool on the server
// (sendTransaction, sign, txpool_), and the namespaces debug, trace and admin: for a trace, run
// the transaction again with 'cast run', which reads the state that it needs.
//
// # Bounds
//
// Connections, bodies, calls in a batch, bytes of answers, filters, subscriptions of a
// connection, transactions that wait (in all and for each account), the gas and the time of
// a call, how many calls run at once, the blocks and the logs of one eth_getLogs: each has a
// limit in [Config] or contract.ReadLimits, and beyond it an error. A malformed request is
// an error of JSON-RPC.
package endpoint
