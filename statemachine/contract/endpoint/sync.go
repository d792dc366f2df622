package endpoint

import (
	"context"

	"github.com/ethereum/go-ethereum/common/hexutil"
)

// syncAPI is what the endpoint says of its replica.
type syncAPI struct {
	behind func(ctx context.Context) (executed, known uint64, behind bool)
}

// progress is what eth_syncing says of a replica that is behind.
type progress struct {
	StartingBlock hexutil.Uint64 `json:"startingBlock"`
	CurrentBlock  hexutil.Uint64 `json:"currentBlock"`
	HighestBlock  hexutil.Uint64 `json:"highestBlock"`
}

// Syncing is eth_syncing: false, or how far the replica has come with what it knows to be
// there. Where it began is not remembered: StartingBlock is the current one.
func (a *syncAPI) Syncing(ctx context.Context) any {
	if a.behind == nil {
		return false
	}
	executed, known, behind := a.behind(ctx)
	if !behind {
		return false
	}
	return &progress{hexutil.Uint64(executed), hexutil.Uint64(executed), hexutil.Uint64(known)}
}
