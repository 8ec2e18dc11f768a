import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { chromium, Page } from "./chromium.js";
import { Cartd, ending } from "./server.js";

/** storefront runs the example's server before a cartd, on a port of its own. */
async function storefront(cartd: string) {
  const child = spawn(process.execPath, [new URL("../example/serve.mjs", import.meta.url).pathname], {
    env: { CARTD: cartd, SHOP: "http://127.0.0.1:0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  ending(child);
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`the example ended with ${code}`)));
  });
  return { url, stop: () => child.kill("SIGKILL") };
}

test("the example has all the files that its page wants, and the cart on its own origin", async () => {
  const cartd = await new Cartd().start();
  const shop = await storefront(cartd.url);
  try {
    const wanted = ["/"];
    const seen = new Set<string>();
    for (const path of wanted) {
      const resp = await fetch(shop.url + path);
      assert.equal(resp.status, 200, path);
      seen.add(path);
      for (const [, file] of (await resp.text()).matchAll(/(?:import|export) [^;]*?from "\.\/([^"]+)"/g)) {
        const next = new URL(file!, shop.url + path).pathname;
        if (!seen.has(next) && !wanted.includes(next)) wanted.push(next);
      }
    }
    assert.ok(wanted.includes("/client/session.js"), String(wanted));
    const cart = await fetch(`${shop.url}/cart`);
    assert.equal(cart.status, 404);
    assert.match(cart.headers.get("set-cookie") ?? "", /^cartid=/);
    for (const none of ["/../package.json", "/client/../../package.json", "/client/schema.js", "/v1/carts"]) {
      assert.equal((await fetch(shop.url + none)).status, 404, none);
    }
  } finally {
    shop.stop();
    await cartd[Symbol.asyncDispose]();
  }
});

const why = chromium ? false : "SKIPPED: the example was not tried in a browser: there is no chromium (apt-get install chromium)";
if (why) console.error(`*** ${why}`);

test("a shopper fills the cart in a real browser, and finds it again", { skip: why }, async () => {
  const cartd = await new Cartd().start();
  const shop = await storefront(cartd.url);
  const page = await Page.open();
  const total = (text: string) => page.until(`document.getElementById("total").textContent === ${JSON.stringify(text)}`);
  try {
    await page.go(shop.url);
    await total("nothing yet");
    await page.click('button[value="85123A"]');
    await total("£2.55");
    await page.click('button[value="71053"]');
    await total("£5.94");
    await page.click("#lines input"); // the first line's quantity
    await page.eval("document.activeElement.select()");
    await page.type("10");
    await page.click("h1"); // elsewhere, so that the field has changed
    await total("£28.89");
    await page.click("#voucher input");
    await page.type("WELCOME10");
    await page.click("#voucher button");
    await total("£26.00");
    await cartd.kill();
    await page.click('button[value="71053"]'); // while nobody is there
    await cartd.start();
    await total("£29.05");
    await page.go(shop.url);
    await total("£29.05");
    assert.deepEqual(await page.eval("[...document.querySelectorAll('#lines input')].map((e) => e.value)"), ["10", "2"]);
    assert.equal(await page.eval("document.cookie"), ""); // HttpOnly
  } finally {
    await page.close();
    shop.stop();
    await cartd[Symbol.asyncDispose]();
  }
});

test("a page of another origin that cartd was told of fills a cart, and one that it was not told of does not", { skip: why }, async () => {
  const shop = await storefront("http://127.0.0.1:1"); // only for the files
  const cartd = await new Cartd().start(`--cors-origin=${shop.url}`);
  const stranger = await new Cartd().start();
  const page = await Page.open();
  try {
    await page.go(shop.url);
    await page.until("document.readyState === 'complete'");
    const go = (url: string) => page.eval<unknown[]>(`(async () => {
      const { SessionCart } = await import("/client/index.js");
      const shop = new SessionCart({ baseUrl: "${url}", retry: { attempts: 1 } });
      try {
        const { cart, etag } = await shop.add({ sku: "85123A", quantity: 2, country: "GB" });
        const again = await shop.get({ known: cart });
        const error = await shop.add({ sku: "no-such-thing", quantity: 1 }).catch((err) => err);
        return [cart.items[0].qty, etag, again === cart, error.code, error.requestId !== ""];
      } catch (err) {
        return [err.code];
      }
    })()`);
    assert.deepEqual(await go(cartd.url), [2, '"main-2"', true, "unknown_sku", true]);
    assert.deepEqual(await go(stranger.url), ["unreachable"]);
  } finally {
    await page.close();
    shop.stop();
    for (const server of [cartd, stranger]) await server[Symbol.asyncDispose]();
  }
});
