package store

import (
	"slices"

	"github.com/tidwall/btree"
)

// pending is what was committed and is not in the database yet.
type pending struct {
	last    *btree.Map[string, record] // by key
	history *btree.Map[string, record] // by historyName
	nodes   map[nodeID]string
	// journals are those of the heights since the last flush that are not pruned, ascending.
	journals []*journal
	bytes    int // about what all this takes in memory
}

// journal is what came to be of use only for reading heights below its own.
type journal struct {
	height uint64
	keys   []string // that have a history entry of this height
	nodes  []nodeID // that are in no later tree
}

func newPending() pending {
	return pending{
		last: new(btree.Map[string, record]), history: new(btree.Map[string, record]),
		nodes: make(map[nodeID]string),
	}
}

// recordBytes is about what a record takes in a tree in memory, beside key and value.
const recordBytes = 96

func (p *pending) setLast(key string, r record) {
	if was, had := p.last.Set(key, r); had {
		p.bytes += len(r.value) - len(was.value)
	} else {
		p.bytes += len(key) + len(r.value) + recordBytes
	}
}

func (p *pending) addHistory(key string, height uint64, r record) {
	name := historyName(key, height)
	p.history.Set(name, r)
	p.bytes += len(name) + len(r.value) + recordBytes
}

func (p *pending) dropHistory(key string, height uint64) {
	name := historyName(key, height)
	if r, ok := p.history.Delete(name); ok {
		p.bytes -= len(name) + len(r.value) + recordBytes
	}
}

func (p *pending) addNodes(nodes []newNode) {
	for i := range nodes {
		p.nodes[nodes[i].id] = nodes[i].enc
		p.bytes += len(nodes[i].enc) + nodeBytes
	}
}

// dropNode tells whether the node was there.
func (p *pending) dropNode(id *nodeID) bool {
	n, ok := p.nodes[*id]
	if ok {
		delete(p.nodes, *id)
		p.bytes -= len(n) + nodeBytes
	}
	return ok
}

// journalBytes is about what an entry of a journal takes in memory, beside its key.
const journalBytes = 64

func (j *journal) size() int {
	n := journalBytes * (len(j.keys) + len(j.nodes))
	for _, k := range j.keys {
		n += len(k)
	}
	return n
}

// noteKey and noteNodes add to the journal of a height, which is not below the last one.
func (p *pending) noteKey(height uint64, key string) {
	j := p.journal(height)
	j.keys = append(j.keys, key)
	p.bytes += journalBytes + len(key)
}

func (p *pending) noteNodes(height uint64, nodes []nodeID) {
	j := p.journal(height)
	j.nodes = append(j.nodes, nodes...)
	p.bytes += journalBytes * len(nodes)
}

// dropJournals forgets the first n.
func (p *pending) dropJournals(n int) {
	for _, j := range p.journals[:n] {
		p.bytes -= j.size()
	}
	p.journals = slices.Delete(p.journals, 0, n)
}

// journal returns that of a height, which is not below the last one.
func (p *pending) journal(height uint64) *journal {
	if n := len(p.journals); n > 0 && p.journals[n-1].height == height {
		return p.journals[n-1]
	}
	j := &journal{height: height}
	p.journals = append(p.journals, j)
	return j
}
