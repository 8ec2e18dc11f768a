import { CartError } from "./errors.js";
import { backOff, delayed } from "./retry.js";
import { bytes, messages } from "./sse.js";
import { badAnswer, type Request, type Transport } from "./transport.js";
import type { CallOptions, CartEvent } from "./types.js";

export interface FollowOptions extends CallOptions {
  /** Begins behind this version. Default: 0, the whole history first. */
  after?: number;
  /** Only events of these types. */
  types?: string[];
  branch?: string;
  /** Connections that may fail one after the other. Default: 30, some two minutes. */
  attempts?: number;
  /** Milliseconds without a sign of life after which the connection is given up for a new one. Default: 45,000; cartd sends one every 15 s. */
  idle?: number;
}

/**
 * follow yields a cart's events, each once and in order, and goes on when new ones come. When the connection breaks it
 * connects again and goes on behind the last event. It throws when the server refuses, or when too many
 * connections fail one after the other without a sign of life.
 */
export async function* follow(transport: Transport, path: string, options: FollowOptions = {}): AsyncGenerator<CartEvent> {
  const { signal } = options;
  const policy = { ...transport.policy, attempts: options.attempts ?? 30 };
  let last = options.after ?? 0;
  let failures = 0;
  let pause = 0; // that the server wants between two connections
  for (;;) {
    signal?.throwIfAborted();
    const connection = new AbortController();
    const end = () => connection.abort(signal!.reason);
    signal?.addEventListener("abort", end, { once: true });
    const silence = () => connection.abort(new DOMException("nothing was heard for too long", "TimeoutError"));
    let timer = setTimeout(silence, options.idle ?? 45_000);
    const alive = () => {
      failures = 0;
      clearTimeout(timer);
      timer = setTimeout(silence, options.idle ?? 45_000);
    };
    let failure = new CartError("unreachable", `GET ${path}: the stream has ended`);
    try {
      const req: Request = {
        method: "GET",
        path,
        query: { after: last, type: options.types, branch: options.branch },
        headers: { Accept: "text/event-stream", "Last-Event-ID": String(last) },
      };
      const resp = await transport.open(req, connection.signal);
      if (!resp.headers.get("content-type")?.startsWith("text/event-stream") || !resp.body) throw badAnswer(req, resp);
      for await (const message of messages(bytes(resp.body), alive, (ms) => (pause = ms))) {
        const event: CartEvent = JSON.parse(message.data);
        if (!(event.version > last)) continue; // seen, or no event of a cart
        yield event;
        last = event.version; // whoever breaks off here has had it
      }
    } catch (err) {
      signal?.throwIfAborted();
      if (err instanceof CartError) failure = err;
      else failure = new CartError("unreachable", `GET ${path}: ${err instanceof Error ? err.message : err}`, { cause: err });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      connection.abort();
    }
    const wait = backOff(failure, ++failures, policy);
    if (wait === undefined) throw failure;
    await delayed(Math.max(wait, Math.min(pause, policy.maxRetryAfter)), signal);
  }
}
