// What the tests talk to: a real cartd, and a proxy before it that loses answers.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The backend token of every server here. */
export const token = "shop-token";

/** What a test has started ends with it, however it ends; and a file of tests that hangs is ended. */
export function ending(child: ChildProcess): void {
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  child.once("exit", () => process.off("exit", kill));
}
setTimeout(() => {
  console.error("these tests hang");
  process.exit(1);
}, 180_000).unref();

const binary = process.env.CARTD ?? new URL("../../../bin/cartd", import.meta.url).pathname;

export class Cartd {
  readonly data = mkdtempSync(join(tmpdir(), "cartd-client-"));
  url = "";
  #process: ChildProcess | undefined;

  /** start returns when the server serves; a second time on the same port. */
  async start(...args: string[]): Promise<this> {
    const listen = this.url ? new URL(this.url).host : "127.0.0.1:0";
    const child = spawn(
      binary,
      ["serve", `--listen=${listen}`, "--ops-listen=127.0.0.1:0", "--log-format=json", `--data=${this.data}`, ...args],
      { env: { PATH: process.env.PATH, CARTD_BACKEND_TOKEN: token }, stdio: ["ignore", "ignore", "pipe"] },
    );
    this.#process = child;
    ending(child);
    let log = "";
    await new Promise<void>((serving, failed) => {
      child.on("error", failed);
      child.on("exit", (code) => failed(new Error(`${binary} ended with ${code}:\n${log}`)));
      createInterface({ input: child.stderr! }).on("line", (line) => {
        log += line + "\n";
        const record = line.startsWith("{") ? JSON.parse(line) : {};
        if (record.msg !== "serving") return;
        this.url = record.api;
        serving();
      });
    });
    return this;
  }

  /** kill ends the process as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.data, { recursive: true });
  }
}

/** What becomes of a request: passed on, or lost on the way, or answered by the proxy itself; a function is called, and that is all. */
export type Fault = "pass" | "drop answer" | "cut answer" | "refuse" | Answered | (() => void);
export interface Answered {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

/** Proxy passes requests on to a server. The next ones meet the faults, in order; those after them pass. */
export class Proxy {
  faults: Fault[] = [];
  readonly requests: { method: string; path: string; headers: http.IncomingHttpHeaders }[] = [];
  url = "";
  readonly #server = http.createServer((req, res) => this.#handle(req, res));
  readonly #to: () => string;

  constructor(to: () => string) {
    this.#to = to;
  }

  async start(): Promise<this> {
    this.url = await listening(this.#server);
    return this;
  }

  #handle(req: http.IncomingMessage, res: http.ServerResponse): void {
    this.requests.push({ method: req.method!, path: req.url!, headers: req.headers });
    const fault = this.faults.shift() ?? "pass";
    if (typeof fault === "function") return fault();
    if (fault === "refuse") return void req.socket.destroy();
    if (typeof fault === "object") {
      res.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    const on = http.request(this.#to() + req.url, { method: req.method!, headers: req.headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        const body = Buffer.concat(chunks);
        if (fault === "drop answer") return void req.socket.destroy();
        res.writeHead(answer.statusCode!, answer.headers);
        if (fault === "cut answer") return void res.write(body.subarray(0, body.length >> 1), () => req.socket.destroy());
        res.end(body);
      });
    });
    on.on("error", () => req.socket.destroy());
    req.pipe(on);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function listening(server: http.Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}

/** browser returns a fetch that keeps cookies, as far as one server needs it. */
export function browser(): typeof fetch & { cookies: Map<string, string> } {
  const plain = globalThis.fetch;
  const cookies = new Map<string, string>();
  const fetching = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    if (init.credentials !== "include") return plain(input, init);
    const headers = new Headers(init.headers);
    if (cookies.size > 0) headers.set("cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    const resp = await plain(input, { ...init, headers });
    for (const cookie of resp.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!;
      cookies.set(name!, value!);
    }
    return resp;
  };
  return Object.assign(fetching, { cookies });
}
