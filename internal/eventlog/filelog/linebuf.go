package filelog

import "sync"

// lineClasses are the sizes of the buffers for lines that are behind: small ones for the many carts that have one line
// there, and large ones for few. What is larger than the last one is left to the garbage collector.
var lineClasses = [...]int{1 << 9, 1 << 11, 1 << 13, 1 << 15}

// linePools has buffers of each class, as arrays: a slice would be allocated anew each time that it is put there.
var linePools = [len(lineClasses)]sync.Pool{
	{New: func() any { return new([1 << 9]byte) }},
	{New: func() any { return new([1 << 11]byte) }},
	{New: func() any { return new([1 << 13]byte) }},
	{New: func() any { return new([1 << 15]byte) }},
}

// appendLines appends lines to buf, which belongs to the caller, and returns it or a larger one in its place.
func appendLines(buf, lines []byte) []byte {
	need := len(buf) + len(lines)
	if need <= cap(buf) {
		return append(buf, lines...)
	}
	grown := newLines(need)
	grown = append(append(grown, buf...), lines...)
	freeLines(buf)
	return grown
}

// newLines returns an empty buffer for at least size bytes.
func newLines(size int) []byte {
	for i, class := range lineClasses {
		if size > class {
			continue
		}
		switch a := linePools[i].Get().(type) {
		case *[1 << 9]byte:
			return a[:0]
		case *[1 << 11]byte:
			return a[:0]
		case *[1 << 13]byte:
			return a[:0]
		case *[1 << 15]byte:
			return a[:0]
		}
	}
	return make([]byte, 0, 2*size)
}

// freeLines gives a buffer back, which nobody uses any more.
func freeLines(buf []byte) {
	switch cap(buf) {
	case 1 << 9:
		linePools[0].Put((*[1 << 9]byte)(buf[:1<<9]))
	case 1 << 11:
		linePools[1].Put((*[1 << 11]byte)(buf[:1<<11]))
	case 1 << 13:
		linePools[2].Put((*[1 << 13]byte)(buf[:1<<13]))
	case 1 << 15:
		linePools[3].Put((*[1 << 15]byte)(buf[:1<<15]))
	}
}
