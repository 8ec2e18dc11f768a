package grain

// maxBranchBytes bounds the name of a branch.
const maxBranchBytes = 32

// ValidBranch reports whether name can name a branch: it matches [a-z0-9][a-z0-9_-]{0,31}. Main is not named so.
func ValidBranch(name string) bool {
	if name == "" || len(name) > maxBranchBytes || name == "main" {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case (c == '_' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}
