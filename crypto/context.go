package crypto

import "encoding/binary"

// Kind says what a signature is for.
type Kind uint8

// The kinds of signed things. The numbers are part of the wire format.
const (
	KindRequest    Kind = 1 // a client's request; epoch 0, since a request outlives epochs
	KindPrePrepare Kind = 2 // a primary's signature over a block digest
	KindPrepare    Kind = 3
	KindCommit     Kind = 4
	KindCheckpoint Kind = 5
	KindViewChange Kind = 6
	KindNewView    Kind = 7
	KindPossession Kind = 8 // proof of possession of a BLS key; made under its own ciphersuite as well
	KindHandshake  Kind = 9
	KindAttach     Kind = 10 // a client's signature over the binding of a connection that carries it
	// KindApplication is what an application has its users sign beside their requests;
	// epoch 0. What is signed says for which application, and for what.
	KindApplication Kind = 11
)

// Context is what every signature is bound to beside its message: what is signed
// for one kind, cluster or epoch verifies for no other.
type Context struct {
	Kind    Kind
	Cluster Digest
	Epoch   uint64
}

const contextTag = "parley/v1"

// ContextSize is the number of bytes that [Context.AppendMessage] puts in front.
const ContextSize = len(contextTag) + 1 + DigestSize + 8

// AppendMessage appends to dst the bytes that are really signed: a tag of the
// protocol and version, the context, the message.
func (c Context) AppendMessage(dst, msg []byte) []byte {
	dst = append(dst, contextTag...)
	dst = append(dst, byte(c.Kind))
	dst = append(dst, c.Cluster[:]...)
	dst = binary.BigEndian.AppendUint64(dst, c.Epoch)
	return append(dst, msg...)
}
