package kvop

import (
	"maps"
	"slices"
)

// Kind is the kind of an operation or query. The numbers are part of the encoding.
type Kind uint8

// The kinds. Those marked so may stand in a transaction, or be a query.
const (
	KindGet    Kind = 1 // in a transaction, as a query
	KindPut    Kind = 2 // in a transaction
	KindDelete Kind = 3 // in a transaction
	KindSwap   Kind = 4
	KindRange  Kind = 5 // in a transaction, as a query
	KindTxn    Kind = 6

	KindRevision Kind = 16 // as a query only
	KindDigest   Kind = 17 // as a query only
)

var kindNames = map[Kind]string{
	KindGet: "get", KindPut: "put", KindDelete: "delete", KindSwap: "swap", KindRange: "range", KindTxn: "txn",
	KindRevision: "revision", KindDigest: "digest",
}

// String names the kind, as the patterns of an access policy do.
func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return "unknown"
}

// Read tells whether operations of the kind change nothing. A transaction counts as a
// change, whatever is in it.
func (k Kind) Read() bool {
	return k == KindGet || k == KindRange || k == KindRevision || k == KindDigest
}

// Classify names the kind of an operation or query, and tells whether it changes
// nothing. It is an access.Classifier.
func Classify(data []byte) (kind string, read bool) {
	if len(data) == 0 || kindNames[Kind(data[0])] == "" {
		return "", false
	}
	return Kind(data[0]).String(), Kind(data[0]).Read()
}

// Kinds returns all names that [Classify] gives: of operations that change something, and
// of reads.
func Kinds() (submit, read []string) {
	for _, k := range slices.Sorted(maps.Keys(kindNames)) {
		if k.Read() {
			read = append(read, k.String())
		} else {
			submit = append(submit, k.String())
		}
	}
	return submit, read
}
