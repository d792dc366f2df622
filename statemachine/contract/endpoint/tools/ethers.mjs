// Drives an endpoint with ethers.js: deploys OpenZeppelin's ERC-20, calls, sends, waits,
// reads logs and follows them in every way that ethers.js has. It is part of the tests
// ('make ethers') and runs against any cluster:
//
//     cd statemachine/contract/endpoint/tools
//     npm ci --ignore-scripts
//     PARLEY_KEY=0x... node ethers.mjs http://127.0.0.1:8545
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import {
  ContractFactory, JsonRpcProvider, NonceManager, Transaction, Wallet, WebSocketProvider, ZeroAddress, ZeroHash,
  encodeRlp, getCreateAddress, id, isError, keccak256, parseEther, toBeArray, version, zeroPadValue,
} from "ethers";
import { artifact, finish, key, others, socket, step, url } from "./steps.mjs";

console.log(`ethers ${version}`);
const coinFile = artifact("Coin");
const hostileFile = artifact("Hostile");

// connect makes a provider. Answers are not kept for 250 ms, in which a transaction has
// long since run: the next one would be signed with its nonce.
function connect(of = url, options = {}) {
  const p = new JsonRpcProvider(of, undefined, { cacheTimeout: -1, ...options });
  p.pollingInterval = 50;
  return p;
}

// answered waits until a provider has got answers to a method: a listener says nothing of
// when it has begun to listen.
function answered(p, method, times = 1) {
  return new Promise((resolve) => {
    const ids = new Set();
    const listener = (event) => {
      for (const call of [event.payload ?? []].flat()) if (call.method === method) ids.add(call.id);
      for (const answer of [event.result ?? []].flat()) if (ids.delete(answer.id) && --times === 0) resolve();
    };
    p.on("debug", listener);
  });
}

// collect gathers events until some have come. Polling listeners look for news when they
// see a new block, and there is none while nobody sends anything.
function collect() {
  const got = [];
  return {
    got,
    add: (...args) => { got.push(args); },
    until: async (enough) => {
      for (let i = 1; !enough(got); i++) {
        await setTimeout(50);
        if (i % 20 === 0) await (await ann.sendTransaction({ to: ann.address })).wait();
      }
    },
  };
}

// fails returns the error that a promise ends with, which has a code of ethers.js.
async function fails(promise, code) {
  const error = await promise.then((v) => assert.fail(`it succeeded: ${v}`), (e) => e);
  assert.ok(isError(error, code), `${code} expected: ${error.stack}`);
  return error;
}

const provider = connect();
const ann = new Wallet(key, provider);
const ben = Wallet.createRandom(provider);
const supply = parseEther("1000000");
let coin, at, chainId, baseFee, last;

await step("network, blocks and fees", async () => {
  chainId = (await provider.getNetwork()).chainId;
  assert.equal(BigInt(await provider.send("net_version", [])), chainId);
  const first = await provider.getBlock(0);
  assert.equal(first.number, 0);
  assert.equal(first.parentHash, ZeroHash);
  const block = await provider.getBlock("latest", true);
  assert.equal((await provider.getBlock(block.hash)).number, block.number);
  for (const tag of ["safe", "finalized", "pending"]) assert.ok((await provider.getBlock(tag)).number >= block.number);
  assert.equal(await provider.getBlock(block.number + 1_000_000), null);
  assert.equal(await provider.getBlock(ZeroHash), null);
  baseFee = block.baseFeePerGas;
  const fees = await provider.getFeeData();
  assert.equal(fees.gasPrice, baseFee);
  if (baseFee > 0n) {
    assert.equal(fees.maxPriorityFeePerGas, 0n);
    assert.equal(fees.maxFeePerGas, 2n * baseFee);
  } else {
    assert.equal(fees.maxFeePerGas, null, "ethers takes a base fee of 0 for none, and sends legacy transactions");
  }
  assert.ok((await provider.getBalance(ann.address)) > 0n);
  assert.equal(await provider.getBalance(ben.address), 0n);
  assert.equal(await provider.getTransaction(ZeroHash), null);
  assert.equal(await provider.getTransactionReceipt(ZeroHash), null);
});

await step("a contract is deployed", async () => {
  const nonce = await ann.getNonce();
  const factory = new ContractFactory(coinFile.abi, coinFile.bytecode, ann);
  coin = await factory.deploy(supply);
  await coin.waitForDeployment();
  at = await coin.getAddress();
  assert.equal(at, getCreateAddress({ from: ann.address, nonce }));
  const receipt = await coin.deploymentTransaction().wait();
  assert.equal(receipt.contractAddress, at);
  assert.equal(receipt.status, 1);
  assert.equal(receipt.to, null);
  assert.notEqual(await coin.getDeployedCode(), null);
  assert.equal(await provider.getCode(ben.address), "0x");
  assert.equal(await ann.getNonce(), nonce + 1);
});

