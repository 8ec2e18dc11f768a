// Makes test/guide.gen.ts of the TypeScript in docs/api-guide.md: it is compiled as it stands there, and test/guide.test.ts
// runs it. A "console.log(…); // → text" says what it prints.
import { readFileSync, writeFileSync } from "node:fs";

const page = readFileSync(new URL("../../../docs/api-guide.md", import.meta.url), "utf8");
const code = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block).join("\n");
const here = code.replaceAll('"http://127.0.0.1:8080"', "process.env.CARTD!");
const prints = [...code.matchAll(/console\.log\(.*; \/\/ → (.*)$/gm)].map(([, text]) => text);
if (here === code || prints.length !== code.split("console.log(").length - 1) throw new Error("docs/api-guide.md is not as this script reads it");

writeFileSync(
  new URL("../test/guide.gen.ts", import.meta.url),
  `// Made by scripts/guide.mjs.\nimport { webcrypto } from "node:crypto";\nimport { browser } from "./server.js";

globalThis.fetch = browser();
globalThis.crypto ??= webcrypto as Crypto; // Node.js 18

${here}`,
);
writeFileSync(new URL("../build/guide.txt", import.meta.url), prints.map((text) => text + "\n").join(""));
