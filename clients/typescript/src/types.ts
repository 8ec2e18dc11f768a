import type { components, operations } from "./schema.js";

type Schemas = components["schemas"];

// The names are those of the contract, /openapi.json.
export type Cart = Schemas["Cart"];
export type Item = Schemas["Item"];
export type Price = Schemas["Price"];
export type Delivery = Schemas["Delivery"];
export type PickupPoint = Schemas["PickupPoint"];
export type Voucher = Schemas["Voucher"];
export type Warning = Schemas["Warning"];
export type Outcome = Schemas["Outcome"];
export type FieldError = Schemas["FieldError"];
export type Problem = Schemas["Problem"];
export type ProblemCode = Schemas["ProblemCode"];
export type Branch = Schemas["Branch"];
/** What differs between two branches. */
export type Comparison = Schemas["Comparison"];
/** One step of a cart's history. */
export type CartEvent = Schemas["Event"];
export type EventPage = Schemas["EventPage"];
export type CartList = Schemas["CartList"];

/** The JSON body that an operation of the contract takes. */
export type BodyOf<Op extends keyof operations> = NonNullable<operations[Op]["requestBody"]> extends {
  content: { "application/json": infer Body };
}
  ? Body
  : never;

/** The query parameters that an operation of the contract takes. */
export type QueryOf<Op extends keyof operations> = NonNullable<operations[Op]["parameters"]["query"]>;

/** What a change that was applied answers. */
export interface Change {
  /** The cart after the change, or as it is now when the change had been applied before. */
  cart: Cart;
  /** Branch and version of the cart, for `ifMatch`. */
  etag: string;
  /** What became of each part of the request: several items, each with its own outcome. */
  mutations: Outcome[];
  /** The server had applied this very change before, and did not apply it again. */
  replayed: boolean;
}

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, also between two tries; the call then throws the signal's reason. */
  signal?: AbortSignal;
}

/** What every read takes. */
export interface ReadOptions<Known = Cart> extends CallOptions {
  /** An earlier answer: it is returned itself if the cart has not changed since. */
  known?: Known;
}

/** What every change takes. */
export interface ChangeOptions extends CallOptions {
  /**
   * The change is only meant for this version of the cart: the cart that the shopper saw, or an ETag. If it has moved on,
   * a CartError with status 412 has the present cart. Without it the change takes its turn, and no other is lost.
   */
  ifMatch?: Cart | string;
  /**
   * Names the change, so that it is applied once however often it is sent. Each call makes a name of its own; pass the one
   * of a CartError to try the same change again.
   */
  idempotencyKey?: string;
}
