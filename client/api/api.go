// Package api is the protocol between clients and replicas, generated from
// parley.proto. The comments in that file are its documentation, down to the
// bytes that a client signs.
package api

//go:generate protoc --proto_path=. --plugin=protoc-gen-go=./protoc-gen-go.sh --plugin=protoc-gen-go-grpc=./protoc-gen-go-grpc.sh --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative parley.proto