await step("calls read", async () => {
  assert.equal(await coin.name(), "Parley Coin");
  assert.equal(await coin.symbol(), "PRL");
  assert.equal(await coin.decimals(), 18n);
  assert.equal(await coin.totalSupply(), supply);
  assert.equal(BigInt(await provider.getStorage(at, 2)), supply);
  const many = await Promise.all(Array.from({ length: 250 }, () => coin.balanceOf(ann.address))); // in three batches
  assert.ok(many.every((v) => v === supply));
});

await step("a transaction is sent, waited for and read", async () => {
  const estimate = await coin.transfer.estimateGas(ben.address, 10n);
  const tx = await coin.transfer(ben.address, 10n);
  assert.equal(tx.type, baseFee > 0n ? 2 : 0);
  const receipt = await tx.wait();
  assert.equal(receipt.status, 1);
  assert.equal(receipt.hash, tx.hash);
  assert.equal(receipt.from, ann.address);
  assert.equal(receipt.to, at);
  assert.ok(receipt.gasUsed <= estimate);
  assert.equal(receipt.gasPrice, baseFee);
  assert.equal(receipt.fee, receipt.gasUsed * baseFee);
  assert.ok((await receipt.confirmations()) >= 1);
  assert.equal(receipt.logs.length, 1);
  assert.equal(receipt.logs[0].fragment.name, "Transfer");
  assert.deepEqual([...receipt.logs[0].args], [ann.address, ben.address, 10n]);
  const again = await provider.getTransaction(tx.hash);
  assert.equal(again.data, tx.data);
  assert.equal(again.chainId, chainId);
  assert.equal(again.signature.serialized, tx.signature.serialized);
  assert.equal(Transaction.from(again).serialized, Transaction.from(tx).serialized);
  const block = await receipt.getBlock();
  assert.equal(block.hash, receipt.blockHash);
  assert.ok(block.transactions.includes(tx.hash));
  assert.equal((await provider.getBlock(block.number, true)).prefetchedTransactions.find((t) => t.hash === tx.hash).from, ann.address);
  assert.equal((await provider.waitForTransaction(tx.hash)).blockHash, receipt.blockHash);
  assert.equal(await coin.balanceOf(ben.address), 10n);
  assert.equal(await coin.balanceOf(ben.address, { blockTag: receipt.blockNumber - 1 }), 0n);
  last = receipt;
});

await step("transactions of every type", async () => {
  const fee = baseFee > 0n ? { maxFeePerGas: 3n * baseFee, maxPriorityFeePerGas: 0n } : { maxFeePerGas: 0n, maxPriorityFeePerGas: 0n };
  const value = parseEther("1");
  const access = [{ address: at, storageKeys: [zeroPadValue("0x02", 32)] }];
  const eve = Wallet.createRandom(provider);
  const auth = await eve.authorize({ address: at, nonce: 0, chainId });
  const before = await provider.getBalance(ben.address);
  for (const request of [
    { type: 0 }, { type: 1, accessList: access }, { type: 2, accessList: access, ...fee }, { type: 4, authorizationList: [auth], ...fee },
  ]) {
    const tx = await ann.sendTransaction({ to: ben.address, value, ...request });
    const receipt = await tx.wait();
    assert.equal(receipt.type, request.type);
    const again = await provider.getTransaction(tx.hash);
    assert.equal(again.type, request.type);
    assert.equal(Transaction.from(again).serialized, Transaction.from(tx).serialized);
    if (request.accessList) assert.deepEqual(again.accessList.map((a) => a.address), [at]);
    if (request.authorizationList) {
      assert.equal(again.authorizationList[0].signature.serialized, auth.signature.serialized);
      assert.equal(await provider.getCode(eve.address), "0xef0100" + at.slice(2).toLowerCase());
    }
  }
  assert.equal((await provider.getBalance(ben.address)) - before, 4n * value);
});

