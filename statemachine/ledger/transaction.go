package ledger

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// Transaction is actions that happen together or not at all, in order.
type Transaction struct {
	// NotBefore and Expires bound the block times at which it may run: from NotBefore on,
	// and before Expires. 0 is no bound. Expires is needed where there are detached
	// signatures, and for proposals.
	NotBefore, Expires statemachine.Time
	// Memo goes into the statements.
	Memo string
	// Sequences name accounts whose authority it takes, sorted, and the sequence numbers
	// that they must have; if it runs, they are counted up.
	Sequences []Sequence
	Actions   []Action
}

// Sequence is an account's sequence number.
type Sequence struct {
	Account string
	Number  uint64
}

func (t *Transaction) fields(c *codec) {
	c.time(&t.NotBefore)
	c.time(&t.Expires)
	c.text(&t.Memo, MaxMemo)
	n := uint32(len(t.Sequences))
	if c.r == nil {
		c.u32(&n)
	} else if k := c.r.Count(maxBody, 4+1+8); k > 0 {
		t.Sequences = make([]Sequence, k)
	}
	for i := range t.Sequences {
		s := &t.Sequences[i]
		c.account(&s.Account)
		c.u64(&s.Number)
		if c.r != nil && i > 0 && t.Sequences[i-1].Account >= s.Account {
			c.r.Fail("sequences are not sorted")
		}
	}
	n = uint32(len(t.Actions))
	if c.r == nil {
		c.u32(&n)
	} else if k := c.r.Count(maxBody, 1+4+1); k > 0 {
		t.Actions = make([]Action, k)
	}
	for i := range t.Actions {
		if c.r == nil {
			c.b = append(c.b, byte(t.Actions[i].kind()))
		} else {
			k := c.r.Uint8()
			if t.Actions[i] = newAction(actionKind(k)); t.Actions[i] == nil {
				c.r.Fail("action of kind %d", k)
				t.Actions = nil
				return
			}
		}
		t.Actions[i].fields(c)
	}
}

// Encode returns the one encoding of the transaction: what is signed and proposed.
func (t *Transaction) Encode() []byte { return encode(t) }

// DecodeTransaction reads what [Transaction.Encode] wrote. The error wraps
// canon.ErrMalformed.
func DecodeTransaction(b []byte) (*Transaction, error) {
	t := new(Transaction)
	if err := decode(b, t); err != nil {
		return nil, fmt.Errorf("ledger transaction: %w", err)
	}
	return t, nil
}

const domainTransaction = crypto.Domain("parley/ledger-transaction")

// Digest names the transaction.
func (t *Transaction) Digest() crypto.Digest { return digestOf(t.Encode()) }

func digestOf(body []byte) crypto.Digest { return crypto.Hash(domainTransaction, body) }

// Signature is a detached signature of a transaction.
type Signature struct {
	Key crypto.PublicKey
	Sig crypto.Signature
}

// Context is what detached signatures of a cluster's ledger are bound to.
func Context(cluster crypto.Digest) crypto.Context {
	return crypto.Context{Kind: crypto.KindApplication, Cluster: cluster}
}

// Sign signs the transaction for the ledger of a cluster (crypto.Cluster.ID) and no
// other.
func (t *Transaction) Sign(cluster crypto.Digest, key crypto.KeySigner) Signature {
	return SignDigest(cluster, t.Digest(), key)
}

// SignDigest is [Transaction.Sign] by the digest alone.
func SignDigest(cluster, d crypto.Digest, key crypto.KeySigner) Signature {
	sig, ok := crypto.SignatureOf(key.Sign(Context(cluster), d[:]))
	if !ok {
		panic("ledger: a signer returned a signature of a wrong size")
	}
	return Signature{Key: key.Public(), Sig: sig}
}

// The kinds of operations.
const (
	opSubmit   = 1
	opPropose  = 2
	opApprove  = 3
	opWithdraw = 4
)

// Submit returns the operation that runs a transaction, by the authority of the client
// that submits it and of the detached signatures, of which each key gives one.
func Submit(t *Transaction, signatures ...Signature) []byte {
	return SubmitEncoded(t.Encode(), signatures...)
}

