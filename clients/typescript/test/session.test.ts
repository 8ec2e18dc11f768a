import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CartClient, CartError, SessionCart } from "cartd-client";
import { browser, Cartd, Proxy, token } from "./server.js";

const cartd = new Cartd();
const proxy = new Proxy(() => cartd.url);
const retry = { baseDelay: 1, maxDelay: 4 };
let backend: CartClient;

before(async () => {
  await cartd.start();
  await proxy.start();
  backend = new CartClient({ baseUrl: cartd.url, token });
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await cartd[Symbol.asyncDispose]();
});

function page(fetch = browser()): SessionCart {
  proxy.faults = [];
  proxy.requests.length = 0;
  return new SessionCart({ baseUrl: proxy.url, fetch, retry });
}

const mug = { sku: "85123A", quantity: 1, country: "GB" };
const lantern = { sku: "71053", quantity: 2 };

test("a browser keeps its cart, and another has none", async () => {
  const fetch = browser();
  const cart = page(fetch);
  assert.equal(await cart.get(), null);
  const { cart: now } = await cart.add(mug);
  assert.equal(fetch.cookies.get("cartid"), now.id);
  assert.equal((await page(fetch).get())?.id, now.id); // after a reload
  assert.equal(await page().get(), null);
});

test("the first clicks of a page, all at once, meet in one cart", async () => {
  const cart = page();
  const carts = await Promise.all([cart.add(mug), cart.get(), cart.add(lantern), cart.add(mug)]);
  const now = await cart.get();
  assert.deepEqual(now?.items.map((i) => [i.sku, i.qty]).sort(), [["71053", 2], ["85123A", 2]]);
  assert.equal(new Set(carts.map((c) => (c && "cart" in c ? c.cart.id : now?.id))).size, 1);
  assert.deepEqual(proxy.requests.slice(0, 2).map((r) => r.method), ["GET", "POST"]); // one read that the others wait for
});

test("a first click whose answer is lost is one line", async () => {
  const cart = page();
  proxy.faults = ["drop answer", "pass", "drop answer", "cut answer"];
  const change = await cart.add(mug);
  assert.equal(change.replayed, true);
  assert.equal((await cart.get())?.items[0]?.qty, 1);
  assert.deepEqual((await backend.listEvents(change.cart.id)).events.map((e) => e.type), ["CartCreated", "AddItem"]);
});

test("a page whose first read fails tries again with the next click", async () => {
  const cart = page();
  proxy.faults = Array(6).fill("refuse");
  await assert.rejects(cart.add(mug), (err) => err instanceof CartError && err.code === "unreachable" && err.idempotencyKey === undefined);
  assert.equal((await cart.add(mug)).cart.items[0]?.qty, 1);
});

test("who waits for the first read can leave, and the others go on", async () => {
  const cart = page();
  const controller = new AbortController();
  const left = cart.add(mug, { signal: controller.signal });
  const stays = cart.add(lantern);
  controller.abort(new Error("changed my mind"));
  await assert.rejects(left, /changed my mind/);
  assert.deepEqual((await stays).cart.items.map((i) => i.sku), ["71053"]);
});

test("a shopper does all that a page has buttons for", async () => {
  const cart = page();
  let { cart: now } = await cart.addAll({ items: [mug, lantern, { sku: "no-such-thing", quantity: 1 }], country: "GB" });
  assert.deepEqual(now.items.map((i) => i.qty), [1, 2]);
  ({ cart: now } = await cart.setQuantity(1, 3));
  assert.equal(now.items[0]?.qty, 3);
  ({ cart: now } = await cart.setMarking(1, { type: 1, marking: "To Ada" }));
  assert.equal(now.items[0]?.marking?.text, "To Ada");
  await cart.removeMarking(1);
  ({ cart: now } = await cart.addDelivery({ provider: "postnord", items: [1, 2] }));
  await cart.setPickupPoint(now.deliveries[0]!.id, { id: "p-9", name: "Kiosk" });
  await cart.removeDelivery(now.deliveries[0]!.id);
  ({ cart: now } = await cart.addVoucher({ code: "WELCOME10", country: "GB" }));
  assert.equal(now.totalDiscount.incVat, Math.round((3 * 255 + 2 * 339) / 10));
  await cart.removeVoucher(now.vouchers[0]!.id);
  await cart.setUser("u-17");
  await cart.setSubscriptionDetails({ offeringCode: "monthly" });
  await cart.remove(2);
  ({ cart: now } = await cart.clear());
  assert.deepEqual([now.items, now.userId], [[], "u-17"]);
});

test("after the order the next click begins a new cart", async () => {
  const cart = page();
  const { cart: first } = await cart.add(mug);
  await cart.startCheckout({ orderId: "o-7" });
  await cart.abortCheckout();
  const { cart: frozen } = await cart.startCheckout({ expectedTotal: first.totalPrice.incVat });
  assert.notEqual(frozen.orderReference, "");
  await backend.createOrder(first.id, { orderId: frozen.orderReference, status: "paid" });
  assert.equal((await cart.get())?.status, "ordered");
  proxy.faults = ["drop answer"];
  const { cart: second } = await cart.add(lantern);
  assert.notEqual(second.id, first.id);
  assert.deepEqual((await cart.get())?.items.map((i) => i.sku), ["71053"]);
  await backend.deleteCart(second.id);
  assert.equal(await cart.get(), null);
});

test("two tabs hear of each other", async () => {
  const fetch = browser();
  const [here, there] = [page(fetch), page(fetch)];
  const seen = (await here.add(mug)).cart;
  await there.add(mug);
  await assert.rejects(here.setQuantity(1, 5, { ifMatch: seen }), (err) => err instanceof CartError && err.cart?.items[0]?.qty === 2);
  assert.equal(await here.get({ known: seen }).then((cart) => cart?.version), seen.version + 1);
});
