import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { CartClient, CartError, type Cart } from "cartd-client";
import { Cartd, Proxy, token } from "./server.js";

const cartd = new Cartd();
const proxy = new Proxy(() => cartd.url);
const retry = { baseDelay: 1, maxDelay: 4 };
let client: CartClient; // through the proxy
let direct: CartClient;
let id: string;

before(async () => {
  await cartd.start();
  await proxy.start();
  client = new CartClient({ baseUrl: proxy.url, retry });
  direct = new CartClient({ baseUrl: cartd.url });
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await cartd[Symbol.asyncDispose]();
});
beforeEach(async () => {
  id = (await direct.createCart({ country: "GB" })).cart.id;
  proxy.faults = [];
  proxy.requests.length = 0;
});

const mug = { sku: "85123A", quantity: 1 };
const keys = () => proxy.requests.map((r) => r.headers["idempotency-key"]);

async function failure(call: Promise<unknown>): Promise<CartError> {
  const err = await call.then(
    () => assert.fail("the call went well"),
    (err: unknown) => err,
  );
  assert.ok(err instanceof CartError, String(err));
  return err;
}

test("a change whose answers are lost is applied once", async () => {
  proxy.faults = ["drop answer", "cut answer", "drop answer"];
  const change = await client.addItem(id, mug);
  assert.equal(change.replayed, true);
  assert.equal(change.etag, '"main-2"');
  const cart = await direct.getCart(id);
  assert.deepEqual(cart.items.map((i) => [i.sku, i.qty]), [["85123A", 1]]);
  assert.deepEqual((await direct.listEvents(id)).events.map((e) => e.type), ["CartCreated", "AddItem"]);
  assert.equal(proxy.requests.length, 4);
  assert.equal(new Set(keys()).size, 1);
});

test("each change has a key of its own", async () => {
  await client.addItem(id, mug);
  await client.addItem(id, mug);
  assert.equal((await direct.getCart(id)).items[0]?.qty, 2);
  assert.equal(new Set(keys()).size, 2);
});

test("what may go better is tried again under the same key, what may not is not", async () => {
  const problem = (status: number, code: string, headers = {}) => ({ status, headers, body: JSON.stringify({ code, status, title: code }) });
  proxy.faults = [
    "refuse",
    problem(503, "unavailable", { "retry-after": "0" }),
    problem(429, "rate_limited", { "retry-after": "0" }),
    problem(504, "outcome_unknown"),
    { status: 502, body: "<h1>Bad Gateway</h1>" }, // a proxy, while cartd is started
  ];
  await client.addItem(id, mug);
  assert.equal(proxy.requests.length, 6);
  assert.equal(new Set(keys()).size, 1);
  for (const [status, code] of [[500, "internal"], [502, "catalog_unavailable"], [404, "cart_not_found"], [409, "cart_frozen"]] as const) {
    proxy.faults = [problem(status, code)];
    proxy.requests.length = 0;
    const err = await failure(client.addItem(id, mug));
    assert.deepEqual([err.status, err.code, proxy.requests.length], [status, code, 1]);
  }
  proxy.faults = [{ status: 200, body: "<h1>Please log in to this network</h1>" }];
  assert.equal((await failure(client.addItem(id, mug))).code, "bad_answer");
});

test("tries are bounded, and the change can be tried later under its key", async () => {
  proxy.faults = Array(6).fill("drop answer");
  const err = await failure(client.addItem(id, mug));
  assert.deepEqual([err.code, err.status, proxy.requests.length], ["unreachable", 0, 6]);
  assert.ok(err.cause);
  const change = await client.addItem(id, mug, { idempotencyKey: err.idempotencyKey! });
  assert.equal(change.replayed, true);
  assert.equal(change.cart.items[0]?.qty, 1);
});

test("a server that asks for too much patience is not waited for", async () => {
  proxy.faults = [{ status: 429, headers: { "retry-after": "3600" }, body: '{"code":"rate_limited","title":"Too Many Requests"}' }];
  const err = await failure(client.addItem(id, mug));
  assert.deepEqual([err.code, err.retryAfter, proxy.requests.length], ["rate_limited", 3_600_000, 1]);
});

test("a try that takes too long is given up for another", async () => {
  proxy.faults = [() => {}];
  const hasty = new CartClient({ baseUrl: proxy.url, retry: { ...retry, attempts: 50 }, timeout: 250 });
  assert.equal((await hasty.addItem(id, mug)).cart.items[0]?.qty, 1);
});

