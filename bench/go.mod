module cartd/bench

go 1.26.0
