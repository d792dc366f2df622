package bls

// Made by testKey(1); the signature is on "block 17" in schemetest.Base().
const (
	knownKey       = "81a9133a44612ecde35dcab2d436d5a41afe5d119a538d8595b32fdccc525206d5ff67350497b67d25dccb9571d5d1770d9cf7ddb770b62df456c0b31653459e2daf2e5133c2eff2bf300f262d294d8c3842a541a91b7e5a0ba2183caee3efd9"
	knownProof     = "8450490f95a71b6e3e933221f36fe38b4fc312f6d6db1204ebcd66d12ef80eaecfe389edc0bfcd40d7ca3d8cd150f4ef"
	knownSignature = "af35f9c9ca19f6cf882e5232d6e09931f3ca5f9beec66eaf09a48bfc29b1d1f9d3685364429fd816f7c5b1e425eff2fa"
)
