//go:build !ledgercheck

package ledger

const checkBlocks = false