test("an AbortSignal ends a call, also between two tries", async () => {
  const why = new Error("the page was left");
  await assert.rejects(client.getCart(id, { signal: AbortSignal.abort(why) }), why);
  const controller = new AbortController();
  const leave = () => void setImmediate(() => controller.abort(why));
  proxy.faults = [leave];
  await assert.rejects(client.addItem(id, mug, { signal: controller.signal }), why);

  const between = new AbortController();
  const patient = new CartClient({
    baseUrl: proxy.url,
    retry: { baseDelay: 3_600_000, maxDelay: 3_600_000 },
    fetch: (...args) =>
      fetch(...args).catch((err) => {
        setImmediate(() => between.abort(why));
        throw err;
      }),
  });
  proxy.faults = ["drop answer"];
  await assert.rejects(patient.addItem(id, mug, { signal: between.signal }), why);
});

test("a change for another version of the cart hands over the present one", async () => {
  const seen = (await client.addItem(id, mug)).cart;
  await direct.addItem(id, mug); // another tab
  const err = await failure(client.removeItem(id, 1, { ifMatch: seen }));
  assert.deepEqual([err.code, err.status, err.cart?.version, err.cart?.items[0]?.qty], ["version_conflict", 412, 3, 2]);
  const { cart } = await client.removeItem(id, 1, { ifMatch: err.cart! });
  assert.deepEqual(cart.items, []);
});

test("a change with a version that is lost on the way back is no conflict with itself", async () => {
  const { cart, etag } = await client.addItem(id, mug);
  assert.equal(etag, `"${cart.branch}-${cart.version}"`);
  proxy.faults = ["drop answer"];
  assert.equal((await client.changeItem(id, 1, { quantity: 5 }, { ifMatch: etag })).cart.items[0]?.qty, 5);
});

test("a read returns what is known when that is still it", async () => {
  const cart: Cart = await client.getCart(id);
  assert.equal(await client.getCart(id, { known: cart }), cart);
  await direct.addItem(id, mug);
  assert.equal((await client.getCart(id, { known: cart })).version, 2);
});

test("an error says what is wrong, and where to find it in the log", async () => {
  const err = await failure(client.addItem(id, { sku: "no-such-thing", quantity: 1 }));
  assert.deepEqual([err.code, err.status, err.errors[0]?.field], ["unknown_sku", 422, "sku"]);
  assert.equal(err.mutations[0]?.error?.code, "unknown_sku");
  assert.match(err.requestId, /^[A-Za-z0-9._-]+$/);
  assert.match(err.message, /no-such-thing/);
  const { mutations, cart } = await client.addItems(id, { items: [mug, { sku: "no-such-thing", quantity: 1 }] });
  assert.deepEqual(mutations.map((m) => m.error?.code), [undefined, "unknown_sku"]);
  assert.equal(cart.items.length, 1);
});

test("a cart goes all the way to its order", async () => {
  let fresh = token;
  const backend = new CartClient({ baseUrl: cartd.url, token: async () => fresh });
  await client.addItems(id, { items: [mug, { sku: "71053", quantity: 2 }], country: "GB" });
  await client.changeItem(id, 1, { quantity: 3, marking: { type: 1, text: "To Ada" } });
  await client.removeItem(id, 2);
  await client.replaceItems(id, { items: [mug] });
  let { cart } = await client.addDelivery(id, { provider: "postnord", items: [3] });
  assert.equal(cart.totalPrice.incVat, 255 + 490);
  ({ cart } = await client.setPickupPoint(id, 1, { id: "p-9", name: "Kiosk" }));
  assert.equal(cart.deliveries[0]?.pickupPoint?.name, "Kiosk");
  ({ cart } = await client.addVoucher(id, { code: "WELCOME10" }));
  await client.removeVoucher(id, cart.vouchers[0]!.id);
  await client.removeDelivery(id, 1);
  await client.setUser(id, { userId: "u-17" });
  await client.setSubscriptionDetails(id, { offeringCode: "monthly", data: { from: "2027-01" } });
  await client.refreshCart(id);
  const guest = (await client.createCart()).cart.id;
  await client.addItem(guest, { sku: "71053", quantity: 1 });
  ({ cart } = await client.mergeCart(id, { from: guest }));
  assert.equal(cart.items.length, 2);
  await client.startCheckout(id, { orderId: "o-1", expectedTotal: cart.totalPrice.incVat });
  assert.equal((await failure(client.clearItems(id))).code, "cart_frozen");
  await client.abortCheckout(id);
  await client.startCheckout(id, { orderId: "o-2" });
  ({ cart } = await backend.createOrder(id, { orderId: "o-2", status: "paid" }));
  assert.deepEqual([cart.status, cart.orderReference, cart.paymentStatus], ["ordered", "o-2", "paid"]);
  assert.ok((await backend.listCarts({ status: "ordered", userId: "u-17" })).carts.some((c) => c.id === id));
  const page = await client.listEvents(id, { after: 1, limit: 2, type: ["AddItem", "RemoveItem"] });
  assert.deepEqual(page.events.map((e) => e.version), [2, 3]);
  fresh = "a token of yesterday";
  assert.equal((await failure(backend.listCarts())).status, 401);
});

