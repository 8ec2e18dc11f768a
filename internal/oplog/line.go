package oplog

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// line is an operation as JSON, in files and in answers.
type line struct {
	Seq            uint64    `json:"seq"`
	ID             uuid.UUID `json:"id"`
	Time           time.Time `json:"time"`
	Source         string    `json:"source"`
	Kind           string    `json:"kind"`
	CartID         string    `json:"cartId,omitempty"`
	Success        bool      `json:"success"`
	DurationMicros int64     `json:"durationMicros"`
	Error          string    `json:"error,omitempty"`
}

// MarshalJSON returns the operation as one line of JSON, its duration in microseconds.
func (o Operation) MarshalJSON() ([]byte, error) { return o.appendLine(nil), nil }

const hexDigits = "0123456789abcdef"

// appendLine is a [line] in JSON. Each request makes one: encoding/json takes four times as long. What check lets through
// as source, kind and cart needs no escapes.
func (o *Operation) appendLine(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), o.Seq, 10)
	b = append(b, `,"id":"`...)
	for i, c := range o.ID {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	b = append(b, `","time":"`...)
	b = o.Time.UTC().AppendFormat(b, time.RFC3339Nano) // which is faster than any other layout
	b = append(append(b, `","source":"`...), o.Source...)
	b = append(append(b, `","kind":"`...), o.Kind...)
	if o.Cart != "" {
		b = append(append(b, `","cartId":"`...), o.Cart...)
	}
	b = strconv.AppendBool(append(b, `","success":`...), o.OK)
	b = strconv.AppendInt(append(b, `,"durationMicros":`...), o.Took.Microseconds(), 10)
	if o.Error != "" {
		text, _ := json.Marshal(o.Error) // of a string
		b = append(append(b, `,"error":`...), text...)
	}
	return append(b, '}')
}

// UnmarshalJSON takes what MarshalJSON returns, and nothing that [Log.Record] would not have kept.
func (o *Operation) UnmarshalJSON(b []byte) error {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	if l.DurationMicros > int64(1<<63-1)/1000 {
		return errors.New("operation that took longer than can be said")
	}
	*o = Operation{l.Seq, l.ID, l.Time.UTC(), l.Source, l.Kind, l.CartID, l.Success, time.Duration(l.DurationMicros) * time.Microsecond, l.Error, false}
	if o.Seq == 0 || o.ID == uuid.Nil {
		return errors.New("operation without a number or an id")
	}
	return o.check()
}
