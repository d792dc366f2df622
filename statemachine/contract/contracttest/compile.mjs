// Compiles solidity/ into artifacts/. Only whoever changes a contract needs it:
//
//     cd statemachine/contract/contracttest
//     npm install --no-save solc@0.8.37 @openzeppelin/contracts@5.7.0
//     node compile.mjs
//     rm -r node_modules
//
// The tests that need node read the artifacts too, and compile nothing ('make ethers').
import { createRequire } from "node:module";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const require = createRequire(process.cwd() + "/");
const solc = require("solc");
const openzeppelin = require("@openzeppelin/contracts/package.json").version;

// What is written, by file.
const wanted = {
  "Coin.sol": ["Coin"],
  "Art.sol": ["Art"],
  "Share.sol": ["Share"],
  "Dao.sol": ["Dao"],
  "SafeBank.sol": ["SafeBank"],
  "Hostile.sol": ["Hostile", "Bank", "Thief"],
  "@openzeppelin/contracts/governance/TimelockController.sol": ["TimelockController"],
};

const sources = {};
for (const name of readdirSync("solidity")) {
  sources[name] = { content: readFileSync("solidity/" + name, "utf8") };
}
const input = {
  language: "Solidity",
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "prague",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const findImport = (path) => ({ contents: readFileSync(require.resolve(path), "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
for (const e of output.errors ?? []) {
  if (e.severity === "error") throw new Error(e.formattedMessage);
}
mkdirSync("artifacts", { recursive: true });
for (const [file, names] of Object.entries(wanted)) {
  for (const name of names) {
    const c = output.contracts[file][name];
    const artifact = {
      contract: name,
      source: file.startsWith("@") ? file : "solidity/" + file,
      compiler: solc.version(),
      openzeppelin,
      license: "MIT (OpenZeppelin Contracts), Apache-2.0 (solidity/)",
      abi: c.abi,
      bytecode: "0x" + c.evm.bytecode.object,
    };
    writeFileSync(`artifacts/${name}.json`, JSON.stringify(artifact, null, 1) + "\n");
    console.log(name, (artifact.bytecode.length - 2) / 2, "bytes");
  }
}
