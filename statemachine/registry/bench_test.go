package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/signed"
)

// BenchmarkOperations is what one operation costs a replica, the digest left aside.
func BenchmarkOperations(b *testing.B) {
	w := newWorld(b, Genesis{})
	w.do(ann, &CreateCollection{Name: "c", Schema: []byte(personSchema)})
	w.do(ann, &CreateRecord{Collection: "c", ID: "x", Data: []byte(`{"name": "x"}`)})
	n := 0
	for name, op := range map[string]func() []byte{
		"create": func() []byte {
			return Encode(&CreateRecord{Collection: "c", ID: fmt.Sprint(n), Data: []byte(`{"name": "Ada Lovelace"}`)})
		},
		"offer": func() []byte { return Encode(&OfferRecord{Collection: "c", ID: "x", To: bob.party()}) },
		"read":  func() []byte { return Encode(&GetRecord{Collection: "c", ID: "x"}) },
		"signed offer": func() []byte {
			e := signed.Envelope{Deadline: w.now + statemachine.Time(time.Hour) + statemachine.Time(n), Op: Encode(&OfferRecord{As: ann.party(), Collection: "c", ID: "x", To: bob.party()})}
			_ = e.Sign(Space(chain), ann)
			return EncodeSigned(&e)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			const batch = 100
			for range (b.N + batch - 1) / batch {
				b.StopTimer()
				block := statemachine.Block{Height: w.height + 1, Time: w.now}
				for range batch {
					n++
					block.Ops = append(block.Ops, statemachine.Op{Client: ann.Public(), Data: op()})
				}
				w.height++
				b.StartTimer()
				for _, r := range w.m.Apply(block) {
					require.Equal(b, statemachine.CodeOK, r.Code)
				}
			}
		})
	}
}
