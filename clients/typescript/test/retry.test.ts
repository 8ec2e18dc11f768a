import assert from "node:assert/strict";
import { test } from "node:test";
import { CartError, retryAfter } from "../dist/errors.js";
import { backOff, policyOf } from "../dist/retry.js";

const unavailable = (header?: string) =>
  new CartError("unavailable", "try again", { status: 503, headers: new Headers(header ? { "retry-after": header } : {}) });

test("delays double up to a bound, less up to a half", () => {
  const policy = policyOf({ attempts: 7 });
  const waits = (random: number) => [1, 2, 3, 4, 5, 6, 7].map((n) => backOff(unavailable(), n, policy, () => random));
  assert.deepEqual(waits(0), [200, 400, 800, 1600, 3200, 5000, undefined]);
  assert.deepEqual(waits(1), [100, 200, 400, 800, 1600, 2500, undefined]);
});

test("what the server asks for comes on top", () => {
  assert.equal(backOff(unavailable("2"), 1, policyOf(), () => 0), 2200);
  assert.equal(backOff(unavailable("31"), 1, policyOf(), () => 0), undefined);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  assert.equal(retryAfter("7", now), 7000);
  assert.equal(retryAfter("Sat, 21 Nov 2026 12:00:09 GMT", now), 9000);
  assert.equal(retryAfter("Sat, 21 Nov 2026 11:00:00 GMT", now), 0);
  for (const none of [null, "", "soon"]) assert.equal(retryAfter(none, now), undefined);
});

test("a policy that makes no sense is refused", () => {
  assert.throws(() => policyOf({ attempts: Number.NaN }), RangeError);
  assert.throws(() => policyOf({ baseDelay: -1 }), RangeError);
});
