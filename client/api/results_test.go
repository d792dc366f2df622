package api_test

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// resultsVector is the worked example of Reply.results in parley.proto.
type resultsVector struct {
	Results  []vectorResult `json:"results"`
	Encoding string         `json:"encoding"`
}

type vectorResult struct {
	Code uint32 `json:"code"`
	Data string `json:"data"`
}

// resultsByHand makes it from the comments in parley.proto alone.
func resultsByHand() resultsVector {
	v := resultsVector{Results: []vectorResult{{0, hex.EncodeToString([]byte("stored"))}, {0, ""}, {101, "00ff"}}}
	var b []byte
	for _, r := range v.Results {
		data, _ := hex.DecodeString(r.Data)
		b = binary.BigEndian.AppendUint32(b, r.Code)
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
	}
	v.Encoding = hex.EncodeToString(b)
	return v
}

func TestResultsVector(t *testing.T) {
	stored := storedVector(t, "results_vector.json", resultsByHand())

	encoding, err := hex.DecodeString(stored.Encoding)
	require.NoError(t, err)
	results, ok := statemachine.DecodeResults(encoding, len(stored.Results))
	require.True(t, ok)
	for i, r := range results {
		require.Equal(t, stored.Results[i], vectorResult{uint32(r.Code), hex.EncodeToString(r.Data)})
	}
	require.Equal(t, encoding, statemachine.AppendResults(nil, results))
}
