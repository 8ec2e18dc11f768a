import type { Cart, FieldError, Outcome, Problem, ProblemCode } from "./types.js";

/**
 * A call that failed. `code` is the contract's, or
 * - `unreachable`: no answer, or one that broke off (`cause` has more);
 * - `bad_answer`: an answer that cartd did not give, from a proxy for instance.
 *
 * After `unreachable` and `outcome_unknown` nobody knows whether a change was applied: the same call with the same
 * `idempotencyKey` is always safe.
 */
export class CartError extends Error {
  override readonly name = "CartError";
  readonly code: ProblemCode | "unreachable" | "bad_answer";
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  /** Names the request in the server's log; empty without an answer. */
  readonly requestId: string;
  /** The present cart, with `version_conflict`. */
  readonly cart: Cart | undefined;
  /** Which part of the request is wrong, and how. */
  readonly errors: FieldError[];
  /** What became of each item, when none was added. */
  readonly mutations: Outcome[];
  /** Milliseconds after which the server thinks that another try is worth it; undefined if it did not say. */
  readonly retryAfter: number | undefined;
  /** The key under which the change was tried; undefined for reads. */
  readonly idempotencyKey: string | undefined;

  constructor(
    code: CartError["code"],
    message: string,
    rest: { status?: number; headers?: Headers; problem?: Problem; idempotencyKey?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: rest.cause });
    this.code = code;
    this.status = rest.status ?? 0;
    this.requestId = rest.headers?.get("x-request-id") ?? "";
    this.cart = rest.problem?.cart;
    this.errors = rest.problem?.errors ?? [];
    this.mutations = rest.problem?.mutations ?? [];
    this.retryAfter = retryAfter(rest.headers?.get("retry-after"));
    this.idempotencyKey = rest.idempotencyKey;
  }
}

/** retryAfter reads the header (RFC 9110, section 10.2.3): seconds or a date. */
export function retryAfter(value: string | null | undefined, now = Date.now()): number | undefined {
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
