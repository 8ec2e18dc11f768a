package api

import "strings"

// maxVars is how many variables a pattern may have.
const maxVars = 2

// pathVars are the variables of a path as they stand in it, with their escapes.
type pathVars struct {
	n    int
	vars [maxVars]struct{ name, value string }
}

func (v *pathVars) add(name, value string) {
	v.vars[v.n] = struct{ name, value string }{name, value}
	v.n++
}

// get returns the variable's value; "" if there is none of this name.
func (v *pathVars) get(name string) string {
	for i := range v.n {
		if v.vars[i].name == name {
			return v.vars[i].value
		}
	}
	return ""
}

// last returns the value of the last variable; "" if there is none.
func (v *pathVars) last() string {
	if v.n == 0 {
		return ""
	}
	return v.vars[v.n-1].value
}

// pattern is a path with variables, like /v1/carts/{id}/items, cut at its slashes. A variable stands for one segment
// that is not empty.
type pattern []segment

type segment struct {
	text     string // or the variable's name
	variable bool
}

// parsePattern panics when a pattern has more than maxVars variables: a mistake in the program.
func parsePattern(path string) pattern {
	var p pattern
	vars := 0
	for s := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		name, ok := strings.CutPrefix(s, "{")
		if ok {
			vars++
			s = strings.TrimSuffix(name, "}")
		}
		p = append(p, segment{s, ok})
	}
	if vars > maxVars {
		panic("api: too many variables in " + path)
	}
	return p
}

// match reports whether path, with its escapes, is of the pattern. If so, vars are those of the path.
func (p pattern) match(path string, vars *pathVars) bool {
	vars.n = 0
	for i := range p {
		if path == "" || path[0] != '/' {
			return false
		}
		path = path[1:]
		end := strings.IndexByte(path, '/')
		if end < 0 {
			end = len(path)
		}
		switch here := path[:end]; {
		case !p[i].variable:
			if here != p[i].text {
				return false
			}
		case here == "":
			return false
		default:
			vars.add(p[i].text, here)
		}
		path = path[end:]
	}
	return path == ""
}
