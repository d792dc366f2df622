// Drives an endpoint with viem: deploys OpenZeppelin's ERC-20, calls, sends, waits, reads
// logs and follows them. It is part of the tests ('make ethers') and runs against any
// cluster; ethers.mjs says how.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, http, padHex, parseEther, webSocket,
  zeroHash,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { artifact, finish, key, others, socket, step, url } from "./steps.mjs";

console.log(`viem ${JSON.parse(readFileSync(new URL("./node_modules/viem/package.json", import.meta.url))).version}`);
const { abi, bytecode } = artifact("Coin");
const hostile = artifact("Hostile");
const account = privateKeyToAccount(key);
const ben = privateKeyToAccount(generatePrivateKey());
const supply = parseEther("1000000");

const id = await createPublicClient({ transport: http(url) }).getChainId();
const chain = defineChain({ id, name: "Parley", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [url] } } });
const reads = (transport) => createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 });
const client = reads(http(url));
const wallet = createWalletClient({ account, chain, transport: http(url) });
let at, last;

// fails returns what of a promise's error has a name.
async function fails(promise, name) {
  const error = await promise.then((v) => assert.fail(`it succeeded: ${v}`), (e) => e);
  assert.ok(error instanceof BaseError, error.stack);
  const found = error.walk((e) => e.name === name);
  assert.ok(found, `${name} expected: ${error.stack}`);
  return found;
}

// done waits for a transaction.
async function done(hash) {
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  return receipt;
}

await step("blocks and fees", async () => {
  const block = await client.getBlock();
  assert.equal((await client.getBlock({ blockHash: block.hash, includeTransactions: true })).number, block.number);
  for (const blockTag of ["safe", "finalized", "pending", "earliest"]) await client.getBlock({ blockTag });
  await fails(client.getBlock({ blockNumber: block.number + 1000n }), "BlockNotFoundError");
  await fails(client.getTransaction({ hash: zeroHash }), "TransactionNotFoundError");
  await fails(client.getTransactionReceipt({ hash: zeroHash }), "TransactionReceiptNotFoundError");
  assert.equal(await client.getGasPrice(), block.baseFeePerGas);
  const fees = await client.estimateFeesPerGas();
  assert.ok(fees.maxFeePerGas >= block.baseFeePerGas);
  assert.equal(fees.maxPriorityFeePerGas, 0n);
  const history = await client.getFeeHistory({ blockCount: 2, rewardPercentiles: [50] });
  assert.equal(history.baseFeePerGas.at(-1), block.baseFeePerGas);
  await client.getBlobBaseFee();
});

await step("a contract is deployed and read", async () => {
  const receipt = await done(await wallet.deployContract({ abi, bytecode, args: [supply] }));
  at = receipt.contractAddress;
  assert.equal(await client.readContract({ address: at, abi, functionName: "totalSupply" }), supply);
  assert.equal(BigInt(await client.getStorageAt({ address: at, slot: "0x2" })), supply);
  assert.ok((await client.getCode({ address: at })).length > 1000);
  assert.equal(await client.getCode({ address: ben.address }), undefined);
});

await step("a transaction is tried, sent, and read", async () => {
  const { request, result } = await client.simulateContract({ account, address: at, abi, functionName: "transfer", args: [ben.address, 10n] });
  assert.equal(result, true);
  last = await done(await wallet.writeContract(request));
  assert.equal(last.type, "eip1559");
  const tx = await client.getTransaction({ hash: last.transactionHash });
  assert.equal(tx.blockHash, last.blockHash);
  assert.equal(tx.from.toLowerCase(), account.address.toLowerCase());
  assert.ok((await client.getTransactionConfirmations({ hash: tx.hash })) >= 1n);
  assert.equal(await client.readContract({ address: at, abi, functionName: "balanceOf", args: [ben.address] }), 10n);
  assert.equal(await client.readContract({ address: at, abi, functionName: "balanceOf", args: [ben.address], blockNumber: last.blockNumber - 1n }), 0n);
});

await step("a transaction is sent and answered with its receipt", async () => {
  const value = parseEther("1");
  const receipt = await wallet.sendTransactionSync({ to: ben.address, value, timeout: 30_000 });
  assert.equal(receipt.status, "success");
  assert.equal(await client.getBalance({ address: ben.address }), value);
});

await step("transactions of every type", async () => {
  const gasPrice = await client.getGasPrice();
  const accessList = [{ address: at, storageKeys: [] }];
  const eve = privateKeyToAccount(generatePrivateKey());
  const authorization = await eve.signAuthorization({ address: at, chainId: id, nonce: 0 });
  for (const [type, request] of Object.entries({
    legacy: { gasPrice }, eip2930: { gasPrice, accessList }, eip1559: { accessList }, eip7702: { authorizationList: [authorization] },
  })) {
    const receipt = await done(await wallet.sendTransaction({ type, to: ben.address, value: 1n, ...request }));
    assert.equal(receipt.type, type);
    assert.equal((await client.getTransaction({ hash: receipt.transactionHash })).type, type);
  }
  assert.equal(await client.getCode({ address: eve.address }), "0xef0100" + at.slice(2).toLowerCase());
});

await step("a list of what a call uses", async () => {
  const { accessList, gasUsed } = await client.createAccessList({ account, to: at, data: "0x18160ddd" });
  assert.equal(accessList[0].storageKeys.length, 1);
  assert.ok(gasUsed > 21_000n);
});

await step("a call finds another state", async () => {
  const stateDiff = [{ slot: padHex("0x2", { size: 32 }), value: padHex("0x7", { size: 32 }) }];
  assert.equal(await client.readContract({ address: at, abi, functionName: "totalSupply", stateOverride: [{ address: at, stateDiff }] }), 7n);
});

