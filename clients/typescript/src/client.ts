import { follow, type FollowOptions } from "./follow.js";
import { part, Transport, type Options, type Token } from "./transport.js";
import type { BodyOf, Branch, Cart, CartEvent, CartList, CallOptions, Change, ChangeOptions, Comparison, EventPage, QueryOf, ReadOptions } from "./types.js";

type InBranch = ChangeOptions & { branch?: string };

/**
 * CartClient changes and reads carts by their ids (/v1). Every change is sent under an Idempotency-Key and sent again until
 * it is settled: it is applied once. A call that fails throws a CartError.
 */
export class CartClient {
  readonly #http: Transport;

  /** A token is the backend's, or what a shopper is logged in with. */
  constructor(options: Options & { token?: Token } = {}) {
    this.#http = new Transport(options, options.token, "omit");
  }

  /**
   * createCart stores an empty cart. It has no Idempotency-Key: if an answer is lost, an empty cart is left behind, which
   * expires. With an id, which only the backend may choose, it fails with `cart_exists` then.
   */
  async createCart(cart: BodyOf<"createCart"> = {}, options: CallOptions = {}): Promise<Change> {
    const { headers, body } = await this.#http.send({ method: "POST", path: "/v1/carts", body: cart, ...options });
    return { cart: body.result, etag: headers.get("etag") ?? "", mutations: body.mutations, replayed: false };
  }

  async getCart(id: string, { signal, known, ...query }: ReadOptions & QueryOf<"getCart"> = {}): Promise<Cart> {
    return this.#http.read<Cart>(at(id), { ...(signal && { signal }), ...(known && { known }) }, query);
  }

  /** listCarts is for the backend. */
  listCarts({ signal, ...query }: CallOptions & QueryOf<"listCarts"> = {}): Promise<CartList> {
    return this.#http.read<CartList>("/v1/carts", { ...(signal && { signal }) }, query);
  }

  async deleteCart(id: string, options?: InBranch): Promise<void> {
    await this.#http.mutate("DELETE", at(id), undefined, options, inBranch(options));
  }

  addItem(id: string, item: BodyOf<"addSessionItem">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/items", item, options);
  }

  /** addItems adds what it can in one step; `mutations` says what became of each. It throws if none was added. */
  addItems(id: string, items: BodyOf<"addSessionItems">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/items", items, options);
  }

  replaceItems(id: string, items: BodyOf<"replaceItems">, options?: InBranch): Promise<Change> {
    return this.#change("PUT", id, "/items", items, options);
  }

  clearItems(id: string, options?: InBranch): Promise<Change> {
    return this.#change("DELETE", id, "/items", undefined, options);
  }

  changeItem(id: string, item: number, change: BodyOf<"changeItem">, options?: InBranch): Promise<Change> {
    return this.#change("PATCH", id, `/items/${part(item)}`, change, options);
  }

  removeItem(id: string, item: number, options?: InBranch): Promise<Change> {
    return this.#change("DELETE", id, `/items/${part(item)}`, undefined, options);
  }

  addDelivery(id: string, delivery: BodyOf<"addDelivery">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/deliveries", delivery, options);
  }

  setPickupPoint(id: string, delivery: number, point: BodyOf<"setPickupPoint">, options?: InBranch): Promise<Change> {
    return this.#change("PUT", id, `/deliveries/${part(delivery)}/pickup-point`, point, options);
  }

  removeDelivery(id: string, delivery: number, options?: InBranch): Promise<Change> {
    return this.#change("DELETE", id, `/deliveries/${part(delivery)}`, undefined, options);
  }

  addVoucher(id: string, voucher: BodyOf<"addVoucher">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/vouchers", voucher, options);
  }

  removeVoucher(id: string, voucher: number, options?: InBranch): Promise<Change> {
    return this.#change("DELETE", id, `/vouchers/${part(voucher)}`, undefined, options);
  }

  setUser(id: string, user: BodyOf<"setUser">, options?: InBranch): Promise<Change> {
    return this.#change("PUT", id, "/user", user, options);
  }

