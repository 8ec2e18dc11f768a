import assert from "node:assert/strict";
import { test } from "node:test";
import { CartClient, SessionCart, type operations } from "cartd-client";

// Which method calls which operation of the contract. An operation that has none is missing here, and tsc says so.
const methods: Record<keyof operations, keyof CartClient | `session.${keyof SessionCart}` | null> = {
  getSessionCart: "session.get",
  addSessionItem: "session.add",
  changeSessionItem: "session.setQuantity",
  clearSessionCart: "session.clear",
  addSessionItems: "session.addAll",
  getSessionCartById: null, // as getCart
  removeSessionItem: "session.remove",
  addSessionVoucher: "session.addVoucher",
  removeSessionVoucher: "session.removeVoucher",
  addSessionDelivery: "session.addDelivery",
  removeSessionDelivery: "session.removeDelivery",
  setSessionPickupPoint: "session.setPickupPoint",
  setSessionUser: "session.setUser",
  setSessionMarking: "session.setMarking",
  removeSessionMarking: "session.removeMarking",
  setSessionSubscriptionDetails: "session.setSubscriptionDetails",
  startSessionCheckout: "session.startCheckout",
  abortSessionCheckout: "session.abortCheckout",
  createCart: "createCart",
  listCarts: "listCarts",
  getCart: "getCart",
  deleteCart: "deleteCart",
  setUser: "setUser",
  setSubscriptionDetails: "setSubscriptionDetails",
  mergeCart: "mergeCart",
  refreshCart: "refreshCart",
  listCartEvents: "listEvents",
  addItems: "addItems",
  replaceItems: "replaceItems",
  clearItems: "clearItems",
  changeItem: "changeItem",
  removeItem: "removeItem",
  addDelivery: "addDelivery",
  removeDelivery: "removeDelivery",
  setPickupPoint: "setPickupPoint",
  addVoucher: "addVoucher",
  removeVoucher: "removeVoucher",
  startCheckout: "startCheckout",
  abortCheckout: "abortCheckout",
  createOrder: "createOrder",
  applyMutations: "applyMutations",
  listBranches: "listBranches",
  forkBranch: "forkBranch",
  getBranch: "getBranch",
  deleteBranch: "deleteBranch",
  promoteBranch: "promoteBranch",
  listEvents: null, // this and what follows: for backends that keep in step, which are not what this client is for
  listSubscriptions: null,
  createSubscription: null,
  getSubscription: null,
  deleteSubscription: null,
  listSubscriptionEvents: null,
  ackSubscription: null,
  listDeadLetters: null,
  listOperations: null, // for operators
  getOperationStats: null,
  getContract: null,
  getDocs: null,
  getDocsFile: null,
};

test("every method calls an operation of the contract", () => {
  const called = new Set<string | null>(Object.values(methods));
  const own = (of: object) => Object.getOwnPropertyNames(of).filter((name) => name !== "constructor");
  const extra = ["addItem", "compareBranches", "events"]; // addItems with one, getBranch with another, listCartEvents as a stream
  assert.deepEqual(own(CartClient.prototype).filter((name) => !called.has(name)), extra);
  assert.deepEqual(own(SessionCart.prototype).filter((name) => !called.has(`session.${name}`)), []);
});
