package receipt

import (
	"fmt"
	"math"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// The encoding: a magic word, a version, a form, then the fields. Numbers are
// big-endian; byte strings have four bytes of length in front. There is one
// encoding of a receipt, and every bit of it is covered by the certificate, by a
// digest that is, or by a check against the roster.
//
//	4  magic "PRCT"
//	1  version, 1
//	1  form: 0 turned down, 1 request by digest, 2 request given
//	32 cluster, 8 epoch, 8 height, 32 request
//	form 0:    1 status
//	form 1, 2: 4 index; in form 2 the request but for its signature, as it was signed;
//	           4 code; result data
//	4  position, 4 count, 4 length of the path, 32 for each sibling
//	   certificate, as a byte string
const (
	magic   = "PRCT"
	version = 1

	formTurnedDown = 0
	formDigest     = 1
	formRequest    = 2

	maxRequest     = 1 << 28
	maxResult      = 64 << 20
	maxCertificate = 64 << 10
)

// MaxSize bounds an encoded receipt that [Decode] accepts, in bytes.
const MaxSize = maxRequest + maxResult + 1<<17

// Parts is what a replica makes a receipt of.
type Parts struct {
	Cluster     crypto.Digest
	Epoch       pbft.Epoch
	Leaf        receipttree.Leaf
	Body        *pbft.Request // the leaf's, or nil to leave it out
	Position    int
	Count       int
	Path        []crypto.Digest
	Certificate *pbft.CheckpointCertificate
}

// New puts a receipt together. The error wraps ErrInconsistent; the certificate is not verified.
func New(p Parts) (*Receipt, error) {
	if p.Position < 0 || p.Count < 0 || uint64(p.Count) > math.MaxUint32 {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrInconsistent, p.Position, p.Count)
	}
	r := &Receipt{
		Cluster: p.Cluster, Epoch: p.Epoch,
		Height: pbft.Height(p.Leaf.Height), Request: p.Leaf.Request, Status: statemachine.Status(p.Leaf.Status),
		Index: p.Leaf.Index, Result: statemachine.Result{Code: statemachine.ResultCode(p.Leaf.Code), Data: p.Leaf.Result},
		Body: p.Body, Position: uint32(p.Position), Count: uint32(p.Count), Path: p.Path, Certificate: p.Certificate,
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// Encode returns the canonical encoding of a receipt that New or Decode made.
func (r *Receipt) Encode() []byte {
	b := append([]byte(nil), magic...)
	b = canon.AppendUint8(b, version)
	form := uint8(formTurnedDown)
	switch {
	case r.Status != statemachine.Executed:
	case r.Body != nil:
		form = formRequest
	default:
		form = formDigest
	}
	b = canon.AppendUint8(b, form)
	b = append(b, r.Cluster[:]...)
	b = canon.AppendUint64(b, uint64(r.Epoch))
	b = canon.AppendUint64(b, uint64(r.Height))
	b = append(b, r.Request[:]...)
	if form == formTurnedDown {
		b = canon.AppendUint8(b, uint8(r.Status))
	} else {
		b = canon.AppendUint32(b, r.Index)
		if form == formRequest {
			signed := r.Body.Encode()
			b = canon.AppendBytes(b, signed[:len(signed)-len(r.Body.Signature)])
		}
		b = canon.AppendUint32(b, uint32(r.Result.Code))
		b = canon.AppendBytes(b, r.Result.Data)
	}
	b = canon.AppendUint32(b, r.Position)
	b = canon.AppendUint32(b, r.Count)
	b = canon.AppendUint32(b, uint32(len(r.Path)))
	for i := range r.Path {
		b = append(b, r.Path[i][:]...)
	}
	return canon.AppendBytes(b, r.Certificate.Encode())
}

// Decode reads what [Receipt.Encode] wrote. The receipt may alias b. Errors wrap
// canon.ErrMalformed or ErrInconsistent. Nothing is proved yet: see [Verify].
func Decode(b []byte) (*Receipt, error) {
	rd := canon.NewReader(b)
	r := read(rd)
	if err := rd.Close(); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func read(rd *canon.Reader) *Receipt {
	if m := rd.Fixed(len(magic)); rd.Err() == nil && string(m) != magic {
		rd.Fail("it does not begin with %q", magic)
	}
	if v := rd.Uint8(); rd.Err() == nil && v != version {
		rd.Fail("version %d, this program knows %d", v, version)
	}
	r := new(Receipt)
	form := rd.Uint8()
	rd.Copy(r.Cluster[:])
	r.Epoch = pbft.Epoch(rd.Uint64())
	r.Height = pbft.Height(rd.Uint64())
	rd.Copy(r.Request[:])
	switch form {
	case formTurnedDown:
		if r.Status = statemachine.Status(rd.Uint8()); r.Status == statemachine.Executed {
			rd.Fail("status executed without a result")
		}
	case formDigest, formRequest:
		r.Status = statemachine.Executed
		r.Index = rd.Uint32()
		if form == formRequest {
			readBody(rd, r)
		}
		r.Result.Code = statemachine.ResultCode(rd.Uint32())
		r.Result.Data = rd.Bytes(maxResult)
	default:
		rd.Fail("form %d", form)
	}
	r.Position = rd.Uint32()
	r.Count = rd.Uint32()
	if n := rd.Count(receipttree.MaxPath, crypto.DigestSize); n > 0 {
		r.Path = make([]crypto.Digest, n)
		for i := range r.Path {
			rd.Copy(r.Path[i][:])
		}
	}
	certificate := rd.Bytes(maxCertificate)
	if rd.Err() != nil {
		return r
	}
	c, err := pbft.DecodeCheckpointCertificate(certificate)
	if err != nil {
		rd.Fail("%v", err)
		return r
	}
	r.Certificate = c
	return r
}

// readBody reads a request that has no signature.
func readBody(rd *canon.Reader, r *Receipt) {
	signed := rd.Bytes(maxRequest)
	if rd.Err() != nil {
		return
	}
	var none crypto.Signature
	body, err := pbft.DecodeRequest(append(signed[:len(signed):len(signed)], none[:]...))
	if err != nil {
		rd.Fail("%v", err)
		return
	}
	r.Body = body
}
