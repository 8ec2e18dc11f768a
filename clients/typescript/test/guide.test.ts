import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { Cartd } from "./server.js";

test("the guide's TypeScript prints what it says", async () => {
  const cartd = await new Cartd().start();
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [new URL("guide.gen.js", import.meta.url).pathname], { env: { CARTD: cartd.url } });
    assert.deepEqual(stdout.split("\n"), readFileSync(new URL("guide.txt", import.meta.url), "utf8").split("\n"));
  } finally {
    await cartd[Symbol.asyncDispose]();
  }
});
