// Package crosscheck runs the same transactions on go-ethereum's simulated backend and
// on Parley's contracts. It is a module of its own because the backend is a whole
// Ethereum node, of which package contract needs a third.
package crosscheck
