import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { CartClient, CartError, type CartEvent } from "cartd-client";
import { Cartd } from "./server.js";

const cartd = new Cartd();
let client: CartClient;

before(async () => {
  await cartd.start();
  client = new CartClient({ baseUrl: cartd.url, retry: { attempts: 500, baseDelay: 10, maxDelay: 20 } });
});
after(() => cartd[Symbol.asyncDispose]());

/** read returns the versions up to last. */
async function read(events: AsyncIterable<CartEvent>, last: number): Promise<number[]> {
  const versions: number[] = [];
  for await (const { version } of events) {
    versions.push(version);
    if (version >= last) break;
  }
  return versions;
}

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

test("readers that come whenever hear each event once, also while the server is killed", async () => {
  const { id } = (await client.createCart({ country: "GB" })).cart;
  const last = 61; // the creation, and 60 clicks
  const readers = [read(client.events(id, { attempts: 500 }), last)];
  for (let n = 0; n < 60; n++) {
    await client.addItem(id, { sku: "85123A", quantity: 1 });
    if (n % 10 === 0) readers.push(read(client.events(id, { attempts: 500 }), last));
    if (n === 20 || n === 40) {
      await cartd.kill();
      await cartd.start();
    }
  }
  readers.push(read(client.events(id), last));
  for (const versions of await Promise.all(readers)) assert.deepEqual(versions, upTo(last));
  assert.deepEqual(await read(client.events(id, { after: 50 }), last), upTo(last, 51));
});

test("a page hears what another does to its cart, until that is deleted", async () => {
  const { cart } = await client.createCart({ country: "GB" });
  const types: string[] = [];
  const end = assert.rejects(
    async () => {
      for await (const event of client.events(cart.id, { after: cart.version })) {
        types.push(event.type);
        if (event.type === "AddItem") void client.clearItems(cart.id);
        if (event.type === "ClearCart") void client.deleteCart(cart.id);
      }
    },
    (err) => err instanceof CartError && err.code === "cart_deleted",
  );
  await client.addItem(cart.id, { sku: "85123A", quantity: 1 });
  await end;
  assert.deepEqual(types, ["AddItem", "ClearCart", "CartDeleted"]);
});

test("only what was asked for is told", async () => {
  const { id } = (await client.createCart({ country: "GB" })).cart;
  await client.addItem(id, { sku: "85123A", quantity: 1 });
  await client.setUser(id, { userId: "u-17" });
  await client.addItem(id, { sku: "85123A", quantity: 1 });
  assert.deepEqual(await read(client.events(id, { types: ["CartCreated", "SetUserId"] }), 3), [1, 3]);
});
