package eventlog

import "unicode/utf8"

// compactDepth is how deep objects and arrays may be nested for compact to look into them.
const compactDepth = 63

// compact reports, in one pass, that p is one JSON value of valid UTF-8 without white space between its tokens. It is
// false for all that is not, and for what is nested deeper than compactDepth.
func compact(p []byte) bool {
	var arrays uint64 // bit n: the n-th level is an array
	i, depth, plain := 0, 0, true
	for {
		if i >= len(p) {
			return false
		}
		ended := true
		switch c := p[i]; {
		case c == '{' || c == '[':
			if depth == compactDepth {
				return false
			}
			depth++
			arrays &^= 1 << depth
			if c == '[' {
				arrays |= 1 << depth
			}
			i++
			switch { // '{' + 2 is '}', '[' + 2 is ']'
			case i < len(p) && p[i] == c+2:
				depth--
				i++
			case c == '{':
				i, ended = afterKey(p, i, &plain), false
			default:
				ended = false
			}
		case c == '"':
			i = afterString(p, i, &plain)
		case c == '-' || '0' <= c && c <= '9':
			i = afterNumber(p, i)
		case c == 't':
			i = afterWord(p, i, "true")
		case c == 'f':
			i = afterWord(p, i, "false")
		case c == 'n':
			i = afterWord(p, i, "null")
		default:
			return false
		}
		for ended {
			if depth == 0 {
				return i == len(p) && (plain || utf8.Valid(p))
			}
			if i >= len(p) {
				return false
			}
			array := arrays>>depth&1 == 1
			switch c := p[i]; {
			case c == ',' && array:
				i++
				ended = false
			case c == ',':
				i = afterKey(p, i+1, &plain)
				ended = false
			case c == ']' && array, c == '}' && !array:
				i++
				depth--
			default:
				return false
			}
		}
	}
}

// The following return the place behind what begins at i, and a place behind the end of p if it does not.

func afterKey(p []byte, i int, plain *bool) int {
	if i = afterString(p, i, plain); i < len(p) && p[i] == ':' {
		return i + 1
	}
	return len(p) + 1
}

// afterString sets plain to false when there is more than ASCII in the string.
func afterString(p []byte, i int, plain *bool) int {
	if i >= len(p) || p[i] != '"' {
		return len(p) + 1
	}
	for i++; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return len(p) + 1
		case c >= utf8.RuneSelf:
			*plain = false
		case c == '\\':
			if i++; i == len(p) {
				return len(p) + 1
			}
			switch p[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(p) || !hex(p[i+1]) || !hex(p[i+2]) || !hex(p[i+3]) || !hex(p[i+4]) {
					return len(p) + 1
				}
				i += 4
			default:
				return len(p) + 1
			}
		}
	}
	return len(p) + 1
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func afterNumber(p []byte, i int) int {
	if p[i] == '-' {
		i++
	}
	from := i
	i = afterDigits(p, i)
	if i > len(p) || p[from] == '0' && i > from+1 {
		return len(p) + 1
	}
	if i < len(p) && p[i] == '.' {
		if i = afterDigits(p, i+1); i > len(p) {
			return i
		}
	}
	if i < len(p) && (p[i] == 'e' || p[i] == 'E') {
		if i++; i < len(p) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		return afterDigits(p, i)
	}
	return i
}

func afterDigits(p []byte, i int) int {
	from := i
	for i < len(p) && '0' <= p[i] && p[i] <= '9' {
		i++
	}
	if i == from {
		return len(p) + 1
	}
	return i
}

func afterWord(p []byte, i int, word string) int {
	if i+len(word) > len(p) || string(p[i:i+len(word)]) != word {
		return len(p) + 1
	}
	return i + len(word)
}
