package main

import "strings"

// backendTokens splits what is in CARTD_BACKEND_TOKEN, which the server and its clients share. While a token is
// being replaced it holds several, separated by commas: the server takes each of them, a client sends the first.
func backendTokens(list string) []string {
	var tokens []string
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t != "" {
			tokens = append(tokens, t)
		}
	}
	return tokens
}
