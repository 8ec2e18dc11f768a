package filelog

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"strings"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// goldenEvents are what testdata/v1.events.log holds.
func goldenEvents(id eventlog.StreamID) []eventlog.Event {
	at := time.Date(2026, 11, 21, 2, 26, 22, 123e6, time.UTC)
	return []eventlog.Event{
		{Stream: id, Version: 1, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000001"), Epoch: 1, Time: at,
			Type: "CartCreated", Payload: []byte(`{"currency":"GBP","country":"GB"}`)},
		{Stream: id, Version: 2, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000002"), Key: `order-"7"`,
			Request: 0x00ab54a98ceb1f0a, More: true, Epoch: 1, Time: at.Add(time.Millisecond), Type: "AddItem",
			Payload: []byte(`{"sku":"85123A","quantity":6,"price":255,"tax":2500}`)},
		{Stream: id, Version: 3, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000003"), Epoch: 1,
			Time: at.Add(time.Millisecond), Type: "AddItem", Payload: []byte(`{"sku":"71053","quantity":6,"name":"Lâmpada <1> & \"2\""}`)},
		{Stream: id, Position: 1201, Version: 1, Branch: "gift", ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000004"),
			Epoch: 7, Time: at.Add(time.Hour), Type: "Förk", Payload: []byte(`{}`)},
	}
}

func TestGoldenLinesOfFormat1(t *testing.T) {
	id := logtest.Stream(t, "golden")
	golden := mustRead(t, "testdata/v1.events.log")
	want := goldenEvents(id)
	var written []byte
	for i := range want {
		written = lineOf(written, &want[i])
	}
	if diff := cmp.Diff(string(golden), string(written)); diff != "" {
		t.Errorf("lines written differ from the golden ones (-golden +written):\n%s", diff)
	}

	dir := t.TempDir()
	plant(t, dir, id, golden)
	got := logtest.ReadAll(t, mustOpen(t, dir, Options{}), id)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(eventlog.StreamID{})); diff != "" {
		t.Errorf("events of the golden lines (-want +got):\n%s", diff)
	}
}

func TestStringsAreWrittenAsEncodingJSONDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.StringMatching("[\\x00-\\x22\\\\\u2027-\u202a\ufffd]*")).Draw(t, "s")
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		if got := string(appendString(nil, s)) + "\n"; got != want.String() {
			t.Errorf("%q: got %s, want %s", s, got, want.String())
		}
	})
}

func TestLineDecodesToItsEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "payload"))
		if err != nil {
			t.Fatal(err)
		}
		want := eventlog.Event{
			Position: rapid.Uint64().Draw(t, "pos"),
			Branch:   rapid.StringMatching(`([a-z0-9][a-z0-9_-]{0,31})?`).Draw(t, "branch"),
			Version:  rapid.Uint64Min(1).Draw(t, "seq"),
			ID:       uuid.UUID(rapid.SliceOfN(rapid.ByteMin(1), 16, 16).Draw(t, "id")),
			Key:      rapid.StringN(0, 40, 255).Draw(t, "key"),
			Request:  rapid.Uint64().Draw(t, "req"),
			More:     rapid.Bool().Draw(t, "more"),
			Epoch:    rapid.Uint64().Draw(t, "epoch"),
			Time:     time.UnixMilli(rapid.Int64Range(-62135596800000, 253402300799999).Draw(t, "ts")).UTC(),
			Type:     rapid.StringN(1, 30, 128).Draw(t, "type"),
			Payload:  payload,
		}
		line := lineOf(nil, &want)
		if json.Valid(line) != true {
			t.Fatalf("%s is not valid JSON", line)
		}
		var (
			d   decoder
			got eventlog.Event
		)
		if err := d.decode(line[:len(line)-1], &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(eventlog.StreamID{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	})
}

// signed returns body as a line with the right checksum.
func signed(body string) []byte {
	line := append([]byte(body), crcField...)
	line = appendHex(line, uint64(crc32.Checksum([]byte(body), castagnoli)), 8)
	return append(line, crcEnd...)
}

const soundBody = `{"v":1,"seq":1,"id":"0193a1b2-0000-7000-8000-000000000001","epoch":1,"ts":"2026-11-21T02:26:22.123Z","type":"AddItem","payload":{}`