await step("reverts are decoded", async () => {
  for (const doing of [coin.connect(ben).transfer.staticCall(ann.address, 1000n), coin.connect(ben).transfer.estimateGas(ann.address, 1000n)]) {
    const error = await fails(doing, "CALL_EXCEPTION");
    const revert = error.revert ?? coin.interface.parseError(error.data); // which ethers leaves to the caller for an estimate
    assert.equal(revert.name, "ERC20InsufficientBalance");
    assert.deepEqual([...revert.args], [ben.address, 10n, 1000n]);
  }
  const hostile = await (await new ContractFactory(hostileFile.abi, hostileFile.bytecode, ann).deploy()).waitForDeployment();
  const said = await fails(hostile.refuse.staticCall("not today"), "CALL_EXCEPTION");
  assert.equal(said.reason, "not today");
  const mute = await fails(provider.call({ to: at, data: "0x01020304" }), "CALL_EXCEPTION");
  assert.equal(mute.data, "0x");
  await fails(hostile.invalid.staticCall(), "CALL_EXCEPTION");
});

await step("a transaction that fails", async () => {
  const nonce = await ann.getNonce();
  const early = await fails(coin.connect(ben).transfer(ann.address, 1000n), "CALL_EXCEPTION");
  assert.equal(early.action, "estimateGas");
  assert.equal(coin.interface.parseError(early.data).name, "ERC20InsufficientBalance");
  const tx = await coin.transfer(ben.address, 2n * supply, { gasLimit: 100_000n });
  const error = await fails(tx.wait(), "CALL_EXCEPTION");
  assert.equal(error.receipt.status, 0);
  assert.equal(error.receipt.logs.length, 0);
  assert.equal(await ann.getNonce(), nonce + 1, "it is in the chain, and has cost its nonce");
});

await step("transactions that are refused", async () => {
  const poor = Wallet.createRandom(provider);
  await fails(poor.sendTransaction({ to: ann.address, value: 1n, gasLimit: 21_000n }), "INSUFFICIENT_FUNDS");
  await fails(poor.sendTransaction({ to: ann.address, value: 1n }), "INSUFFICIENT_FUNDS"); // by the estimate
  await fails(ann.sendTransaction({ to: ben.address, nonce: 0 }), "NONCE_EXPIRED");
  const naked = new Transaction();
  Object.assign(naked, { type: 0, chainId: 0n, nonce: await ann.getNonce(), gasLimit: 21_000n, gasPrice: baseFee, to: ben.address });
  naked.signature = ann.signingKey.sign(naked.unsignedHash);
  await fails(provider.broadcastTransaction(naked.serialized), "UNSUPPORTED_OPERATION");
  const unknown = await fails(provider.send("eth_sign", [ann.address, "0x00"]), "UNSUPPORTED_OPERATION");
  assert.equal(unknown.operation, "eth_sign");

  // The same bytes again are no error: the transaction is in the chain.
  const tx = await ann.sendTransaction({ to: ben.address, value: 1n });
  await tx.wait();
  const raw = await provider.send("eth_getRawTransactionByHash", [tx.hash]);
  assert.equal((await provider.broadcastTransaction(raw)).hash, tx.hash);
});

await step("logs by range, topic and block", async () => {
  const head = await provider.getBlockNumber();
  const filter = coin.filters.Transfer(null, ben.address);
  const all = await coin.queryFilter(filter, 0, "latest");
  assert.deepEqual(all.map((l) => l.args.value), [10n]);
  const parts = [];
  for (let from = 0; from <= head; from += 3) parts.push(...await coin.queryFilter(coin.filters.Transfer(), from, Math.min(from + 2, head)));
  assert.deepEqual(parts.map((l) => l.transactionHash), (await coin.queryFilter("Transfer", 0)).map((l) => l.transactionHash));
  assert.equal(parts[0].args.from, ZeroAddress, "the mint");
  assert.equal((await provider.getLogs({ blockHash: last.blockHash, address: at })).length, 1);
  assert.equal((await provider.getLogs({ fromBlock: 0, address: ben.address })).length, 0);
  assert.equal((await provider.getLogs({ fromBlock: 0, topics: [[id("Transfer(address,address,uint256)"), ZeroHash], null, zeroPadValue(ben.address, 32)] })).length, 1);
});

// follow sends transfers and has all of them told to a listener.
async function follow(listening) {
  const events = collect();
  await listening.on(coin.filters.Transfer(null, ben.address), events.add);
  return async () => {
    const hashes = [];
    for (let i = 1n; i <= 3n; i++) {
      const tx = await coin.transfer(ben.address, 100n + i);
      await tx.wait();
      hashes.push(tx.hash);
    }
    await events.until((got) => hashes.every((h) => got.some(([event]) => event.log.transactionHash === h)));
    for (const [event] of events.got) assert.deepEqual([event.args.from, event.args.to], [ann.address, ben.address]);
    await listening.removeAllListeners();
    return events.got;
  };
}

