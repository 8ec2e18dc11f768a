// Package catalog answers what a SKU costs, what a delivery costs, and what a voucher takes off. Everything that a shopper
// is charged comes from here or from the shop's own backend, never from the browser, so whatever
// a source says is checked before anyone sees it: a price that is missing, negative or absurd is
// no price.
//
// There are three kinds of source, told apart by their name:
//
//	source                                        what it is                       country
//	"" or "demo"                                  about 30 products, built in      ignored
//	shop/products.json                            a JSON array, read once at Open  ignored
//	https://shop/products/{sku}?country={country} asked for each product, cached   sent, in upper case
//
// Deliveries have the same three. Their entries may name the countries they go to, so there the
// country counts for every kind; and a URL without {provider} is one that answers the whole array.
//
// # Entries
//
// A file is a JSON array of entries, an HTTP answer is one entry; both have the same form.
// Fields that are not listed are ignored, so that a shop can serve the documents it has.
//
//	field                         JSON     required  limits
//	sku (provider)                string   yes       1 to 64 bytes, no control characters; unique
//	name                          string   products  512 bytes
//	price                         integer  yes       minor units, 0 to 100,000,000,000
//	tax                           integer  yes       hundredths of a per cent, 0 to 10,000: 2500 is 25 %
//	orgPrice                      integer            as price; 0: not known
//	priceExVat                    boolean            price and orgPrice are without VAT
//	stock                         integer            as price; negative: oversold; absent or null: not known
//	itemId                        integer            0 to 4,294,967,295; 0: none
//	currency                      string             three letters A to Z; empty: the cart's
//	image, disclaimer             string             2048 bytes
//	brand, category, type,
//	saleStatus, sellerId,
//	sellerName                    string             256 bytes
//	countries                     array              deliveries only: two letters each; absent: everywhere
//
// Vouchers have the same three kinds of source as well, with {code}, or a URL that answers the whole array:
//
//	field                         JSON     required  limits
//	code                          string   yes       1 to 64 bytes, no control characters; unique in upper case
//	kind                          string   yes       amount, percent or freeDelivery
//	value                         integer  yes       minor units, or hundredths of a per cent up to 10,000; none for freeDelivery
//	description                   string             256 bytes
//	currency                      string             three letters A to Z; empty: any
//	minTotal                      integer            minor units, of the goods with VAT
//	skus                          array              up to 500; absent: for all goods
//	validFrom, validTo            string             RFC 3339; from the one on, and no longer at the other
//	oncePerUser                   boolean
//	usageLimit                    integer            among all carts; 0: none
//
// A provider may stand in a list several times as long as no country, nor the absence of
// countries, is named twice: the entry for the country wins over the one for everywhere.
//
// # HTTP
//
// A look-up has a time limit, within which a connection error, a 5xx or a 429 is tried again a
// bounded number of times; a slow backend is not, because asking it twice makes it slower. No
// redirect is followed. A SKU is escaped for the place it stands in and can never become another
// path; {country} is empty for a cart without one, so it belongs in the query. 404 means that
// there is no such product; anything that is not a valid entry for exactly the SKU that was asked
// means [ErrUnavailable].
//
// Answers are kept for Options.TTL, a 404 for Options.UnknownTTL, both bounded in number. Callers
// who want the same thing share one request; it ends early only when all of them have left. While
// the backend fails, a known answer is served until Options.MaxStale after it was asked for, and not
// a moment longer: adding to carts survives a short outage of the catalogue, but nobody is sold
// anything at a price that is older than that. Who wants to know what is true now asks with [Anew].
//
// # Example
//
//	products, err := catalog.Open(ctx, "https://shop.example/products/{sku}?country={country}", catalog.Options{})
//	if err != nil {
//		return err
//	}
//	defer products.Close()
//	p, err := products.Product(ctx, "85123A", "GB")
//
// Everything here is safe for concurrent use.
package catalog
