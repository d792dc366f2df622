package kv

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