  setSubscriptionDetails(id: string, details: BodyOf<"setSubscriptionDetails">, options?: InBranch): Promise<Change> {
    return this.#change("PUT", id, "/subscription-details", details, options);
  }

  /** mergeCart takes over the lines of another cart, once; that one is `merged` then. */
  mergeCart(id: string, merge: BodyOf<"mergeCart">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/merge", merge, options);
  }

  /** refreshCart looks all prices up again; what has changed is in the cart's `warnings`. */
  refreshCart(id: string, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/refresh", undefined, options);
  }

  /** startCheckout freezes the cart while the shopper pays. */
  startCheckout(id: string, checkout: BodyOf<"startCheckout">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/checkout", checkout, options);
  }

  abortCheckout(id: string, options?: InBranch): Promise<Change> {
    return this.#change("DELETE", id, "/checkout", undefined, options);
  }

  /** createOrder is for the backend: the order of the checkout was created. */
  createOrder(id: string, order: BodyOf<"createOrder">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/order", order, options);
  }

  /** applyMutations is for the backend: all of them or none. */
  applyMutations(id: string, mutations: BodyOf<"applyMutations">, options?: InBranch): Promise<Change> {
    return this.#change("POST", id, "/mutations", mutations, options);
  }

  /** listBranches returns the open branches beside main. */
  async listBranches(id: string, options?: CallOptions): Promise<Branch[]> {
    return (await this.#http.read<{ branches: Branch[] }>(`${at(id)}/branches`, options)).branches;
  }

  /**
   * forkBranch makes a what-if cart of main, or of `options.branch`: as it is now, or as it was at `fromVersion`. Every
   * method that takes a `branch` works on it then. Names are taken for the cart's whole life.
   */
  async forkBranch(id: string, fork: BodyOf<"forkBranch">, options?: InBranch): Promise<Branch> {
    return (await this.#http.mutate("POST", `${at(id)}/branches`, fork, options, inBranch(options))).body;
  }

  async getBranch(id: string, name: string, options?: CallOptions): Promise<Branch> {
    return this.#http.read<Branch>(branchAt(id, name), options);
  }

  /** compareBranches returns what differs between a branch, `left`, and another, `right`. */
  async compareBranches(id: string, name: string, other: string, options?: CallOptions): Promise<Comparison> {
    return this.#http.read<Comparison>(branchAt(id, name), options, { compare: other } satisfies QueryOf<"getBranch">);
  }

  /** promoteBranch gives main what is in the branch. */
  async promoteBranch(id: string, name: string, options?: ChangeOptions): Promise<Change> {
    return this.#http.change("POST", `${branchAt(id, name)}/promote`, undefined, options);
  }

  async deleteBranch(id: string, name: string, options?: ChangeOptions): Promise<void> {
    await this.#http.mutate("DELETE", branchAt(id, name), undefined, options);
  }

  /** listEvents returns a page of the cart's history, oldest first; the next one is `after: page.next`. */
  async listEvents(id: string, { signal, ...query }: CallOptions & QueryOf<"listCartEvents"> = {}): Promise<EventPage> {
    return this.#http.read<EventPage>(`${at(id)}/events`, { ...(signal && { signal }) }, query);
  }

  /**
   * events yields the cart's history and then what happens to it, as long as it is read; it connects again by itself.
   *
   *     for await (const event of client.events(cart.id, { after: cart.version })) show(event);
   */
  events(id: string, options?: FollowOptions): AsyncGenerator<CartEvent> {
    return follow(this.#http, `${at(id)}/events`, options);
  }

  async #change(method: string, id: string, path: string, body: unknown, options?: InBranch): Promise<Change> {
    return this.#http.change(method, at(id) + path, body, options, inBranch(options));
  }
}

function at(id: string): string {
  return `/v1/carts/${part(id)}`;
}

function branchAt(id: string, name: string): string {
  return `${at(id)}/branches/${part(name)}`;
}

function inBranch(options: InBranch | undefined): { branch: string } | undefined {
  return options?.branch === undefined ? undefined : { branch: options.branch };
}
