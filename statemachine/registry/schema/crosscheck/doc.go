// Package crosscheck compares package schema with another validator of JSON Schema, in
// a module of its own, so that what only this needs stays out of go.mod.
package crosscheck