// SubmitEncoded is [Submit] of what [Transaction.Encode] returned.
func SubmitEncoded(body []byte, signatures ...Signature) []byte {
	signatures = slices.Clone(signatures)
	slices.SortFunc(signatures, func(a, b Signature) int { return a.Key.Compare(b.Key) })
	b := make([]byte, 0, 1+4+len(body)+4+len(signatures)*(crypto.PublicKeySize+crypto.SignatureSize))
	b = canon.AppendBytes(append(b, opSubmit), body)
	b = canon.AppendUint32(b, uint32(len(signatures)))
	for i := range signatures {
		b = append(append(b, signatures[i].Key[:]...), signatures[i].Sig[:]...)
	}
	return b
}

// Do returns the operation that runs these actions by the authority of the client that
// submits it alone.
func Do(actions ...Action) []byte { return Submit(&Transaction{Actions: actions}) }

// Propose returns the operation that proposes a transaction, with the client's approval,
// or gives the client's approval if it is proposed already. It runs as soon as the
// approvals suffice.
func Propose(t *Transaction) []byte {
	return canon.AppendBytes([]byte{opPropose}, t.Encode())
}

// Approve returns the operation that gives the client's approval to a proposal.
func Approve(d crypto.Digest) []byte { return append([]byte{opApprove}, d[:]...) }

// Withdraw returns the operation that takes back the client's approval; if the client
// proposed it, or was the last to approve, the proposal is gone.
func Withdraw(d crypto.Digest) []byte { return append([]byte{opWithdraw}, d[:]...) }

// NewAccount is OpenAccount with the keys sorted.
func NewAccount(name string, threshold uint8, keys ...crypto.PublicKey) *OpenAccount {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, crypto.PublicKey.Compare)
	return &OpenAccount{Account: name, Keys: slices.Compact(keys), Threshold: threshold}
}

const domainTx = crypto.Domain("parley/ledger-operation")

// IDOf names the operation that a client submits at a position of its request.
func IDOf(client crypto.PublicKey, seq uint64, index int) TxID {
	b := canon.AppendUint64(client[:], seq)
	d := crypto.Hash(domainTx, canon.AppendUint32(b, uint32(index)))
	return TxID(d[:len(TxID{})])
}

// operation is a decoded operation. It aliases nothing of the encoding but body.
type operation struct {
	kind       uint8
	body       []byte
	tx         Transaction
	signatures []Signature
	digest     crypto.Digest
}

// decodeOperation reads an operation that changes something, and checks it against the
// limits. Whatever it returns besides CodeOK, nothing has been done.
func (l *Limits) decodeOperation(b []byte, op *operation) statemachine.ResultCode {
	r := canon.NewReader(b)
	*op = operation{kind: r.Uint8()}
	switch op.kind {
	case opSubmit:
		op.body = r.Bytes(maxBody)
		n := r.Count(maxBody, crypto.PublicKeySize+crypto.SignatureSize)
		if n > l.MaxSignatures {
			return statemachine.CodeTooLarge
		}
		op.signatures = make([]Signature, n)
		for i := range op.signatures {
			s := &op.signatures[i]
			r.Copy(s.Key[:])
			r.Copy(s.Sig[:])
			if i > 0 && op.signatures[i-1].Key.Compare(s.Key) >= 0 {
				r.Fail("signatures are not sorted")
			}
		}
	case opPropose:
		op.body = r.Bytes(maxBody)
	case opApprove, opWithdraw:
		r.Copy(op.digest[:])
	default:
		if len(b) == 0 {
			return statemachine.CodeMalformed
		}
		return statemachine.CodeUnsupported
	}
	if r.Close() != nil {
		return statemachine.CodeMalformed
	}
	if op.kind == opSubmit || op.kind == opPropose {
		return l.decodeBody(op)
	}
	return statemachine.CodeOK
}

func (l *Limits) decodeBody(op *operation) statemachine.ResultCode {
	if decode(op.body, &op.tx) != nil {
		return statemachine.CodeMalformed
	}
	if len(op.tx.Actions) > l.MaxActions || len(op.tx.Sequences) > l.MaxActions {
		return statemachine.CodeTooLarge
	}
	for _, a := range op.tx.Actions {
		if p, ok := a.(*Pay); ok && len(p.Path)+1 > l.MaxHops {
			return statemachine.CodeTooLarge
		}
	}
	return statemachine.CodeOK
}
