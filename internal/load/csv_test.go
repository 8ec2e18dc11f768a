package load

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

// readAll returns all rows of a file's text.
func readAll(r io.Reader) ([]row, error) {
	rd, err := newReader(r)
	if err != nil {
		return nil, err
	}
	var rows []row
	for {
		r, err := rd.next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
}

// writeFile writes a file of a new directory and returns its name.
func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestColumnsAreFoundByNameInAnyOrder(t *testing.T) {
	rows, err := readAll(strings.NewReader("\ufeffCountry,extra,UnitPrice,InvoiceNo,StockCode,CustomerID,Description,InvoiceDate,Quantity\r\n" +
		"France,x,2.55,536365,85123A,17850.0,\"a \"\"b\"\", c\",2010-12-01,6\r\n\r\n" +
		"France,y,1,536366,b,,,,7"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i].chain = [16]byte{}
	}
	want := []row{
		{line: 2, number: 1, invoice: "536365", stockCode: "85123A", description: `a "b", c`, quantity: "6", unitPrice: "2.55"},
		{line: 4, number: 2, invoice: "536366", stockCode: "b", quantity: "7", unitPrice: "1"},
	}
	if d := cmp.Diff(want, rows, cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows differ (-want +got):\n%s", d)
	}
}

func TestBrokenFileNamesTheLine(t *testing.T) {
	good := "1,a,n,1,d,1.00,c,GB\n"
	for name, tt := range map[string]struct{ in, want string }{
		"empty file":           {"", "line 1: no header, the file is empty"},
		"missing column":       {"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,CustomerID,Country\n", "line 1: no column UnitPrice"},
		"other case":           {strings.ToLower(header), "line 1: no column InvoiceNo"},
		"column twice":         {"Quantity," + header, "line 1: column Quantity is there twice"},
		"too few fields":       {header + good + "\n" + "1,a,n,1,d,1.00,c\n" + good, "line 4: wrong number of fields, the header has 8"},
		"too many fields":      {header + good + "1,a,n,1,d,1.00,c,GB,x\n", "line 3: wrong number of fields, the header has 8"},
		"quote within a field": {header + "1,a\"b,n,1,d,1.00,c,GB\n", `line 2, column 4: bare " in non-quoted-field`},
		"text after a quote":   {header + "1,\"a\"b,n,1,d,1.00,c,GB\n", `line 2, column 5: extraneous or missing " in quoted-field`},
		"open quote at the end": {header + good + "1,\"a,n,1,d,\n1.00,c,GB\n",
			`line 4 (of a row that begins at line 3), column 11: extraneous or missing " in quoted-field`},
		"open quote in a long file": {header + good + "1,\"a" + strings.Repeat("x\n", 1<<20), "after line 2: longer than 64 KiB: is a quote not closed?"},
		"long line":                 {header + good + good + strings.Repeat("x", 1<<20), "after line 3: longer than 64 KiB: is a quote not closed?"},
		"long header":               {strings.Repeat("x", 1<<20), "after line 1: longer than 64 KiB: is a quote not closed?"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(strings.NewReader(tt.in))
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRecordIsReadUpToItsLimitWhereverItStands(t *testing.T) {
	record := func(size int) string {
		const rest = "1,a,,1,d,1.00,c,GB\n"
		return "1,a," + strings.Repeat("x", size-len(rest)) + ",1,d,1.00,c,GB\n"
	}
	for _, before := range []int{20, 4095, 4096, 16383, 16384, 40000} {
		if _, err := readAll(strings.NewReader(header + record(before) + record(maxRecordBytes))); err != nil {
			t.Errorf("record of %d bytes after one of %d: %v, want it read", maxRecordBytes, before, err)
		}
		if _, err := readAll(strings.NewReader(header + record(before) + record(maxRecordBytes+1))); !errors.Is(err, errRecordTooLong) {
			t.Errorf("record of %d bytes after one of %d: %v, want %v", maxRecordBytes+1, before, err, errRecordTooLong)
		}
	}
}

func TestGzipIsToldByContentAndName(t *testing.T) {
	text := []byte(header + "1,a,n,1,d,1.00,c,GB\n")
	half := zipped(t, text)
	half = half[:len(half)/2]
	damaged := zipped(t, text)
	damaged[len(damaged)-5] ^= 1 // in the size that the trailer states, or the checksum
	for _, tt := range []struct {
		name    string
		content []byte
		want    string // part of the error, empty for none
	}{
		{"plain.csv", text, ""},
		{"packed.csv.gz", zipped(t, text), ""},
		{"packed.csv", zipped(t, text), ""},
		{"plain.csv.gz", text, "is no gzip file"},
		{"empty.gz", nil, "is no gzip file"},
		{"empty.csv", nil, "the file is empty"},
		{"half.csv.gz", half, "unexpected EOF"},
		{"damaged.csv.gz", damaged, "gzip: invalid checksum"},
	} {
		src, err := openSource(writeFile(t, tt.name, tt.content))
		if err != nil {
			t.Fatal(err)
		}
		n, err := src.check(t.Context())
		if tt.want == "" && (err != nil || n != 1) {
			t.Errorf("%s: %d rows, error %v; want 1, none", tt.name, n, err)
		}
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
		if err := src.file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// keys returns the key of each row.
func keys(rows []row) []string {
	var k []string
	for _, r := range rows {
		k = append(k, r.key())
	}
	return k
}

// TestKeysAreThoseOfEarlierVersions fails when the derivation changes: a load begun with an older cartd would
// then double its rows. Such a change needs a new prefix, and says so in the change log.
func TestKeysAreThoseOfEarlierVersions(t *testing.T) {
	rows, err := readAll(strings.NewReader(header +
		"536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n" +
		"536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"csv1-1-c2156b5c510e3481b1ae78e7b7b149d8", "csv1-2-c0f77e294ab977e93e6fd1f926f5d585"}
	if d := cmp.Diff(want, keys(rows)); d != "" {
		t.Errorf("keys differ (-want +got):\n%s", d)
	}
}

func TestKeysDependOnTheRowsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9 .,"é-]{0,12}`), rapid.Just("same"))
		records := rapid.SliceOfN(rapid.SliceOfN(field, 8, 8), 1, 20).Draw(t, "records")
		write := func(records [][]string, order []int) []row {
			var b bytes.Buffer
			w := csv.NewWriter(&b)
			for _, r := range append([][]string{columns[:]}, records...) {
				out := make([]string, len(order))
				for i, from := range order {
					out[i] = r[from]
				}
				if err := w.Write(out); err != nil {
					t.Fatal(err)
				}
			}
			w.Flush()
			rows, err := readAll(&b)
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		inOrder := []int{0, 1, 2, 3, 4, 5, 6, 7}
		all := keys(write(records, inOrder))
		sorted := slices.Sorted(slices.Values(all))
		if n := len(slices.Compact(sorted)); n != len(all) {
			t.Fatalf("%d keys for %d rows, want one each", n, len(all))
		}
		if got := keys(write(records, rapid.Permutation(inOrder).Draw(t, "order"))); !slices.Equal(got, all) {
			t.Fatalf("keys change with the order of the columns: got %v, want %v", got, all)
		}
		n := rapid.IntRange(0, len(records)).Draw(t, "cut")
		if got := keys(write(records[:n], inOrder)); !slices.Equal(got, all[:n]) {
			t.Fatalf("keys of the first %d rows are %v in a shorter file, want %v", n, got, all[:n])
		}
		changed := slices.Clone(records)
		at := rapid.IntRange(0, len(records)-1).Draw(t, "changed")
		changed[at] = slices.Clone(records[at])
		changed[at][rapid.IntRange(0, 7).Draw(t, "field")] += "x"
		got := keys(write(changed, inOrder))
		if !slices.Equal(got[:at], all[:at]) {
			t.Fatalf("a change of row %d changed a key before it", at+1)
		}
		for i := at; i < len(all); i++ {
			if got[i] == all[i] {
				t.Fatalf("key of row %d is the same after a change of row %d", i+1, at+1)
			}
		}
	})
}

// FuzzReaderReadsWhatEncodingCSVReads compares with encoding/csv without bounds.
func FuzzReaderReadsWhatEncodingCSVReads(f *testing.F) {
	dirty, err := os.ReadFile("testdata/dirty.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(dirty)
	f.Add([]byte(header))
	f.Add([]byte(header + "1,\"a\n\nb\",n,1,d,1.00,c,GB\r\n\r\n2,\""))
	f.Add([]byte("Country,UnitPrice,InvoiceNo,StockCode,CustomerID,Description,InvoiceDate,Quantity\na,b,c,d,e,f,g,h"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := readAll(bytes.NewReader(data))
		for _, r := range rows {
			if it, kind := classify(r); kind == kindAccepted && (!cartID.MatchString(it.cart) || it.sku == "" ||
				it.quantity < 1 || it.quantity > maxQuantity || it.price < 1 || it.price > maxPence) {
				t.Errorf("row %+v was accepted as %+v", r, it)
			}
			if k := r.key(); len(k) > 255 {
				t.Errorf("key has %d characters, want at most 255", len(k))
			}
		}
		if len(data) > maxRecordBytes {
			return
		}
		plain, plainErr := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if plainErr != nil && err == nil {
			t.Fatalf("read without error, encoding/csv says %v", plainErr)
		}
		if err != nil {
			return
		}
		if len(rows) != len(plain)-1 {
			t.Fatalf("%d rows, want %d", len(rows), len(plain)-1)
		}
		plain[0][0] = strings.TrimPrefix(plain[0][0], "\ufeff")
		for i, r := range rows {
			for name, got := range map[string]string{"InvoiceNo": r.invoice, "StockCode": r.stockCode,
				"Description": r.description, "Quantity": r.quantity, "UnitPrice": r.unitPrice} {
				if want := plain[i+1][slices.Index(plain[0], name)]; got != want {
					t.Errorf("row %d: %s is %q, want %q", i+1, name, got, want)
				}
			}
		}
	})
}
