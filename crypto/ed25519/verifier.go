package ed25519

import (
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/parley-bft/parley/crypto"
)

// Item is one signature to check.
type Item = crypto.Item

// Verifier checks clients' signatures. It keeps the expanded form of keys that
// have made good signatures, and remembers for a while which keys have bad ones
// to their name: those are checked one by one, so that they cannot spoil another
// batch. (Anybody can send garbage in the name of an honest client; that client
// then costs us twice as much for a while, and nothing else happens to it.)
//
// It is safe for concurrent use and its memory is bounded.
type Verifier struct {
	keys     *generations[*voi.ExpandedPublicKey]
	suspects *generations[int] // good signatures still to be seen one by one
}

var _ crypto.RequestVerifier = (*Verifier)(nil)

// maxSuspects bounds the keys remembered for their bad signatures: about 100
// bytes each.
const maxSuspects = 4096

// probation is how many good signatures a key must make, after a bad one, until
// it is taken into batches again.
const probation = 16

// NewVerifier returns a verifier that keeps up to about cacheSize expanded keys
// of 1.5 KiB each; cacheSize below 1 means 1.
func NewVerifier(cacheSize int) *Verifier {
	return &Verifier{
		keys:     newGenerations[*voi.ExpandedPublicKey](cacheSize),
		suspects: newGenerations[int](maxSuspects),
	}
}

// expand returns the expanded key, or nil for bytes that are no key. A key not
// in the cache is not put there: only a good signature earns a place (see
// learn), so made-up keys cannot wash the real ones out.
func (v *Verifier) expand(key crypto.PublicKey) (x *voi.ExpandedPublicKey, cached bool) {
	if x, ok := v.keys.get(key); ok {
		return x, true
	}
	x, err := voi.NewExpandedPublicKey(key[:])
	if err != nil {
		return nil, false
	}
	return x, false
}

func (v *Verifier) learn(key crypto.PublicKey, x *voi.ExpandedPublicKey, cached, good bool) {
	switch {
	case !good:
		v.suspects.put(key, probation)
	case !cached:
		v.keys.put(key, x)
	}
}

// forgive counts a good signature of a suspect. Two goroutines may count the same
// one; it makes no difference to anybody.
func (v *Verifier) forgive(key crypto.PublicKey, left int, good bool) {
	switch {
	case !good:
	case left <= 1:
		v.suspects.drop(key)
	default:
		v.suspects.put(key, left-1)
	}
}

// Verify checks one signature: about 33 us, 40 when the key is new.
func (v *Verifier) Verify(key crypto.PublicKey, c crypto.Context, msg []byte, sig crypto.Signature) bool {
	buf := takeBuffer()
	defer giveBuffer(buf)
	*buf = c.AppendMessage((*buf)[:0], msg)
	x, cached := v.expand(key)
	if x == nil {
		return false
	}
	good := voi.VerifyExpandedWithOptions(x, *buf, sig[:], options)
	v.learn(key, x, cached, good)
	return good
}

// check is Verify that also counts good signatures of suspects.
func (v *Verifier) check(it *Item) bool {
	left, suspect := v.suspects.get(it.Key)
	good := v.Verify(it.Key, it.Context, it.Message, it.Signature)
	if suspect {
		v.forgive(it.Key, left, good)
	}
	return good
}

// VerifyBatch checks many signatures: 13 to 19 us each from 16 up, when all are
// good. If a batch fails, its items are checked one by one, and so are fewer than are
// worth a batch: one alone costs half as much again in a batch.
func (v *Verifier) VerifyBatch(items []Item) []bool {
	return v.AppendVerify(make([]bool, 0, len(items)), items)
}

// AppendVerify is VerifyBatch for callers that reuse the result: it appends one
// truth value per item to dst.
func (v *Verifier) AppendVerify(dst []bool, items []Item) []bool {
	base := len(dst)
	for range items {
		dst = append(dst, false)
	}
	valid := dst[base:]
	if len(items) < minBatch {
		for i := range items {
			valid[i] = v.check(&items[i])
		}
		return dst
	}
	b := pending{v: v, batch: takeBatch(), items: items, valid: valid}
	defer giveBatch(b.batch)
	buf := takeBuffer()
	defer giveBuffer(buf)
	for i := range items {
		it := &items[i]
		if _, suspect := v.suspects.get(it.Key); suspect {
			valid[i] = v.check(it)
			continue
		}
		x, cached := v.expand(it.Key)
		if x == nil {
			continue
		}
		*buf = it.Context.AppendMessage((*buf)[:0], it.Message)
		b.add(i, x, cached, *buf)
	}
	b.flush()
	return dst
}

// pending is one batch under construction.
type pending struct {
	v     *Verifier
	batch *voi.BatchVerifier
	items []Item
	valid []bool

	n      int
	at     [maxBatch]int // entry j is item at[j]
	keys   [maxBatch]*voi.ExpandedPublicKey
	cached [maxBatch]bool
}

func (p *pending) add(i int, x *voi.ExpandedPublicKey, cached bool, msg []byte) {
	p.batch.AddExpandedWithOptions(x, msg, p.items[i].Signature[:], options)
	p.at[p.n], p.keys[p.n], p.cached[p.n] = i, x, cached
	if p.n++; p.n == maxBatch {
		p.flush()
	}
}

func (p *pending) flush() {
	if p.n == 0 {
		return
	}
	_, each := p.batch.Verify(nil)
	for j, good := range each {
		i := p.at[j]
		p.valid[i] = good
		p.v.learn(p.items[i].Key, p.keys[j], p.cached[j], good)
	}
	p.batch.Reset()
	p.n = 0
}