func TestDecoderRefusesWhatTheEncoderDoesNotWrite(t *testing.T) {
	var (
		d  decoder
		ev eventlog.Event
	)
	if err := d.decode(signed(soundBody), &ev); err != nil {
		t.Fatalf("sound line: %v", err)
	}
	for _, change := range [][2]string{
		{`"v":1`, `"v":0`}, {`"v":1`, `"v":01`}, {`"v":1,`, `"v":1, `}, {`"v":1`, `"v":"1"`},
		{`"seq":1`, `"seq":0`}, {`"seq":1`, `"seq":01`}, {`"seq":1`, `"seq":-1`}, {`"seq":1`, `"seq":18446744073709551616`},
		{`"seq":1`, `"pos":0,"seq":1`}, {`"seq":1,`, `"seq":1,"branch":"",`}, {`"seq":1,`, `"seq":1,"branch":"a/b",`},
		{`0193a1b2`, `0193A1B2`}, {`0193a1b2-`, `0193a1b2_`}, {`0193a1b2-0000-7000-8000-000000000001`, `00000000-0000-0000-0000-000000000000`},
		{`"epoch"`, `"key":"","epoch"`}, {`"epoch"`, `"key":"\u0041","epoch"`}, {`"epoch"`, `"key":"a`}, {`"epoch"`, "\"key\":\"\xff\",\"epoch\""},
		{`"epoch"`, `"req":"0000000000000000","epoch"`}, {`"epoch"`, `"req":"12","epoch"`}, {`"epoch"`, `"more":0,"epoch"`},
		{`11-21T`, `02-30T`}, {`02:26:22`, `24:26:22`}, {`02:26:22.123Z`, `02:26:22.12Z`}, {`.123Z`, `.123+`}, {`2026`, `+026`},
		{`"AddItem"`, `""`}, {`"AddItem"`, `"Add\/Item"`}, {`"payload":{}`, `"payload":[]`}, {`"payload":{}`, `"payload":{ }`},
		{`"payload":{}`, `"payload":{},"more":1`}, {`"payload":{}`, `"payload":`},
	} {
		body := strings.Replace(soundBody, change[0], change[1], 1)
		if err := d.decode(signed(body), &ev); !errors.Is(err, errDamaged) {
			t.Errorf("%s: got %v, want damage", body, err)
		}
	}
	if err := d.decode(signed(strings.Replace(soundBody, `"v":1`, `"v":2`, 1)), &ev); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("version 2: got %v, want ErrNewerFormat", err)
	}
}

func TestDecoderReadsLinesOfTheFormerService(t *testing.T) {
	var d decoder
	for line, want := range map[string]string{
		`{"ts":1700000000,"type":"AddItem","payload":{"sku":"1"}}`:       `{"sku":"1"}`,
		`{ "type":"AddItem", "payload":{ "a": 1 }, "ts":1700000000 }`:    `{"a":1}`,
		`{"ts":1700000000.5,"type":"AddItem","payload":{}}`:              "",
		`{"ts":"2023-11-14T22:13:20Z","type":"AddItem","payload":{}}`:    "",
		`{"ts":-1,"type":"AddItem","payload":{}}`:                        "",
		`{"ts":99999999999999,"type":"AddItem","payload":{}}`:            "",
		`{"ts":1700000000,"type":"","payload":{}}`:                       "",
		`{"ts":1700000000,"type":7,"payload":{}}`:                        "",
		`{"ts":1700000000,"type":"AddItem","payload":null}`:              "",
		`{"ts":1700000000,"type":"AddItem"}`:                             "",
		`{"ts":1700000000,"type":"AddItem","payload":{},"seq":1}`:        "",
		`{"TS":1700000000,"type":"AddItem","payload":{}}`:                "",
		`{"ts":1700000000,"type":"AddItem","payload":{}`:                 "",
		`{"ts":1700000000,"type":"AddItem","payload":{}}{"ts":17,"type"`: "",
	} {
		var ev eventlog.Event
		err := d.decode([]byte(line), &ev)
		switch {
		case want == "" && !errors.Is(err, errDamaged):
			t.Errorf("%s: got %v, want damage", line, err)
		case want != "" && err != nil:
			t.Errorf("%s: %v", line, err)
		case want != "" && (string(ev.Payload) != want || ev.Time.Unix() != 1700000000 || ev.Type != "AddItem" || ev.Version != 0):
			t.Errorf("%s: got %+v, want payload %s", line, ev, want)
		}
	}
}

func FuzzDecodeLine(f *testing.F) {
	for _, name := range []string{"testdata/v1.events.log", "testdata/legacy.events.log"} {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")), true)
		}
	}
	f.Add([]byte(soundBody), true)
	f.Add([]byte(strings.Replace(soundBody, `"v":1`, `"v":9`, 1)), true)
	f.Add([]byte(crcField+"00000000"+crcEnd), false)
	f.Fuzz(func(t *testing.T, line []byte, sign bool) {
		if sign { // lets the fuzzer past the checksum
			line = signed(string(bytes.TrimSuffix(line, []byte(crcEnd))))
		}
		var (
			d  decoder
			ev eventlog.Event
		)
		if d.decode(line, &ev) != nil {
			return
		}
		if ev.Version == 0 { // of the former service
			if err := eventlog.CheckPayload(ev.Payload); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			return
		}
		if got := lineOf(nil, &ev); string(got) != string(line)+"\n" {
			t.Errorf("%q is written again as %q", line, got)
		}
	})
}
