// Package endpoint serves Ethereum's JSON-RPC for a replica's [contract.Machine].
package endpoint
