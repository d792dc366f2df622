//go:build ledgercheck

package ledger

// checkBlocks makes every ledger check its books after every block.
const checkBlocks = true
