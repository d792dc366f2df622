package contract

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine"
)

// decoded is what an operation is, and who has signed it.
type decoded struct {
	data []byte
	done bool
	tx   *types.Transaction
	from common.Address
	code statemachine.ResultCode
}

// fewOps is how many operations are decoded as they come: goroutines would not pay.
const fewOps = 4

// decodeAll decodes a block's operations on all processors: half of what a transfer
// costs is finding out who signed it. Where that panics the operation is left as it is,
// and panics again when its turn comes, where that is taken care of.
func decodeAll(ops []statemachine.Op, signer types.Signer) []decoded {
	out := make([]decoded, len(ops))
	for i := range ops {
		out[i].data = ops[i].Data
	}
	workers := min(runtime.GOMAXPROCS(0), len(ops)/fewOps)
	if workers < 2 {
		return out
	}
	var next atomic.Int64
	one := func(i int) {
		defer func() { _ = recover() }()
		d := out[i]
		d.tx, d.from, d.code = decode(d.data, signer)
		d.done = true
		out[i] = d
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ops); i = int(next.Add(1)) - 1 {
				one(i)
			}
		})
	}
	all.Wait()
	return out
}
