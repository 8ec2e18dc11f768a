// Package resolve makes what a cart's log holds of what a shopper asks for: AddItem, with price, tax and name as the
// catalogue has them at this moment, of an AddRequest. Replay then needs no catalogue.
//
//	add, err := resolve.AddItem(ctx, products, &messages.AddRequest{Sku: "85123A", Quantity: 6})
package resolve

import (
	"context"
	"strings"

	"cartd/internal/catalog"
	"cartd/pkg/messages"
)

// Catalog looks products up. Its errors wrap catalog.ErrUnknownSKU or catalog.ErrUnavailable.
type Catalog interface {
	Product(ctx context.Context, sku, country string) (catalog.Product, error)
}

// AddItem looks the product up and returns the mutation that adds it. It blocks as the catalogue does, and returns the
// catalogue's error. What is asked for is checked by the cart when the mutation is applied, and by the caller before.
func AddItem(ctx context.Context, products Catalog, req *messages.AddRequest) (*messages.AddItem, error) {
	country := strings.ToUpper(req.Country)
	p, err := products.Product(ctx, req.Sku, country)
	if err != nil {
		return nil, err
	}
	return &messages.AddItem{
		ItemId: p.ItemID, Sku: p.SKU, Quantity: req.Quantity,
		Price: p.Price, OrgPrice: p.OrgPrice, Tax: p.Tax, PriceExVat: p.PriceExVat, Currency: p.Currency,
		Name: p.Name, Image: p.Image, Stock: p.Stock, Brand: p.Brand, Category: p.Category, Type: p.Type,
		Disclaimer: p.Disclaimer, SaleStatus: p.SaleStatus, SellerId: p.SellerID, SellerName: p.SellerName,
		Country: country, StoreId: req.StoreId, ParentId: req.ParentId, Attributes: req.Attributes,
	}, nil
}
