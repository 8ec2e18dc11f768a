package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"cartd/internal/eventlog/filelog/vfs/crashfs"
)

// journalOf makes a journal of one segment, a second one behind it if that is not empty, and a checkpoint if there is
// one, in memory.
func journalOf(t *testing.T, first, second, checkpoint []byte) *crashfs.FS {
	t.Helper()
	disk := crashfs.New(nil)
	if err := disk.Mkdir("j"); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{segmentName(42): first, segmentName(44): second, checkpointName: checkpoint} {
		if name != segmentName(42) && len(content) == 0 {
			continue
		}
		f, err := disk.Create("j/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// sumUp gives a header, a checkpoint or the first frames of a segment the checksums that they should have, which lets
// the fuzzer past them.
func sumUp(b []byte, header int) []byte {
	b = bytes.Clone(b)
	if len(b) >= header {
		binary.LittleEndian.PutUint32(b[header-4:], crc32.Checksum(b[:header-4], castagnoli))
	}
	if header != segmentHeader {
		return b
	}
	for off := header; off+frameHeader <= len(b); {
		size := int(binary.LittleEndian.Uint32(b[off:]))
		if size < frameHeader || size > len(b)-off {
			break
		}
		binary.LittleEndian.PutUint32(b[off+32:], frameSum(goldenState.ID.seed(), b[off:off+size]))
		off += size
	}
	return b
}

// seeds are journals: whole, cut, damaged, used again, of two segments.
func seeds(f *testing.F) {
	_, content, ends := write(f)
	content = content[:ends[3]+terminator]
	second := append(header{id: goldenState.ID, first: 44, frame: 9}.encode(), content[ends[1]:]...)
	state := goldenState.encode()
	f.Add(content, []byte{}, state, false)
	f.Add(content, []byte{}, []byte{}, false)
	f.Add(content[:ends[2]+7], []byte{}, state, false)
	f.Add(content[:ends[1]+terminator], second, state, false)
	f.Add(content[:ends[0]], second, state, true)
	f.Add(append(content[:ends[3]:ends[3]], frameOf(2, 3)...), []byte{}, state, true)
	f.Add([]byte{}, []byte{}, []byte("cartdchk"), true)
	f.Add(append(content[:ends[1]:ends[1]], frameOf(1<<60, 3)...), []byte{}, state, true) // of no use that there was
}

// FuzzRecover: any journal is recovered, or refused as damaged, or as newer; nothing else. What is recovered is dense,
// and it is the same the second time.
func FuzzRecover(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, first, second, checkpoint []byte, sums bool) {
		if sums {
			first, second, checkpoint = sumUp(first, segmentHeader), sumUp(second, segmentHeader), sumUp(checkpoint, checkpointBytes)
		}
		disk := journalOf(t, first, second, checkpoint)
		found, err := Recover(disk, "j")
		if err != nil {
			if _, ok := errors.AsType[*CorruptError](err); !ok {
				t.Errorf("got %v, want a *CorruptError", err)
			}
			return
		}
		for i, frame := range found.Frames {
			if i > 0 && (frame.Number != found.Frames[i-1].Number+1 || frame.First != found.Frames[i-1].Last()+1) {
				t.Errorf("frame %d at %d follows frame %d, which ends at %d", frame.Number, frame.First, found.Frames[i-1].Number, found.Frames[i-1].Last())
			}
		}
		if n := len(found.Frames); n > 0 {
			if last := found.Frames[n-1]; found.State.Frame != last.Number || found.State.Position != last.Last() || found.State.Run < last.Run {
				t.Errorf("it goes on behind %+v, the last frame is %d of run %d and ends at %d", found.State, last.Number, last.Run, last.Last())
			}
		}
		again, err := Recover(disk, "j")
		if err != nil || len(again.Frames) != len(found.Frames) || again.State != found.State {
			t.Errorf("the second time: %+v, %v; the first time: %+v", again, err, found)
		}
	})
}

// FuzzLook: any journal can be looked at, or is refused as newer. What Recover finds, Look finds too.
func FuzzLook(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, first, second, checkpoint []byte, sums bool) {
		if sums {
			first, second, checkpoint = sumUp(first, segmentHeader), sumUp(second, segmentHeader), sumUp(checkpoint, checkpointBytes)
		}
		disk := journalOf(t, first, second, checkpoint)
		survey, err := Look(disk, "j")
		if err != nil {
			if !errors.Is(err, ErrNewerFormat) {
				t.Errorf("got %v, want ErrNewerFormat", err)
			}
			return
		}
		have := make(map[uint64][]byte)
		for i, frame := range survey.Frames {
			if i > 0 && frame.Number <= survey.Frames[i-1].Number {
				t.Errorf("frame %d follows frame %d", frame.Number, survey.Frames[i-1].Number)
			}
			have[frame.Number] = frame.Payload
		}
		found, err := Recover(disk, "j")
		if err != nil {
			if len(survey.Faults) == 0 && survey.Torn.File == "" {
				t.Errorf("Recover: %v; Look finds nothing wrong", err)
			}
			return
		}
		for _, frame := range found.Frames {
			if payload, ok := have[frame.Number]; !ok || !bytes.Equal(payload, frame.Payload) {
				t.Errorf("Recover finds frame %d, Look does not: %+v", frame.Number, survey.Faults)
			}
		}
	})
}