await step("reverts are decoded", async () => {
  const greedy = { account: ben, address: at, abi, functionName: "transfer", args: [account.address, 1000n] };
  for (const doing of [client.simulateContract(greedy), client.estimateContractGas(greedy)]) {
    const error = await fails(doing, "ContractFunctionRevertedError");
    assert.ok(error instanceof ContractFunctionRevertedError);
    assert.equal(error.data.errorName, "ERC20InsufficientBalance");
    assert.deepEqual([error.data.args[1], error.data.args[2]], [10n, 1000n]);
  }
  const receipt = await done(await wallet.deployContract({ abi: hostile.abi, bytecode: hostile.bytecode }));
  const said = await fails(client.simulateContract({ address: receipt.contractAddress, abi: hostile.abi, functionName: "refuse", args: ["not today"] }), "ContractFunctionRevertedError");
  assert.equal(said.reason, "not today");
});

await step("transactions that fail and that are refused", async () => {
  const hash = await wallet.writeContract({ address: at, abi, functionName: "transfer", args: [ben.address, 2n * supply], gas: 100_000n });
  assert.equal((await client.waitForTransactionReceipt({ hash })).status, "reverted");
  await fails(wallet.sendTransaction({ to: ben.address, nonce: 0 }), "NonceTooLowError");
  const poor = createWalletClient({ account: privateKeyToAccount(generatePrivateKey()), chain, transport: http(url) });
  await fails(poor.sendTransaction({ to: ben.address, value: 1n, gas: 21_000n }), "InsufficientFundsError");
  await fails(poor.sendTransaction({ to: ben.address, value: 1n }), "InsufficientFundsError"); // by the estimate
  await fails(wallet.sendTransaction({ to: ben.address, gas: 20_000n }), "IntrinsicGasTooLowError");
  await fails(client.getProof({ address: at, storageKeys: [] }), "MethodNotSupportedRpcError");
});

await step("logs by range and block", async () => {
  const all = await client.getContractEvents({ address: at, abi, eventName: "Transfer", args: { to: ben.address }, fromBlock: 0n });
  assert.deepEqual(all.map((l) => l.args.value), [10n]);
  assert.equal((await client.getLogs({ blockHash: last.blockHash })).length, 1);
  const filter = await client.createContractEventFilter({ address: at, abi, eventName: "Transfer", fromBlock: 0n });
  assert.equal((await client.getFilterLogs({ filter })).length, 2);
  assert.ok(await client.uninstallFilter({ filter }));
});

// follow sends transfers and waits until all of them have been told of.
async function follow(watching, ready) {
  const got = [];
  const stop = watching.watchContractEvent({
    address: at, abi, eventName: "Transfer", args: { to: ben.address },
    onLogs: (logs) => got.push(...logs), onError: (e) => { console.error(e); process.exit(1); },
  });
  await ready();
  const hashes = [];
  for (let i = 1n; i <= 3n; i++) {
    hashes.push((await done(await wallet.writeContract({ address: at, abi, functionName: "transfer", args: [ben.address, i] }))).transactionHash);
  }
  while (!hashes.every((h) => got.some((l) => l.transactionHash === h))) await setTimeout(20);
  assert.equal(got.length, 3);
  stop();
}

// answering makes a transport that tells when a method has been answered.
function answering(transport, method) {
  let tell;
  const answered = new Promise((resolve) => (tell = resolve));
  const observed = (options) => {
    const t = transport(options);
    const request = async (args, ...rest) => {
      const answer = await t.request(args, ...rest);
      if (args.method === method) tell();
      return answer;
    };
    return { ...t, request };
  };
  return [observed, () => answered];
}

await step("events by eth_newFilter", async () => {
  const [transport, ready] = answering(http(url), "eth_newFilter");
  await follow(reads(transport), ready);
});

await step("events and blocks over a WebSocket", async () => {
  const ws = reads(webSocket(socket(url)));
  const heads = [];
  const stop = ws.watchBlocks({ onBlock: (b) => heads.push(b.number), onError: (e) => { console.error(e); process.exit(1); } });
  await follow(ws, async () => {
    // Its subscriptions are asked for at once, and each of these calls comes after them.
    while (heads.length === 0) {
      await done(await wallet.sendTransaction({ to: ben.address, value: 1n }));
      await ws.getBlockNumber();
    }
  });
  stop();
});

await step("calls in batches", async () => {
  const batched = reads(http(url, { batch: true }));
  const all = await Promise.all(Array.from({ length: 50 }, () => batched.readContract({ address: at, abi, functionName: "totalSupply" })));
  assert.ok(all.every((v) => v === supply));
  // Signed beforehand and handed in the wrong way round.
  const nonce = await client.getTransactionCount({ address: account.address, blockTag: "pending" });
  const raws = await Promise.all(Array.from({ length: 10 }, async (_, i) =>
    wallet.signTransaction(await wallet.prepareTransactionRequest({ to: ben.address, value: 1n, nonce: nonce + i, gas: 21_000n }))));
  for (const hash of await Promise.all(raws.reverse().map((serializedTransaction) => batched.sendRawTransaction({ serializedTransaction })))) await done(hash);
});

await step("other replicas say the same", async () => {
  const receipt = await done(await wallet.sendTransaction({ to: ben.address, value: 1n }));
  for (const other of others) {
    const there = reads(http(other));
    while ((await there.getBlockNumber()) < receipt.blockNumber) await setTimeout(20);
    assert.deepEqual(await there.getTransactionReceipt({ hash: receipt.transactionHash }), receipt);
  }
});

finish();
