// Package api is cartd's HTTP interface: it decodes and authorises a request, resolves what it names through the
// catalogue, asks the cart's grain once, and writes the answer. It decides nothing about carts.
//
// [New] returns the handler of the public port, [Operations] that of the operations port, which must not be reachable
// from the internet. Handlers return errors; [problemOf] alone turns an error into a status and a code, and nothing
// else of an error reaches a client.
package api
