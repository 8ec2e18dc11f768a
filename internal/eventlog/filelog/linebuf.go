package filelog

import "sync"

// lineClasses are the sizes of the buffers for lines that are behind: small ones for the many carts that have one line
// there, and large ones for few. What is larger than the last one is left to the garbage collector.
var lineClasses = [...]int{1 << 9, 1 << 11, 1 << 13, 20 << 10}

// maxFreeLines bounds the buffers that wait to be used again, in bytes.
const maxFreeLines = 8 << 20

// freeLines are buffers that wait to be used again. A sync.Pool would let the garbage collector have them: a busy log
// takes as many anew then, and pays a page fault for each 4 KiB of them.
var freeLines struct {
	mu    sync.Mutex // guards the following
	bytes int
	of    [len(lineClasses)][][]byte
}

// appendLines appends lines to buf, which belongs to the caller, and returns it or a larger one in its place.
func appendLines(buf, lines []byte) []byte {
	need := len(buf) + len(lines)
	if need <= cap(buf) {
		return append(buf, lines...)
	}
	grown := newLines(need)
	grown = append(append(grown, buf...), lines...)
	dropLines(buf)
	return grown
}

// newLines returns an empty buffer for at least size bytes.
func newLines(size int) []byte {
	for i, class := range lineClasses {
		if size > class {
			continue
		}
		if buf := takeLines(i); buf != nil {
			return buf
		}
		return make([]byte, 0, class) // not with the lock held, which all commits take
	}
	return make([]byte, 0, 2*size)
}

// takeLines returns an empty buffer of a class that was used before, or nil.
func takeLines(class int) []byte {
	f := &freeLines
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.of[class]) - 1
	if last < 0 {
		return nil
	}
	buf := f.of[class][last]
	f.of[class][last] = nil
	f.of[class] = f.of[class][:last]
	f.bytes -= lineClasses[class]
	return buf
}

// dropLines gives a buffer back, which nobody uses any more.
func dropLines(buf []byte) {
	for i, class := range lineClasses {
		if cap(buf) != class {
			continue
		}
		f := &freeLines
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.bytes+class <= maxFreeLines {
			f.bytes += class
			f.of[i] = append(f.of[i], buf[:0])
		}
	}
}
