import { CartError } from "./errors.js";
import { backOff, delayed, policyOf, type RetryPolicy } from "./retry.js";
import type { CallOptions, Cart, Change, ChangeOptions, Problem } from "./types.js";

export interface Options {
  /** Where cartd is: `https://carts.shop.example`. Empty: where the page is from. */
  baseUrl?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch;
  /** When and how often a request is tried again. */
  retry?: Partial<RetryPolicy>;
  /** Milliseconds that one try may take. Default: 15,000. */
  timeout?: number;
}

/** A bearer token, or what returns the present one: it is asked before every try. */
export type Token = string | (() => string | Promise<string>);

export interface Request extends CallOptions {
  method: string;
  path: string;
  query?: object;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: any;
}

/** Transport sends requests, and sends them again where that is safe and worth it. */
export class Transport {
  readonly policy: RetryPolicy;
  readonly #options: Options;
  readonly #token: Token | undefined;
  readonly #credentials: RequestCredentials;

  constructor(options: Options, token: Token | undefined, credentials: RequestCredentials) {
    this.#options = options;
    this.#token = token;
    this.#credentials = credentials;
    this.policy = policyOf(options.retry);
  }

  /** change sends a mutation under one key, however often it has to be sent. */
  async change(method: string, path: string, body: unknown, options: ChangeOptions = {}, query?: object): Promise<Change> {
    const { headers, body: answer } = await this.mutate(method, path, body, options, query);
    return {
      cart: answer.result,
      etag: headers.get("etag") ?? "",
      mutations: answer.mutations,
      replayed: headers.get("idempotent-replayed") === "true",
    };
  }

  mutate(method: string, path: string, body: unknown, options: ChangeOptions = {}, query?: object): Promise<Answer> {
    const headers: Record<string, string> = { "Idempotency-Key": options.idempotencyKey ?? newKey() };
    if (options.ifMatch !== undefined) headers["If-Match"] = etagOf(options.ifMatch);
    return this.send({ method, path, body, headers, ...(query && { query }), ...(options.signal && { signal: options.signal }) });
  }

  /** read returns what is at a path; known itself if that is still it. */
  async read<T>(path: string, options: CallOptions & { known?: T } = {}, query?: object): Promise<T> {
    const headers: Record<string, string> = {};
    if (options.known !== undefined) headers["If-None-Match"] = etagOf(options.known as Cart);
    const answer = await this.send({ method: "GET", path, headers, ...(query && { query }), ...(options.signal && { signal: options.signal }) });
    return answer.status === 304 ? options.known! : answer.body;
  }

  /** send returns the first answer that settles the request. Whoever calls it sees to it that the request may be repeated. */
  async send(req: Request): Promise<Answer> {
    const { signal } = req;
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      let failure: CartError;
      try {
        return await this.#once(req);
      } catch (err) {
        signal?.throwIfAborted();
        if (!(err instanceof CartError)) throw err;
        failure = err;
      }
      const wait = backOff(failure, attempt, this.policy);
      if (wait === undefined) throw failure;
      await delayed(wait, signal);
    }
  }

  /** once sends a request and reads the whole answer: one that breaks off is none. */
  async #once(req: Request): Promise<Answer> {
    const attempt = new AbortController();
    const end = () => attempt.abort(req.signal?.reason);
    const timer = setTimeout(() => attempt.abort(new DOMException("no answer in time", "TimeoutError")), this.#options.timeout ?? 15_000);
    req.signal?.addEventListener("abort", end, { once: true });
    try {
      const resp = await this.open(req, attempt.signal);
      let text;
      try {
        text = await resp.text();
      } catch (cause) {
        throw unreachable(req, cause);
      }
      return { status: resp.status, headers: resp.headers, body: text && parse(text, req, resp) };
    } finally {
      clearTimeout(timer);
      req.signal?.removeEventListener("abort", end);
    }
  }

  /** open sends a request once and returns the answer when it begins; an error answer is thrown. */
  async open(req: Request, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: "application/json", ...this.#options.headers, ...req.headers };
    const token = typeof this.#token === "function" ? await this.#token() : this.#token;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (req.body !== undefined) headers["Content-Type"] = "application/json";
    const send = this.#options.fetch ?? globalThis.fetch;
    let resp;
    try {
      resp = await send(urlOf(this.#options.baseUrl ?? "", req), {
        method: req.method,
        headers,
        signal,
        credentials: this.#credentials,
        cache: "no-store", // the ETags are handled here
        ...(req.body !== undefined && { body: JSON.stringify(req.body) }),
      });
    } catch (cause) {
      throw unreachable(req, cause);
    }
    if (resp.ok || resp.status === 304) return resp;
    let text = "";
    try {
      text = await resp.text();
    } catch (cause) {
      throw unreachable(req, cause);
    }
    throw problem(text, req, resp);
  }
}

/** etagOf returns the ETag of a cart. */
export function etagOf(cart: Cart | string): string {
  return typeof cart === "string" ? cart : `"${cart.branch}-${cart.version}"`;
}

/** part makes a path's part of an id, whatever is in it. */
export function part(id: string | number): string {
  const s = encodeURIComponent(id);
  if (s === "" || s === "." || s === "..") throw new RangeError(`no id: "${id}"`); // fetch would take it for another path
  return s;
}

/**
 * newKey names a change. It is no secret, it only has to be another one each time: so it may come from Math.random where
 * there is nothing better, in Node.js 18 and in pages that were loaded without TLS.
 */
function newKey(): string {
  if (typeof globalThis.crypto?.randomUUID === "function") return crypto.randomUUID();
  return Array.from({ length: 4 }, () => Math.floor(Math.random() * 2 ** 32).toString(16).padStart(8, "0")).join("");
}

function urlOf(base: string, req: Request): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(req.query ?? {})) {
    if (value !== undefined) query.set(name, String(value)); // an array becomes a list with commas
  }
  const search = query.toString();
  return base.replace(/\/+$/, "") + req.path + (search && "?" + search);
}

function unreachable(req: Request, cause: unknown): CartError {
  return new CartError("unreachable", `${req.method} ${req.path}: ${cause instanceof Error ? cause.message : cause}`, {
    cause,
    idempotencyKey: req.headers?.["Idempotency-Key"],
  });
}

function parse(text: string, req: Request, resp: Response): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badAnswer(req, resp, cause);
  }
}

function problem(text: string, req: Request, resp: Response): CartError {
  let found: Problem | undefined;
  try {
    found = JSON.parse(text);
  } catch {
    // not cartd's
  }
  if (typeof found?.code !== "string") return badAnswer(req, resp);
  return new CartError(found.code, found.detail || found.title, {
    status: resp.status,
    headers: resp.headers,
    problem: found,
    idempotencyKey: req.headers?.["Idempotency-Key"],
  });
}

export function badAnswer(req: Request, resp: Response, cause?: unknown): CartError {
  return new CartError("bad_answer", `${req.method} ${req.path}: status ${resp.status}, and nothing that cartd would say`, {
    status: resp.status,
    headers: resp.headers,
    idempotencyKey: req.headers?.["Idempotency-Key"],
    cause,
  });
}
