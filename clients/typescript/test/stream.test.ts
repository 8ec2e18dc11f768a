import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { CartClient, CartError, type CartEvent } from "cartd-client";
import { messages, type Message } from "../dist/sse.js";
import { listening } from "./server.js";

async function read(...chunks: Uint8Array[]): Promise<Message[]> {
  const all: Message[] = [];
  for await (const message of messages((async function* () { yield* chunks; })())) all.push(message);
  return all;
}

const encode = (text: string) => new TextEncoder().encode(text);

// Messages as the HTML standard has them, section 9.2.6, and as they come in odd ways.
const streams: [name: string, text: string, want: [id: string, event: string, data: string][]][] = [
  ["nothing", "", []],
  ["a message", 'id: 1\nevent: AddItem\ndata: {"sku":"x"}\n\n', [["1", "AddItem", '{"sku":"x"}']]],
  ["carriage returns", "id:1\rdata:a\r\rid:2\rdata:b\r\r", [["1", "message", "a"], ["2", "message", "b"]]],
  ["both", "id: 1\r\nevent: x\r\ndata: a\r\ndata: b\r\n\r\nid: 2\r\ndata: c\r\n\r\n", [["1", "x", "a\nb"], ["2", "message", "c"]]],
  ["all three mixed", "data: a\r\n\ndata: b\r\rdata: c\n\r\n", [["", "message", "a"], ["", "message", "b"], ["", "message", "c"]]],
  ["several lines", "data: a\ndata\ndata:  b\n\n", [["", "message", "a\n\n b"]]],
  ["comments and unknown fields", ": hello\nfoo: bar\nretry: soon\ndata: a\n\n", [["", "message", "a"]]],
  ["no data, no message; the id stays", "id: 7\nevent: x\n\ndata: a\n\n", [["7", "message", "a"]]],
  ["an id with a NUL is none", "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [["1", "message", "a"], ["1", "message", "b"]]],
  ["empty data", "data\n\n", [["", "message", ""]]],
  ["a mark at the start", "\ufeffdata: a\n\n", [["", "message", "a"]]],
  ["letters of several bytes", "data: Grüße, 買い物 🛒\n\n", [["", "message", "Grüße, 買い物 🛒"]]],
  ["cut off at the end", "data: a\n\ndata: b\n", [["", "message", "a"]]],
];

for (const [name, text, want] of streams) {
  test(`event stream, cut at every byte: ${name}`, async () => {
    const bytes = encode(text);
    const found = (all: Message[]) => all.map((m) => [m.id, m.event, m.data]);
    for (let cut = 0; cut <= bytes.length; cut++) {
      assert.deepEqual(found(await read(bytes.slice(0, cut), bytes.slice(cut))), want, `cut at ${cut}`);
    }
    assert.deepEqual(found(await read(...Array.from(bytes, (_, i) => bytes.slice(i, i + 1)))), want);
  });
}

test("a stream that never ends a line or a message is given up", async () => {
  const kilobytes = (start: string, line: string) => (async function* () {
    yield encode(start);
    for (const chunk = encode(line.repeat(1024)); ; ) yield chunk;
  })();
  await assert.rejects(messages(kilobytes("data: ", "x".repeat(1024))).next(), /too long/);
  await assert.rejects(messages(kilobytes("", `data: ${"x".repeat(1017)}\n`)).next(), /too long/);
});

// events as cartd sends them, numbered from 1.
const event = (version: number) => ({ version, type: "AddItem", payload: {} }) as unknown as CartEvent;
const frame = (version: number) => `id: ${version}\nevent: AddItem\ndata: ${JSON.stringify(event(version))}\n\n`;

/** served answers the connections of a stream, one after the other, with what each function does. */
async function served(...connections: ((req: http.IncomingMessage, res: http.ServerResponse) => void)[]) {
  const asked: { after: string | null; last: string | undefined; type: string | null }[] = [];
  const server = http.createServer((req, res) => {
    const query = new URL(req.url!, "http://x").searchParams;
    asked.push({ after: query.get("after"), last: req.headers["last-event-id"] as string | undefined, type: query.get("type") });
    connections[Math.min(asked.length, connections.length) - 1]!(req, res);
  });
  const url = await listening(server);
  return {
    asked,
    client: new CartClient({ baseUrl: url, retry: { baseDelay: 1, maxDelay: 2 } }),
    [Symbol.asyncDispose]: () => (server.closeAllConnections(), new Promise<void>((done) => server.close(() => done()))),
  };
}

const open = (res: http.ServerResponse) => res.writeHead(200, { "content-type": "text/event-stream" });

async function take(events: AsyncIterable<CartEvent>, last: number): Promise<number[]> {
  const versions = [];
  for await (const { version } of events) {
    versions.push(version);
    if (version === last) break;
  }
  return versions;
}

test("events come once and in order over connections that break", async () => {
  const at = await served(
    (_, res) => open(res).end(frame(1) + frame(2)), // ends as at a shutdown
    (req) => req.socket.destroy(),
    (_, res) => res.writeHead(503, { "retry-after": "0" }).end('{"code":"unavailable","title":"x"}'),
    (req, res) => open(res).write(frame(3) + frame(4).slice(0, -20), () => req.socket.destroy()), // in the middle of a message
    (_, res) => open(res).write("retry: 1\n: still here\n\nevent: hello\ndata: {}\n\n" + frame(3) + frame(4) + frame(5)), // 3 has been seen
  );
  assert.deepEqual(await take(at.client.events("c", { types: ["AddItem", "RemoveItem"] }), 5), [1, 2, 3, 4, 5]);
  assert.deepEqual(at.asked.map((a) => a.last), ["0", "2", "2", "2", "3"]);
  assert.deepEqual([at.asked[0]!.after, at.asked[4]!.after, at.asked[0]!.type], ["0", "3", "AddItem,RemoveItem"]);
  await at[Symbol.asyncDispose]();
});

test("whoever stops reading leaves no connection", async () => {
  let closed: () => void;
  const gone = new Promise<void>((resolve) => (closed = resolve));
  const at = await served((req, res) => (req.on("close", closed), open(res).write(frame(8))));
  assert.deepEqual(await take(at.client.events("c", { after: 7 }), 8), [8]);
  await gone;
  await at[Symbol.asyncDispose]();
});

test("an AbortSignal ends a stream that is silent", async () => {
  const at = await served((_, res) => open(res).write(frame(1)));
  const controller = new AbortController();
  await assert.rejects(async () => {
    for await (const _ of at.client.events("c", { signal: controller.signal })) setImmediate(() => controller.abort(new Error("left")));
  }, /left/);
  await at[Symbol.asyncDispose]();
});

test("a connection without a sign of life is replaced", async () => {
  const at = await served((_, res) => open(res).write(": hello\n\n"), (_, res) => open(res).write(frame(1)));
  assert.deepEqual(await take(at.client.events("c", { idle: 50 }), 1), [1]);
  assert.equal(at.asked.length, 2);
  await at[Symbol.asyncDispose]();
});

test("a refusal ends the stream, and so does a server that has none", async () => {
  const gone = await served((_, res) => res.writeHead(410).end('{"code":"cart_deleted","title":"Gone"}'));
  await assert.rejects(take(gone.client.events("c"), 1), (err) => err instanceof CartError && err.code === "cart_deleted");
  const pages = await served((_, res) => res.writeHead(200, { "content-type": "application/json" }).end("{}"));
  await assert.rejects(take(pages.client.events("c"), 1), (err) => err instanceof CartError && err.code === "bad_answer");
  assert.deepEqual([gone.asked.length, pages.asked.length], [1, 1]);
  for (const at of [gone, pages]) await at[Symbol.asyncDispose]();
});

test("connections that fail are bounded", async () => {
  const at = await served((req) => req.socket.destroy());
  await assert.rejects(take(at.client.events("c", { attempts: 4 }), 1), (err) => err instanceof CartError && err.code === "unreachable");
  assert.equal(at.asked.length, 4);
  await at[Symbol.asyncDispose]();
});
