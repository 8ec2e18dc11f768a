import { CartError } from "./errors.js";
import { part, Transport, type Options, type Token } from "./transport.js";
import type { BodyOf, Cart, Change, ChangeOptions, ReadOptions } from "./types.js";

/**
 * SessionCart is the cart of this browser (/cart), which its cookie names. The first change makes it; after an order the next
 * change begins a new one. Every change is sent under an Idempotency-Key and sent again until it is settled: it is applied
 * once. A call that fails throws a CartError.
 *
 * Outside of a browser `fetch` must be one that keeps cookies.
 */
export class SessionCart {
  readonly #http: Transport;
  #first: Promise<Cart | null> | undefined;

  /** A token is what the shopper is logged in with. */
  constructor(options: Options & { token?: Token } = {}) {
    this.#http = new Transport(options, options.token, "include");
  }

  /** get returns the cart, null if there is none (yet, or any more). */
  async get(options: ReadOptions = {}): Promise<Cart | null> {
    if (!this.#first) return this.#meet(options.signal);
    await this.#meet(options.signal);
    return this.#read(options);
  }

  add(item: BodyOf<"addSessionItem">, options?: ChangeOptions): Promise<Change> {
    return this.#change("POST", "/cart", item, options);
  }

  /** addAll adds what it can in one step; `mutations` says what became of each. It throws if none was added. */
  addAll(items: BodyOf<"addSessionItems">, options?: ChangeOptions): Promise<Change> {
    return this.#change("POST", "/cart/add", items, options);
  }

  /** setQuantity changes a line; 0 removes it. */
  setQuantity(item: number, quantity: number, options?: ChangeOptions): Promise<Change> {
    return this.#change("PUT", "/cart", { id: item, quantity } satisfies BodyOf<"changeSessionItem">, options);
  }

  remove(item: number, options?: ChangeOptions): Promise<Change> {
    return this.#change("DELETE", `/cart/${part(item)}`, undefined, options);
  }

  clear(options?: ChangeOptions): Promise<Change> {
    return this.#change("DELETE", "/cart", undefined, options);
  }

  setMarking(item: number, marking: BodyOf<"setSessionMarking">, options?: ChangeOptions): Promise<Change> {
    return this.#change("PUT", `/cart/item/${part(item)}/marking`, marking, options);
  }

  removeMarking(item: number, options?: ChangeOptions): Promise<Change> {
    return this.#change("DELETE", `/cart/item/${part(item)}/marking`, undefined, options);
  }

  addVoucher(voucher: BodyOf<"addSessionVoucher">, options?: ChangeOptions): Promise<Change> {
    return this.#change("PUT", "/cart/voucher", voucher, options);
  }

  removeVoucher(voucher: number, options?: ChangeOptions): Promise<Change> {
    return this.#change("DELETE", `/cart/voucher/${part(voucher)}`, undefined, options);
  }

  addDelivery(delivery: BodyOf<"addSessionDelivery">, options?: ChangeOptions): Promise<Change> {
    return this.#change("POST", "/cart/delivery", delivery, options);
  }

  setPickupPoint(delivery: number, point: BodyOf<"setSessionPickupPoint">, options?: ChangeOptions): Promise<Change> {
    return this.#change("PUT", `/cart/delivery/${part(delivery)}/pickupPoint`, point, options);
  }

  removeDelivery(delivery: number, options?: ChangeOptions): Promise<Change> {
    return this.#change("DELETE", `/cart/delivery/${part(delivery)}`, undefined, options);
  }

  setUser(userId: string, options?: ChangeOptions): Promise<Change> {
    return this.#change("PUT", "/cart/user", { userId } satisfies BodyOf<"setSessionUser">, options);
  }

  setSubscriptionDetails(details: BodyOf<"setSessionSubscriptionDetails">, options?: ChangeOptions): Promise<Change> {
    return this.#change("PUT", "/cart/subscription-details", details, options);
  }

  /** startCheckout freezes the cart while the shopper pays. `cart.orderReference` is the order's id. */
  startCheckout(checkout: BodyOf<"startSessionCheckout"> = {}, options?: ChangeOptions): Promise<Change> {
    return this.#change("POST", "/cart/checkout", checkout, options);
  }

  abortCheckout(options?: ChangeOptions): Promise<Change> {
    return this.#change("DELETE", "/cart/checkout", undefined, options);
  }

  async #change(method: string, path: string, body: unknown, options?: ChangeOptions): Promise<Change> {
    await this.#meet(options?.signal);
    return this.#http.change(method, path, body, options);
  }

  /**
   * meet lets a page's first requests wait for one read: its answer brings the cookie, if the browser has none yet. Without
   * one, two first adds at once would make two carts, and so would one whose answer is lost.
   */
  #meet(signal?: AbortSignal): Promise<Cart | null> {
    if (!this.#first) {
      this.#first = this.#read();
      this.#first.catch(() => (this.#first = undefined)); // the next request tries again
    }
    return unlessAborted(this.#first, signal);
  }

  async #read({ known, ...options }: ReadOptions = {}): Promise<Cart | null> {
    try {
      return await this.#http.read<Cart>("/cart", { ...options, ...(known && { known }) });
    } catch (err) {
      if (err instanceof CartError && (err.code === "cart_not_found" || err.status === 410)) return null;
      throw err;
    }
  }
}

/** unlessAborted stops waiting for what others may wait for too. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  signal.throwIfAborted();
  let end = () => {};
  const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", (end = () => reject(signal.reason)), { once: true }));
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}