await step("events by eth_newFilter", async () => {
  const p = connect();
  const ready = answered(p, "eth_getFilterChanges"); // of the filter that is new
  const told = await follow(coin.connect(p));
  await ready;
  assert.equal((await told()).length, 3);
  p.destroy();
});

await step("events by eth_getLogs", async () => {
  const p = connect(url, { polling: true });
  await p.getNetwork();
  const ready = answered(p, "eth_blockNumber");
  const told = await follow(coin.connect(p));
  await ready;
  await p.getBlockNumber(); // answered after the one from which the listener goes on
  assert.ok((await told()).length >= 3);
  p.destroy();
});

await step("blocks and receipts by polling", async () => {
  const p = connect();
  const [blocks, finals] = [collect(), collect()];
  const ready = answered(p, "eth_getBlockByNumber");
  p.on("block", blocks.add);
  p.on("finalized", finals.add);
  await ready;
  const tx = await ann.sendTransaction({ to: ben.address, value: 1n });
  const receipt = await tx.wait();
  await blocks.until((got) => got.some(([n]) => n >= receipt.blockNumber));
  await finals.until((got) => got.some(([n]) => n >= receipt.blockNumber));
  p.destroy();
});

await step("events, blocks and transactions over a WebSocket", async () => {
  const p = new WebSocketProvider(socket(url), undefined, { cacheTimeout: -1 });
  const blocks = collect();
  p.on("pending", () => assert.fail("nothing waits here that others may see"));
  p.on("block", blocks.add);
  const ready = answered(p, "eth_subscribe", 3);
  const told = await follow(coin.connect(p));
  await ready;
  assert.equal((await told()).length, 3);
  const mine = ann.connect(p);
  const receipt = await (await mine.sendTransaction({ to: ben.address, value: 1n })).wait();
  assert.equal(receipt.status, 1);
  await blocks.until((got) => got.some(([n]) => n >= receipt.blockNumber));
  await fails(coin.connect(mine).transfer.staticCall(ben.address, 2n * supply), "CALL_EXCEPTION");
  await p.destroy();
});

await step("many transactions at once", async () => {
  const manager = new NonceManager(ann);
  const sent = await Promise.all(Array.from({ length: 30 }, (_, i) => coin.connect(manager).transfer(ben.address, BigInt(i + 1))));
  for (const receipt of await Promise.all(sent.map((tx) => tx.wait()))) assert.equal(receipt.status, 1);

  // Signed beforehand and handed in the wrong way round, in one batch.
  const nonce = await ann.getNonce();
  const raws = await Promise.all(Array.from({ length: 10 }, async (_, i) =>
    ann.signTransaction(await ann.populateTransaction({ to: ben.address, value: 1n, nonce: nonce + i, gasLimit: 50_000n }))));
  const reversed = await Promise.all(raws.reverse().map((raw) => provider.broadcastTransaction(raw)));
  for (const tx of reversed) assert.equal((await tx.wait()).status, 1);
  assert.equal(await ann.getNonce(), nonce + 10);
});

await step("other replicas say the same", async () => {
  const tx = await coin.transfer(ben.address, 1n);
  const receipt = await tx.wait();
  const height = "0x" + receipt.blockNumber.toString(16);
  const everything = async (p) => JSON.stringify(await Promise.all([
    p.send("eth_getBlockByNumber", [height, true]), p.send("eth_getBlockReceipts", [height]), p.send("eth_getLogs", [{ fromBlock: "0x0", toBlock: height }]),
    p.send("eth_call", [{ to: at, data: coin.interface.encodeFunctionData("balanceOf", [ben.address]) }, height]),
  ]));
  for (const other of others) {
    const p = connect(other);
    while (await p.getTransactionReceipt(tx.hash) === null) await setTimeout(20);
    assert.equal(await everything(p), await everything(provider));
    p.destroy();
  }
});

await step("a header has the hash that anybody computes", async () => {
  const b = await provider.send("eth_getBlockByNumber", ["latest", false]);
  const number = (q) => toBeArray(q);
  assert.equal(b.hash, keccak256(encodeRlp([
    b.parentHash, b.sha3Uncles, b.miner, b.stateRoot, b.transactionsRoot, b.receiptsRoot, b.logsBloom, number(b.difficulty), number(b.number),
    number(b.gasLimit), number(b.gasUsed), number(b.timestamp), b.extraData, b.mixHash, b.nonce, number(b.baseFeePerGas), b.withdrawalsRoot,
    number(b.blobGasUsed), number(b.excessBlobGas), b.parentBeaconBlockRoot, b.requestsHash,
  ])));
});

finish();
