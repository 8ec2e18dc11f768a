/**
 * Client of cartd, a shopping-cart service.
 *
 *     const cart = new SessionCart();
 *     const { cart: now } = await cart.add({ sku: "85123A", quantity: 1 });
 *     console.log(now.totalPrice.incVat);
 */
export { CartClient } from "./client.js";
export { CartError } from "./errors.js";
export type { FollowOptions } from "./follow.js";
export type { RetryPolicy } from "./retry.js";
export type { components, operations, paths } from "./schema.js";
export { SessionCart } from "./session.js";
export { etagOf, type Options, type Token } from "./transport.js";
export type * from "./types.js";
