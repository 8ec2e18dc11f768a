// Package load replays the invoices of an Online-Retail CSV through cartd's REST API: `cartd load`.
//
// The promise: when [Run] returns nil, every row of the file has either been refused for a stated reason
// and counted, or is in its cart on the server exactly once, and every cart was read back and holds the
// lines, units and total that the file's own rows add up to. Run may be killed at any time, and so may the
// server; run again with the same file it goes on, and nothing doubles. It is a plain HTTP client: nothing
// of the server is imported, so it measures and checks what any client would see.
//
// # The file
//
// Comma-separated with a header, plain or gzip (told by the name's ".gz" or by the content). The columns
// InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID and Country may come in
// any order; others are ignored. Each InvoiceNo is one cart in GBP, each row one AddItem. Rows are judged
// in this order, and the first that holds counts:
//
//	InvoiceNo begins with C or A                skipped: a credit note or an adjustment
//	Quantity is no integer                      refused: number
//	Quantity is not positive                    refused: quantity
//	UnitPrice is no decimal number              refused: number
//	UnitPrice is not positive                   refused: price
//	UnitPrice is not a whole number of pence    refused: subunit
//	Quantity or UnitPrice is beyond the limits  refused: range
//	InvoiceNo is no valid cart id               refused: invoice
//	StockCode is blank, too long or no word     refused: sku
//	Description is too long or not text         refused: text
//
// Dirt that shows only in the sum of a cart's rows (more than 1,000,000 of one line, say) is left to the server,
// whose refusal ends the load with the line and the reason.
//
// A file that is no CSV any more (a row with too few or too many fields, a stray quote, a row beyond 64 KiB)
// ends the load with the number of the line. A regular file is read through once before anything is sent,
// so such a file changes nothing on the server; a pipe cannot be, and is loaded up to the fault.
//
// # Why nothing doubles
//
// Each row is one request with an Idempotency-Key that depends on the file's content alone:
//
//	csv1-<row number>-<first 16 bytes, in hex, of the row's chain hash>
//	chain hash of row n = SHA-256(chain hash of row n-1, then the eight fields)
//
// where a field is its length in bytes as a uvarint and then its bytes, the fields come in the order of the
// columns above, and the hash of row 0 is 32 zero bytes. The same row of the same file has the same key at every start, compressed or not, whatever the order of
// the columns; and a file that has grown at its end goes on where the shorter one stopped. A changed row
// changes the keys of all rows after it: such a file is another load, and because its carts exist already
// the comparison at the end will say so. csv1 is the version of the request made from a row: it changes
// when that does, because a server refuses a known key with another body.
//
// # Order and memory
//
// Rows of one cart are sent one after the other in the file's order, also when other invoices come in
// between; different carts go in parallel. A cart belongs to one worker for the whole load, the one with
// the shortest queue when the cart first appears. What is read ahead is bounded by the queues ([queuedRows]
// in all); the comparison needs some 40 bytes for each line of a cart and 200 for each cart, and a file with
// more than [maxLines] lines or [maxCarts] carts is refused.
package load
