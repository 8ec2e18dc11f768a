// A browser for tests, spoken to in the DevTools protocol over a pipe: no port, and no package.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { ending } from "./server.js";

/** chromium is the path of a browser, undefined if there is none. */
export const chromium = (process.env.PATH ?? "")
  .split(delimiter)
  .flatMap((dir) => ["chromium", "chromium-browser", "google-chrome"].map((name) => join(dir, name)))
  .find(existsSync);

export class Page {
  readonly #profile = mkdtempSync(join(tmpdir(), "cartd-browser-"));
  readonly #browser: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: any) => void; reject: (err: Error) => void }>();
  #session: string | undefined;
  #calls = 0;

  private constructor() {
    const args = ["--headless=new", "--remote-debugging-pipe", `--user-data-dir=${this.#profile}`, "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"];
    if (process.getuid?.() === 0) args.push("--no-sandbox"); // it refuses root otherwise
    this.#browser = spawn(chromium!, args, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    ending(this.#browser);
    this.#browser.on("exit", (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the browser ended with ${code}`));
    });
    let rest = "";
    (this.#browser.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => {
      const all = (rest + text).split("\0");
      rest = all.pop()!;
      for (const { id, result, error } of all.map((s) => JSON.parse(s))) {
        if (error) this.#waiting.get(id)?.reject(new Error(error.message));
        else this.#waiting.get(id)?.resolve(result);
        this.#waiting.delete(id);
      }
    });
  }

  /** open returns an empty page of a browser with a new profile. */
  static async open(): Promise<Page> {
    const page = new Page();
    const { targetId } = await page.#call("Target.createTarget", { url: "about:blank" });
    page.#session = (await page.#call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    return page;
  }

  async go(url: string): Promise<void> {
    const { errorText } = await this.#call("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
  }

  /** eval returns the value of an expression in the page. */
  async eval<T = unknown>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** until waits for an expression to be true in the page. */
  async until(expression: string): Promise<void> {
    const end = Date.now() + 30_000;
    while (!(await this.eval<boolean>(`Boolean(${expression})`).catch(() => false))) { // the page may just be changing
      if (Date.now() > end) throw new Error(`never: ${expression}\n${await this.eval("document.body.innerText")}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** click presses the mouse where the element is, once it is there. */
  async click(selector: string): Promise<void> {
    const element = `document.querySelector(${JSON.stringify(selector)})`;
    await this.until(element);
    const [x, y] = await this.eval<[number, number]>(
      `(() => { const e = ${element}; e.scrollIntoView({ block: "center" }); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()`,
    );
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.#call("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  /** type puts text into what has the focus. */
  async type(text: string): Promise<void> {
    await this.#call("Input.insertText", { text });
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#browser.once("exit", resolve));
    this.#session = undefined;
    this.#call("Browser.close", {}).catch(() => {}); // its children end with it
    await ended;
    await rm(this.#profile, { recursive: true, maxRetries: 20 });
  }

  #call(method: string, params: object): Promise<any> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      (this.#browser.stdio[3] as Writable).write(JSON.stringify({ id, method, params, sessionId: this.#session }) + "\0");
    });
  }
}
