// Print writes the contract to standard output, indented: for linters and for makers of clients, who need no server then.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"

	"cartd/internal/api/openapi"
)

func main() {
	var out bytes.Buffer
	if err := json.Indent(&out, openapi.JSON(), "", "  "); err != nil {
		log.Fatal(err)
	}
	out.WriteByte('\n')
	if _, err := os.Stdout.Write(out.Bytes()); err != nil {
		log.Fatal(err)
	}
}
