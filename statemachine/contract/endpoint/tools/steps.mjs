// What the scripts share: arguments, steps, artefacts.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The endpoint, and those of other replicas of the same cluster.
export const [url, ...others] = process.argv.slice(2);
if (url === undefined || process.env.PARLEY_KEY === undefined) {
  console.error(`usage: PARLEY_KEY=0x... node ${process.argv[1]} http://127.0.0.1:8545 [the endpoints of other replicas ...]`);
  console.error("The key is that of an account with ether, in hex. What the script sends is paid from it.");
  process.exit(2);
}
export const key = process.env.PARLEY_KEY;
export const socket = (of) => of.replace(/^http/, "ws");

const artifacts = process.env.PARLEY_ARTIFACTS ?? join(dirname(fileURLToPath(import.meta.url)), "../../contracttest/artifacts");

// artifact returns a compiled contract of package contracttest.
export const artifact = (name) => JSON.parse(readFileSync(join(artifacts, `${name}.json`), "utf8"));

let passed = 0;

// step does one thing, and ends the script if that fails.
export async function step(name, doing) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it takes over a minute")), 60_000);
  });
  try {
    await Promise.race([doing(), late]);
  } catch (error) {
    console.error(`FAILED: ${name}`);
    console.error(error);
    process.exit(1);
  } finally {
    clearTimeout(timer);
  }
  passed++;
  console.log(`ok ${name}`);
}

// finish ends the script.
export function finish() {
  console.log(`${passed} steps passed`);
  process.exit(0);
}
