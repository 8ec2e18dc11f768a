package filelog

import (
	"context"
	"errors"
	"io"
)

// logPart is what of a stream's log belongs in a backup.
type logPart struct {
	end     int64  // of the file
	behind  []byte // what the journal has beyond
	events  int
	damaged int    // places that do not check out
	last    uint64 // highest position
}

var errCut = errors.New("the rest is behind the backup's position")

// cut finds out where the log ends at the backup's position.
func (b *backup) cut(ctx context.Context, path string, src io.ReaderAt, size int64) (part logPart, err error) {
	in := newInspector(src, size, b.maxLine, b.records[path])
	damaged := 0          // lines since the last usable one
	endAt, events := 0, 0 // events also of a commit that is not whole yet
	err = in.run(ctx, func(p *piece) error {
		if p.usable() && p.ev.Position > b.upTo {
			return errCut
		}
		part.end, endAt = in.end, in.endAt
		if p.usable() {
			events++
		}
		if in.end == p.end {
			part.events, part.last = events, in.last
		}
		if p.marker {
			damaged++
			return nil
		}
		if p.kind != "" {
			part.damaged++
		}
		if !p.usable() {
			damaged++
			return nil
		}
		if len(p.before) > damaged || p.gap > 0 || p.half {
			part.damaged++
		}
		damaged = 0
		return nil
	})
	if err != nil && !errors.Is(err, errCut) {
		return part, err
	}
	for _, r := range b.records[path][endAt:] {
		part.behind = append(append(part.behind, r.line...), '\n')
		part.events++
		part.last = max(part.last, r.pos)
	}
	return part, nil
}
