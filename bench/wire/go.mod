module github.com/parley-bft/parley/bench/wire

go 1.26.0
