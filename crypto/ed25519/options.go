package ed25519

import (
	"sync"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// options is the one predicate of this package; see "One predicate" in the
// package's notes. Nothing here verifies under any other options.
var options = &voi.Options{Verify: &voi.VerifyOptions{
	AllowSmallOrderA:   false, // such a key signs everything: a signature would bind to no message
	AllowNonCanonicalA: false, // one client, one key, one session
	AllowNonCanonicalR: false, // one signature, one encoding
	AllowSmallOrderR:   true,  // harmless, and RFC 8032 accepts it
	CofactorlessVerify: false, // a batch cannot decide it
}}

// Buffers in which context and message are joined before they are hashed. The
// library does not keep them.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// maxKeptBuffer bounds what an occasional huge message leaves in the pool.
const maxKeptBuffer = 64 << 10

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

func giveBuffer(b *[]byte) {
	if cap(*b) <= maxKeptBuffer {
		buffers.Put(b)
	}
}

// Batches, kept for their entries: 1 KiB a signature.
var batches = sync.Pool{New: func() any { return voi.NewBatchVerifierWithCapacity(maxBatch) }}

func takeBatch() *voi.BatchVerifier { return batches.Get().(*voi.BatchVerifier) }

func giveBatch(b *voi.BatchVerifier) { batches.Put(b.Reset()) }

// maxBatch bounds what one bad signature can spoil. From 256 to 1024 signatures
// a batch gains another tenth, from 64 to 256 a sixth.
const maxBatch = 256
