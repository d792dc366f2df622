// Package crosscheck compares crypto/bls with gnark-crypto, an independent
// implementation of the same curve and encodings: what one signs the other
// verifies, and what one refuses to decode the other refuses too. It is a module
// of its own so that gnark-crypto does not become a dependency of the project.
//
//	cd crypto/bls/crosscheck && go test ./...
package crosscheck
