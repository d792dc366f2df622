// Package kvop is what a client of package kv needs: the operations and queries of the
// key-value store, as bytes, and what their results say. A program that only submits them
// imports this package, package client, and no database.
//
//	a, err := c.Do(ctx, kvop.Put([]byte("colour"), []byte("green")))
//	r, err := kvop.DecodeResult(a.Result)
//
// Package kv, for those who run replicas, has everything under the same names.
package kvop
