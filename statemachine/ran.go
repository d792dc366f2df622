package statemachine

// Which requests of a block ran is a matter of the sessions as they were before it, which
// are gone. It is remembered for the last blocks, so that the block that the application
// was given can be made again.

// keptRan is of how many of the last blocks it is known.
const keptRan = 4096

type ran struct {
	blocks []ranBlock // of consecutive heights, fewer than 2*keptRan
}

type ranBlock struct {
	height uint64
	all    bool
	some   []uint64 // unless all: bit i%64 of word i/64 stands for request i
}

// add notes the requests that were started in a block, in their order.
func (r *ran) add(height uint64, requests int, started []started) {
	b := ranBlock{height: height, all: len(started) == requests}
	if !b.all {
		b.some = make([]uint64, (requests+63)/64)
		for i := range started {
			at := started[i].request
			b.some[at/64] |= 1 << (at % 64)
		}
	}
	if r.blocks = append(r.blocks, b); len(r.blocks) == 2*keptRan {
		n := copy(r.blocks, r.blocks[keptRan:])
		clear(r.blocks[n:])
		r.blocks = r.blocks[:n]
	}
}

func (r *ran) clear() { r.blocks = nil }

func (r *ran) at(height uint64) *ranBlock {
	if len(r.blocks) == 0 || height < r.blocks[0].height || height-r.blocks[0].height >= uint64(len(r.blocks)) {
		return nil
	}
	return &r.blocks[height-r.blocks[0].height]
}

func (b *ranBlock) has(request int) bool { return b.all || b.some[request/64]>>(request%64)&1 == 1 }

// Again makes the block that the application was given for b, and says for each operation
// in it which request of b it is of. It is known for the last 4096 blocks that were
// executed since the process began or a state was restored; ok is false for others. It
// belongs to the goroutine that executes.
func (e *Executor) Again(b RequestBlock) (block Block, requests []int, ok bool) {
	ran := e.ran.at(b.Height)
	if ran == nil {
		return Block{}, nil, false
	}
	block = Block{Height: b.Height, Time: b.Time, Digest: b.Digest, meter: e.limits.meter()}
	for i := range b.Requests {
		if !ran.has(i) {
			continue
		}
		r := &b.Requests[i]
		for j, data := range r.Ops {
			block.Ops = append(block.Ops, Op{Client: r.Client, Seq: r.Seq, Index: j, Data: data})
			requests = append(requests, i)
		}
	}
	return block, requests, true
}
