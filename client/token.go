package client

import (
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
)

// Token names an operation whose outcome is unknown. It holds the signed request,
// so it may be stored and used after a restart. Whoever has it can have the
// request ordered until its deadline.
type Token struct {
	request *pbft.Request
	op      int
}

const tokenVersion = 1

// MarshalBinary encodes the token.
func (t Token) MarshalBinary() ([]byte, error) {
	if t.request == nil {
		return nil, fmt.Errorf("token: it names nothing")
	}
	b := canon.AppendUint8(nil, tokenVersion)
	b = canon.AppendUint32(b, uint32(t.op))
	return append(b, t.request.Encode()...), nil
}

// UnmarshalBinary reads what [Token.MarshalBinary] wrote.
func (t *Token) UnmarshalBinary(data []byte) error {
	rd := canon.NewReader(append([]byte(nil), data...))
	if v := rd.Uint8(); rd.Err() == nil && v != tokenVersion {
		rd.Fail("version %d, this program knows %d", v, tokenVersion)
	}
	op := rd.Uint32()
	if err := rd.Err(); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	r, err := pbft.DecodeRequest(rd.Rest())
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if uint64(op) >= uint64(len(r.Ops)) {
		return fmt.Errorf("token: %w: operation %d of %d", canon.ErrMalformed, op, len(r.Ops))
	}
	t.request, t.op = r, int(op)
	return nil
}

// Deadline is the block time after which the operation cannot run any more.
func (t Token) Deadline() pbft.Time {
	if t.request == nil {
		return 0
	}
	return t.request.Deadline
}

// Operation returns the operation; it is not to be changed.
func (t Token) Operation() []byte {
	if t.request == nil {
		return nil
	}
	return t.request.Ops[t.op]
}
