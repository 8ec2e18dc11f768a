// Package messages holds the mutations of a cart as Go types, generated from proto/messages.proto: what a caller
// asks for and, once accepted, what the event log stores. The .pb.go files are never edited; `make generate`
// writes them anew.
//
// The log keeps a message as the JSON that encoding/json makes of it: camelCase names, as the fields are called
// in the .proto file, 64-bit integers as numbers, zero values left out. protojson must not be used for it: that
// writes 64-bit integers as strings, and its bytes are not stable.
//
//	json.Marshal(&messages.ChangeQuantity{Id: 3, Quantity: 2}) // {"id":3,"quantity":2}
//
// Beside them is [CartState], the state of a cart as a snapshot keeps it, generated from proto/snapshot.proto. It is
// stored in protobuf's own encoding, and is for internal/grain alone.
//
// A message must not be copied by value. It may be read by many goroutines at once while nobody writes it.
package messages
