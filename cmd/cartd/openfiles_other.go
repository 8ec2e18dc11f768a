//go:build !unix

package main

// openFiles leaves the number of files that stay open to the log's default.
func openFiles() int { return 0 }

func maxConnections(flag int) int { return flag }
