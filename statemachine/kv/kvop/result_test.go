package kvop

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto/canon"
)

// What one replica answers may be a lie, made to be dear to read: the shortest response
// takes a hundred times its length in memory.
func TestNoAnswerIsDearToRead(t *testing.T) {
	answer := func(n uint32) []byte {
		b := canon.AppendBool(append(make([]byte, 8), byte(KindTxn)), true)
		b = canon.AppendUint32(b, n)
		return append(b, bytes.Repeat([]byte{byte(KindDelete), 0}, int(n))...)
	}
	r, err := DecodeAnswer(answer(MaxTxnOps))
	require.NoError(t, err)
	require.Len(t, r.Responses, MaxTxnOps)
	_, err = DecodeAnswer(answer(MaxTxnOps + 1))
	require.ErrorIs(t, err, canon.ErrMalformed)
}
