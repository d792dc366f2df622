package ledger

import (
	"maps"
	"slices"

	"github.com/parley-bft/parley/statemachine"
)

var actionNames = map[actionKind]string{
	kindOpenAccount: "open-account", kindSetKeys: "set-keys", kindAdvance: "advance",
	kindDefineAsset: "define-asset", kindSetRules: "set-rules", kindCloseAsset: "close-asset", kindIssue: "issue",
	kindRetire: "retire", kindFreeze: "freeze", kindAdmit: "admit", kindClawback: "clawback",
	kindTransfer: "transfer", kindHold: "hold", kindCapture: "capture", kindRelease: "release",
	kindTrust: "trust", kindPay: "pay", kindOffer: "offer", kindCancelOffer: "cancel-offer", kindTakeOffer: "take-offer",
}

var queryNames = map[byte]string{
	queryGet: "get", queryRange: "range", queryStatement: "statement", queryPath: "path", queryHeight: "height", queryRangeAt: "range-at",
}

// Classify names the kind of an operation or query, and tells whether it changes
// nothing. It is an access.Classifier. A transaction whose actions are all of one kind is
// submit/ and its name, such as submit/transfer; others are submit/several. Proposals
// begin with propose/ in place of that; approve and withdraw are about any. Reads are
// get, range, statement, path, height and range-at.
func (h *Handler) Classify(data []byte) (kind string, read bool) {
	if len(data) > 0 && data[0] >= firstQuery {
		kind = queryNames[data[0]]
		return kind, kind != ""
	}
	var op operation
	if h.cfg.Limits.decodeOperation(data, &op) != statemachine.CodeOK {
		return "", false
	}
	switch op.kind {
	case opApprove:
		return "approve", false
	case opWithdraw:
		return "withdraw", false
	case opPropose:
		return "propose/" + op.tx.kind(), false
	}
	return "submit/" + op.tx.kind(), false
}

// several is what a transaction is called whose actions are of different kinds.
const several = "several"

// kind names what all actions are.
func (t *Transaction) kind() string {
	if len(t.Actions) == 0 {
		return "nothing"
	}
	for _, a := range t.Actions[1:] {
		if a.kind() != t.Actions[0].kind() {
			return several
		}
	}
	return actionNames[t.Actions[0].kind()]
}

// Kinds returns all names that [Handler.Classify] gives to what may run: of operations that
// change something, and of reads.
func Kinds() (submit, read []string) {
	for _, begin := range []string{"submit/", "propose/"} {
		for _, k := range slices.Sorted(maps.Keys(actionNames)) {
			submit = append(submit, begin+actionNames[k])
		}
		submit = append(submit, begin+several)
	}
	for _, k := range slices.Sorted(maps.Keys(queryNames)) {
		read = append(read, queryNames[k])
	}
	return append(submit, "approve", "withdraw"), read
}
