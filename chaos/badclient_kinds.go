package chaos

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

var badClients = []BadClient{
	{"twofaced", "K01", "asks every replica for something else under one number", (*badClient).twoFaced},
	{"late", "K04", "sends requests whose time is over, or about to be", (*badClient).late},
	{"eternal", "K03", "sends requests that never expire", (*badClient).eternal},
	{"unsigned", "K02 K11", "signs wrongly, and differently for every replica", (*badClient).unsigned},
	{"replayer", "K04", "sends others' requests again, and its own", (*badClient).replayer},
	{"leaper", "K03", "jumps among sequence numbers up to the last one", (*badClient).leaper},
	{"flooder", "K09", "sends many at once", (*badClient).flooder},
	{"backups", "K07", "asks backups only, each for something of its own", (*badClient).backups},
	{"primaryonly", "K08", "asks the primary only", (*badClient).primaryOnly},
	{"hoarder", "K09", "fills the pools with requests as large as can be, and the gaps with small ones", (*badClient).hoarder},
	{"giant", "K10", "sends operations that are too large, empty, or too many", (*badClient).giant},
	{"impostor", "K05", "asks in the name of others", (*badClient).impostor},
	{"sibling", "B9 C13", "replays what others signed for another cluster", (*badClient).sibling},
	{"crowd", "K06", "is another client with every request", (*badClient).crowd},
}

func (b *badClient) next() uint64 {
	b.seq++
	return b.seq
}

func (b *badClient) value() string { return fmt.Sprint(b.id, ".", b.seq, ".", b.deeds) }

func (b *badClient) twoFaced() {
	seq := b.next()
	for i := range b.s.replicas {
		b.send(pbft.ReplicaID(i), b.request(seq, seq, time.Minute, b.operation(b.value())))
	}
}

func (b *badClient) late() {
	seq := b.next()
	life := []time.Duration{-time.Hour, -time.Second, 0, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond}[b.rng.IntN(6)]
	b.sendAll(b.request(seq, seq, life, b.operation(b.value())))
}

func (b *badClient) eternal() {
	seq := b.next()
	life := []time.Duration{maxLife - time.Second, maxLife + time.Second, 24 * time.Hour, math.MaxInt64}[b.rng.IntN(4)]
	r := b.request(seq, seq, life, b.operation(b.value()))
	if b.rng.IntN(3) == 0 {
		r = b.signed(pbft.NewRequest(b.key.Public(), seq, seq, ^pbft.Time(0), r.Ops), b.key)
	}
	b.sendAll(r)
}

func (b *badClient) unsigned() {
	seq := b.next()
	good := b.request(seq, seq, time.Minute, b.operation(b.value()))
	for i := range b.s.replicas {
		bad := good.Signature
		switch (uint64(i) + seq) % 4 {
		case 0: // good here
		case 1:
			bad = crypto.Signature{}
		default:
			bad[b.rng.IntN(len(bad))] ^= 1 << b.rng.IntN(8)
		}
		b.send(pbft.ReplicaID(i), good.WithSignature(bad))
	}
}

func (b *badClient) replayer() {
	if len(b.heard) == 0 {
		return
	}
	b.send(b.anybody(), b.heard[b.rng.IntN(len(b.heard))])
	if b.rng.IntN(2) == 0 {
		r := b.request(b.next(), 1, time.Minute, b.operation(b.value()))
		b.heard = remember(b.heard, r, loreSize)
		b.sendAll(r)
	}
}

func (b *badClient) leaper() {
	seq := []uint64{1, 2, uint64(b.rng.IntN(1000)) + 1, 1 << 32, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}[b.rng.IntN(7)]
	low := []uint64{0, 1, seq, seq + 1, seq / 2, math.MaxUint64}[b.rng.IntN(6)]
	b.sendAll(b.request(seq, low, time.Minute, b.operation(b.value())))
}

func (b *badClient) flooder() {
	low := b.seq + 1
	for range 40 {
		b.send(b.anybody(), b.request(b.next(), low, 5*time.Second, b.operation(b.value())))
	}
}

func (b *badClient) hoarder() {
	low := b.seq + 1
	for _, size := range []int{60 << 10, 60 << 10, 60 << 10, 8 << 10, 1 << 10, 1} {
		var ops [][]byte
		for left := size; left > 0; left -= 4 << 10 {
			ops = append(ops, make([]byte, min(left, 4<<10-8)))
		}
		b.sendAll(b.request(b.next(), low, 5*time.Second, ops...))
	}
}

func (b *badClient) backups() {
	p := b.primary()
	for i := range b.s.replicas {
		if seq := b.next(); pbft.ReplicaID(i) != p {
			b.send(pbft.ReplicaID(i), b.request(seq, seq, time.Minute, b.operation(b.value())))
		}
	}
}

func (b *badClient) primaryOnly() {
	seq := b.next()
	b.send(b.primary(), b.request(seq, seq, time.Minute, b.operation(b.value())))
}

func (b *badClient) giant() {
	seq := b.next()
	var ops [][]byte
	switch b.rng.IntN(4) {
	case 0:
		ops = [][]byte{make([]byte, 4<<10), make([]byte, 4<<10+1)}
	case 1:
		ops = [][]byte{{}}
	case 2:
		for range 2000 {
			ops = append(ops, []byte{byte(b.rng.Uint32())})
		}
	default: // as large as is allowed, and nothing that the application knows
		for range 20 {
			ops = append(ops, make([]byte, 4<<10-1))
		}
	}
	b.sendAll(b.request(seq, seq, time.Minute, ops...))
}

func (b *badClient) impostor() {
	u := b.s.clients[b.rng.IntN(len(b.s.clients))]
	seq := u.seq + uint64(b.rng.IntN(3))
	r := pbft.NewRequest(u.key.Public(), max(seq, 1), seq, b.s.clock().Add(time.Minute), [][]byte{b.operation(b.value())})
	if r = b.signed(r, b.key); len(b.heard) > 0 && b.rng.IntN(2) == 0 {
		r = r.WithSignature(b.heard[b.rng.IntN(len(b.heard))].Signature)
	}
	b.sendAll(r)
}

func (b *badClient) crowd() {
	for range 5 {
		k := b.s.sym.Client(crowdKeys + uint64(b.id)<<32 + b.next())
		b.send(b.anybody(), b.signed(pbft.NewRequest(k.Public(), 1, 1, b.s.clock().Add(2*time.Second), [][]byte{b.operation(b.value())}), k))
	}
}

// drawBadClients draws some, not for every seed.
func drawBadClients(rng *rand.Rand) (names []string) {
	if rng.IntN(3) > 0 {
		return nil
	}
	for range 1 + rng.IntN(2) {
		names = append(names, badClients[rng.IntN(len(badClients))].Name)
	}
	return names
}
