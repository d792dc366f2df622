package contract

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// The kinds of transactions, as [Classify] names them.
const (
	KindDeploy   = "transaction/deploy"
	KindCall     = "transaction/call"     // with data
	KindTransfer = "transaction/transfer" // without any
	// KindSeveral is that of a batch of queries that are not all of one kind. Whoever a
	// policy lets read it may read whatever a batch can ask for: it is for those who may
	// read everything.
	KindSeveral = "eth_several"
)

// Classify names the kind of an operation or query, and tells whether it changes
// nothing. It is an access.Classifier. An operation is one of the kinds above, a query is
// named by its method, such as eth_call; reads through an endpoint are, too.
func Classify(data []byte) (kind string, read bool) {
	switch rest := bytes.TrimLeft(data, " \t\r\n"); {
	case len(rest) == 0:
		return "", false
	case rest[0] == '{' || rest[0] == '[':
		kind = methodOf(rest)
		return kind, kind != ""
	}
	if len(data) > MaxTransactionBytes {
		return "", false
	}
	tx := new(types.Transaction)
	switch {
	case tx.UnmarshalBinary(data) != nil:
		return "", false
	case tx.To() == nil:
		return KindDeploy, false
	case len(tx.Data()) > 0:
		return KindCall, false
	}
	return KindTransfer, false
}

// Kinds returns all names that [Classify] gives what is right: of operations, and of
// queries.
func Kinds() (submit, read []string) {
	for api, i := reflect.TypeFor[*API](), 0; i < api.NumMethod(); i++ {
		if m := api.Method(i); m.Type.NumOut() <= 2 { // others are none of JSON-RPC
			read = append(read, "eth_"+strings.ToLower(m.Name[:1])+m.Name[1:])
		}
	}
	return []string{KindDeploy, KindCall, KindTransfer}, append(read, KindSeveral)
}

// maxMethod is longer than the name of any method.
const maxMethod = 64

// methodOf is that of a request of JSON-RPC, or of all in a batch; "" if it is none. It
// reads what go-ethereum's server reads, with the same package.
func methodOf(data []byte) string {
	if len(data) > MaxQueryBytes {
		return ""
	}
	type request struct {
		Method string `json:"method"`
	}
	var all []request
	d := json.NewDecoder(bytes.NewReader(data))
	if data[0] == '{' {
		all = make([]request, 1)
		if d.Decode(&all[0]) != nil {
			return ""
		}
	} else if d.Decode(&all) != nil || len(all) == 0 {
		return ""
	}
	for _, r := range all[1:] {
		if r.Method != all[0].Method {
			return KindSeveral
		}
	}
	m := all[0].Method
	if len(m) > maxMethod || strings.Trim(m, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return ""
	}
	return m
}

// AddressKey is the key by which an access policy knows an account: its address behind
// zeros. It is no key of anybody's for requests, and the other way round.
func AddressKey(a common.Address) (k crypto.PublicKey) {
	copy(k[len(k)-len(a):], a[:])
	return k
}

// Principal is access.Principal: a transaction is its sender's, whoever hands it in.
func (h *handler) Principal(op *statemachine.Op) (crypto.PublicKey, bool) {
	d := h.next(op.Data)
	if d.code != statemachine.CodeOK {
		return crypto.PublicKey{}, false
	}
	return AddressKey(d.from), true
}