test("a backend gives ids and mutations", async () => {
  const backend = new CartClient({ baseUrl: proxy.url, token, retry });
  const cart = (await backend.createCart({ id: "order-of-tuesday", currency: "GBP" })).cart;
  assert.equal(cart.id, "order-of-tuesday");
  proxy.faults = ["drop answer"];
  const payload = { sku: "x", quantity: 2, price: 100, tax: 2500, name: "By hand" };
  const change = await backend.applyMutations(cart.id, { mutations: [{ type: "AddItem", payload }] });
  assert.deepEqual([change.replayed, change.cart.totalPrice.incVat], [true, 200]);
  assert.equal((await failure(client.createCart({ id: "mine" }))).status, 401);
});

test("a deletion whose answer is lost has happened", async () => {
  proxy.faults = ["drop answer"];
  await client.deleteCart(id);
  assert.equal((await failure(client.getCart(id))).code, "cart_deleted");
});

test("an id leads to no other path", async () => {
  for (const odd of ["a/b", "a?b", "a#b", "%2e%2e", "ä", " "]) {
    assert.ok([404, 422].includes((await failure(client.getCart(odd))).status), odd);
    assert.match(proxy.requests.at(-1)!.path, /^\/v1\/carts\/[^/?#]+$/);
  }
  for (const none of ["", ".", ".."]) {
    await assert.rejects(client.addItem(none, mug), RangeError);
    await assert.rejects(client.getCart(none), RangeError);
  }
});

test("clicks go on while the server is killed, and none is lost or doubled", async () => {
  const steady = new CartClient({ baseUrl: cartd.url, retry: { attempts: 500, baseDelay: 20, maxDelay: 20 } });
  const clicks = Promise.all(Array.from({ length: 4 }, async () => {
    for (let n = 0; n < 50; n++) await steady.addItem(id, mug);
  }));
  for (let n = 0; n < 2; n++) {
    await steady.addItem(id, mug);
    await cartd.kill();
    await cartd.start();
  }
  await clicks;
  assert.equal((await direct.getCart(id)).items[0]?.qty, 202);
});

test("a branch is forked, filled, compared, promoted and closed", async () => {
  proxy.faults = ["drop answer"];
  const gift = await client.forkBranch(id, { name: "gift" });
  assert.deepEqual(gift, { name: "gift", version: 1, forkedFrom: { branch: "main", version: 1 } });
  assert.equal(new Set(keys()).size, 1); // the same fork, sent twice
  await client.addItem(id, mug, { branch: "gift" });
  assert.equal((await client.getCart(id)).items.length, 0);
  assert.deepEqual(await client.listBranches(id), [await client.getBranch(id, "gift")]);
  const { items, totalPrice } = await client.compareBranches(id, "gift", "main");
  assert.deepEqual(items.map(({ sku, left, right }) => [sku, left?.qty, right]), [["85123A", 1, null]]);
  assert.ok(totalPrice.left.incVat > totalPrice.right.incVat);
  const { cart } = await client.promoteBranch(id, "gift", { ifMatch: '"gift-2"' });
  assert.deepEqual([cart.branch, cart.items[0]?.qty], ["main", 1]);
  await client.deleteBranch(id, "gift");
  assert.deepEqual(await client.listBranches(id), []);
  assert.equal((await failure(client.forkBranch(id, { name: "gift" }))).code, "branch_exists");
});
