import type { CartError } from "./errors.js";

/** How often a request is tried, and how far apart. */
export interface RetryPolicy {
  /** Tries in all. Default: 6. */
  attempts: number;
  /** Milliseconds before the second try; they double from try to try, and up to half of them are left off at random. Default: 200. */
  baseDelay: number;
  /** The longest they get. Default: 5,000. */
  maxDelay: number;
  /** A server that asks for more patience than this (Retry-After, in milliseconds) is not tried again. Default: 30,000. */
  maxRetryAfter: number;
}

/** policyOf returns the defaults with what is set. */
export function policyOf(set: Partial<RetryPolicy> = {}): RetryPolicy {
  const policy = { attempts: 6, baseDelay: 200, maxDelay: 5_000, maxRetryAfter: 30_000, ...set };
  for (const [name, value] of Object.entries(policy)) {
    if (!(value >= 0)) throw new RangeError(`retry.${name}: ${value} is no number from 0`);
  }
  return policy;
}

/** backOff returns the milliseconds to wait after try number attempt has failed; undefined if that was it. */
export function backOff(failure: CartError, attempt: number, policy: RetryPolicy, random = Math.random): number | undefined {
  if (attempt >= policy.attempts || !worthIt(failure)) return undefined;
  const asked = failure.retryAfter ?? 0;
  if (asked > policy.maxRetryAfter) return undefined;
  const full = Math.min(policy.maxDelay, policy.baseDelay * 2 ** (attempt - 1));
  const jittered = full * (1 - random() / 2); // many clients that failed at once do not come back at once
  return asked + jittered;
}

/**
 * worthIt reports whether another try may go better. A 502 of cartd is not: the catalogue is in trouble, and more requests
 * do not help it. One of a proxy is: cartd is being started.
 */
function worthIt(failure: CartError): boolean {
  switch (failure.status) {
    case 0:
    case 429:
    case 503:
    case 504:
      return true;
    case 502:
      return failure.code === "bad_answer";
  }
  return false;
}

/** delayed waits, or throws the signal's reason. */
export function delayed(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, ms);
    const end = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", end, { once: true });
  });
}
